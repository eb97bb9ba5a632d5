"""Restore two sample photos from scikit-image on the command line.

python examples/demo.py [FOLDER]

The inputs, the restored photos and before | after images are written to FOLDER (default: demo).
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from skimage import data

SIGMA = 25


def noisy(photo: np.ndarray) -> np.ndarray:
    """Add Gaussian noise to a photo, rounded and clipped to 8 bits."""
    noise = np.random.default_rng(0).normal(0, SIGMA, photo.shape)
    return (photo + noise).round().clip(0, 255).astype(np.uint8)


def scribbles(height: int, width: int) -> Image.Image:
    """Return a mask of text and scratches, white on black."""
    mask = Image.new("L", (width, height))
    draw = ImageDraw.Draw(mask)
    font = ImageFont.load_default(size=26)
    for row, y in enumerate(range(20, height, 70)):
        draw.text((10 + 25 * (row % 3), y), "restorekit fills what is marked in white", fill=255, font=font)
    rng = np.random.default_rng(1)
    for _ in range(12):
        (x0, x1), (y0, y1) = rng.integers(0, width, 2), rng.integers(0, height, 2)
        draw.line((x0, y0, x1, y1), fill=255, width=3)
    return mask


def side_by_side(before: Path, after: Path, target: Path) -> None:
    """Write before | after, separated by a white line."""
    left, right = (np.asarray(Image.open(path).convert("RGB")) for path in (before, after))
    Image.fromarray(np.hstack([left, np.full((len(left), 6, 3), 255, np.uint8), right])).save(target)


def restorekit(*arguments: str | Path) -> None:
    """Print and run a command."""
    words = [str(word) for word in arguments]
    print("$ restorekit", " ".join(words), flush=True)
    subprocess.run([sys.executable, "-c", "from restorekit.cli.app import main; main()", *words], check=True)


def main(folder: Path) -> None:
    """Write the inputs, restore them, and write before and after side by side."""
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noisy(data.chelsea())).save(folder / "noisy.png")
    restorekit("denoise", folder / "noisy.png", "--sigma", str(SIGMA), "-o", folder / "denoised.png", "--overwrite")
    side_by_side(folder / "noisy.png", folder / "denoised.png", folder / "denoise-before-after.png")

    photo = data.astronaut()
    mask = scribbles(*photo.shape[:2])
    mask.save(folder / "mask.png")
    damaged = photo.copy()
    damaged[np.asarray(mask) > 127] = 255
    Image.fromarray(damaged).save(folder / "damaged.png")
    flags = ("--mask", folder / "mask.png", "-o", folder / "inpainted.png", "--overwrite")
    restorekit("inpaint", folder / "damaged.png", *flags)
    side_by_side(folder / "damaged.png", folder / "inpainted.png", folder / "inpaint-before-after.png")
    print(f"Results: {folder / 'denoise-before-after.png'} and {folder / 'inpaint-before-after.png'}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo"))
