"""Classical methods, from libraries: scikit-image, and OpenCV and BM3D where they are installed.

Denoisers take (noisy (C, H, W) in [-1, 1], sigma in the same unit), fillers (image (C, H, W), hole (1, H, W) bool),
deblurring (blurred (C, H, W), kernel (h, w)).
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from skimage import restoration
from torch import Tensor

Denoise = Callable[[Tensor, float], Tensor]
Fill = Callable[[Tensor, Tensor], Tensor]


def _last(x: Tensor) -> NDArray[np.float64]:
    """(H, W, C) in [0, 1]."""
    return (np.asarray(x.double()).transpose(1, 2, 0) + 1) / 2


def _first(x: NDArray[Any]) -> Tensor:
    x = x[..., None] if x.ndim == 2 else x
    return torch.from_numpy(np.ascontiguousarray(x.transpose(2, 0, 1))).float() * 2 - 1


def nlm(noisy: Tensor, sigma: float) -> Tensor:
    """Non-local means (Buades et al. 2005), h = 0.6 sigma in the fast mode, as scikit-image's example has it."""
    s = sigma / 2
    options = {"patch_size": 5, "patch_distance": 6, "channel_axis": -1}
    return _first(restoration.denoise_nl_means(_last(noisy), h=0.6 * s, sigma=s, fast_mode=True, **options))


def wavelet(noisy: Tensor, sigma: float) -> Tensor:
    """BayesShrink on wavelets (Chang et al. 2000), in YCbCr."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-image warns of each level it could not use
        colour = noisy.shape[0] == 3
        return _first(
            restoration.denoise_wavelet(
                _last(noisy), sigma=sigma / 2, channel_axis=-1, convert2ycbcr=colour, rescale_sigma=True
            )
        )


def total_variation(noisy: Tensor, sigma: float) -> Tensor:
    """Total variation (Chambolle 2004), weight equal to the deviation of the noise in [0, 1]."""
    return _first(restoration.denoise_tv_chambolle(_last(noisy), weight=sigma / 2, channel_axis=-1))


def bm3d(noisy: Tensor, sigma: float) -> Tensor:
    """Colour BM3D (Dabov et al. 2007), the authors' package."""
    from bm3d import bm3d, bm3d_rgb

    method = bm3d_rgb if noisy.shape[0] == 3 else bm3d
    return _first(np.asarray(method(_last(noisy), sigma / 2)))


def biharmonic(image: Tensor, hole: Tensor) -> Tensor:
    """Biharmonic equations (Damelin and Hoang 2018)."""
    filled = restoration.inpaint_biharmonic(_last(image), np.asarray(hole[0]), channel_axis=-1, split_into_regions=True)
    return _first(filled)


def _opencv(method: str) -> Fill:
    def fill(image: Tensor, hole: Tensor) -> Tensor:
        import cv2

        flag = {"telea": cv2.INPAINT_TELEA, "navier-stokes": cv2.INPAINT_NS}[method]
        pixels = (_last(image) * 255).round().clip(0, 255).astype(np.uint8)
        marks = np.asarray(hole[0]).astype(np.uint8)
        return _first(cv2.inpaint(np.ascontiguousarray(pixels), marks, 3, flag).astype(np.float64) / 255)

    return fill


def bicubic(small: Tensor, factor: int) -> Tensor:
    """Bicubic enlargement (Keys 1981)."""
    large: Tensor = F.interpolate(small[None], scale_factor=factor, mode="bicubic")[0]
    return large


# Weight of smoothness in [0, 1] units: the best of 1e-4 to 3e-2 on two photos with noise of 2 grey levels.
WIENER_BALANCE = 1e-3


def wiener(blurred: Tensor, kernel: Tensor) -> Tensor:
    """Wiener filter with a Laplacian for the spectrum of the image; the border is circular."""
    pixels, point_spread = _last(blurred), np.asarray(kernel.double())
    bands = [restoration.wiener(band, point_spread, WIENER_BALANCE, clip=False) for band in pixels.transpose(2, 0, 1)]
    return _first(np.stack(bands, -1))


def richardson_lucy(blurred: Tensor, kernel: Tensor) -> Tensor:
    """Richardson-Lucy, 30 iterations, on the image continued circularly."""
    reach = max(kernel.shape)
    grown = np.pad(_last(blurred), ((reach, reach), (reach, reach), (0, 0)), mode="wrap")
    point_spread = np.asarray(kernel.double())
    bands = [
        restoration.richardson_lucy(band, point_spread, num_iter=30, clip=False)[reach:-reach, reach:-reach]
        for band in grown.transpose(2, 0, 1)
    ]
    return _first(np.stack(bands, -1))


def denoisers() -> dict[str, Denoise]:
    """The methods that can run here, by name."""
    found: dict[str, Denoise] = {"NLM": nlm, "TV": total_variation}
    if importlib.util.find_spec("pywt"):
        found["wavelet"] = wavelet
    if importlib.util.find_spec("bm3d"):
        found["BM3D"] = bm3d
    return found


def fillers() -> dict[str, Fill]:
    """The methods that can run here, by name."""
    found: dict[str, Fill] = {"biharmonic": biharmonic}
    if importlib.util.find_spec("cv2"):
        found.update({"Telea": _opencv("telea"), "Navier-Stokes": _opencv("navier-stokes")})
    return found
