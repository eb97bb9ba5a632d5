# Cells of restore.ipynb; `python examples/make_notebook.py` runs them.
# ruff: noqa: B018

# %% [markdown]
# # Restoring photos in a notebook
#
# Recipes of restorekit are functions on images. A result is a PIL image that a notebook shows beside the image before.
# The priors are part of the package; the photos are part of scikit-image.

# %%
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data

import restorekit as rk

# %% [markdown]
# ## Noise
#
# A photo with Gaussian noise of 25 grey levels. The recipe estimates the noise and removes it.

# %%
clean = data.astronaut()[:192, 128:320]
noise = np.random.default_rng(0).normal(0, 25, clean.shape)
noisy = (clean + noise).clip(0, 255).astype(np.uint8)
restored = rk.denoise(Image.fromarray(noisy))
restored

# %%
print(f"PSNR before: {rk.psnr(noisy, clean):.1f} dB, after: {rk.psnr(restored, clean):.1f} dB")

# %% [markdown]
# The result is a normal image: `restored.save(...)`, `np.asarray(restored)` and `restored.convert("L")` work.
# `restored.before`, `restored.notes` and `restored.seconds` state where it comes from.

# %%
restored.notes

# %% [markdown]
# ## Scratches
#
# White pixels of the mask are filled; all others stay as they are.

# %%
photo = data.chelsea()[40:200, 100:292]
mask = np.zeros(photo.shape[:2], bool)
mask[60:64] = mask[:, 90:93] = True
scratched = np.where(mask[..., None], 255, photo).astype(np.uint8)
rk.inpaint(Image.fromarray(scratched), mask=mask)

# %% [markdown]
# `rk.before_after` shows any two images: arrays, tensors, PIL images and paths.

# %%
rk.before_after(noisy, clean)

# %% [markdown]
# ## Folders
#
# The report of a run is shown with its first photos; `report=True` also writes one HTML file with all of them.

# %%
Path("photos").mkdir(exist_ok=True)
for name, image in {"cat.png": photo, "noisy.png": noisy}.items():
    Image.fromarray(image).save(f"photos/{name}")
Path("photos/broken.png").write_bytes(b"not an image")
rk.restore_folder("denoise", "photos", "restored", report=True)
