"""Classical methods from libraries: scikit-image, and OpenCV and BM3D if they are installed.

Images are (C, H, W) in [-1, 1]. Denoisers take (noisy image, sigma in the same unit), fillers (image, hole (1, H, W)
bool), deblurring methods (blurred image, kernel (h, w)).
"""

from __future__ import annotations

import importlib.util
import math
import warnings
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from skimage import restoration
from torch import Tensor

from restorekit.core.denoiser import GREY_LEVEL
from restorekit.evaluation.metrics import psnr

Denoise = Callable[[Tensor, float], Tensor]
Fill = Callable[[Tensor, Tensor], Tensor]


def _to_numpy(x: Tensor) -> NDArray[np.float64]:
    """Return an image (C, H, W) in [-1, 1] as (H, W, C) in [0, 1]."""
    return (np.asarray(x.double()).transpose(1, 2, 0) + 1) / 2


def _to_tensor(x: NDArray[Any]) -> Tensor:
    """Return an image (H, W, C) or (H, W) in [0, 1] as (C, H, W) in [-1, 1]."""
    x = x[..., None] if x.ndim == 2 else x
    return torch.from_numpy(np.ascontiguousarray(x.transpose(2, 0, 1))).float() * 2 - 1


def nlm(noisy: Tensor, sigma: float) -> Tensor:
    """Non-local means (Buades et al. 2005), in the fast mode with h = 0.6 sigma, as in scikit-image's example."""
    s = sigma / 2
    options = {"patch_size": 5, "patch_distance": 6, "channel_axis": -1}
    return _to_tensor(restoration.denoise_nl_means(_to_numpy(noisy), h=0.6 * s, sigma=s, fast_mode=True, **options))


def wavelet(noisy: Tensor, sigma: float) -> Tensor:
    """Wavelet denoising by BayesShrink (Chang et al. 2000), in YCbCr."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-image warns about every level that it cannot use
        colour = noisy.shape[0] == 3
        return _to_tensor(
            restoration.denoise_wavelet(
                _to_numpy(noisy), sigma=sigma / 2, channel_axis=-1, convert2ycbcr=colour, rescale_sigma=True
            )
        )


def total_variation(noisy: Tensor, sigma: float) -> Tensor:
    """Total variation (Chambolle 2004); its weight is the noise level for images in [0, 1]."""
    return _to_tensor(restoration.denoise_tv_chambolle(_to_numpy(noisy), weight=sigma / 2, channel_axis=-1))


def bm3d(noisy: Tensor, sigma: float) -> Tensor:
    """BM3D, colour or grey (Dabov et al. 2007), from the authors' package."""
    from bm3d import bm3d, bm3d_rgb

    method = bm3d_rgb if noisy.shape[0] == 3 else bm3d
    return _to_tensor(np.asarray(method(_to_numpy(noisy), sigma / 2)))


def biharmonic(image: Tensor, hole: Tensor) -> Tensor:
    """Inpainting by biharmonic equations (Damelin and Hoang 2018)."""
    filled = restoration.inpaint_biharmonic(
        _to_numpy(image), np.asarray(hole[0]), channel_axis=-1, split_into_regions=True
    )
    return _to_tensor(filled)


def _opencv(method: str) -> Fill:
    def fill(image: Tensor, hole: Tensor) -> Tensor:
        import cv2

        flag = {"telea": cv2.INPAINT_TELEA, "navier-stokes": cv2.INPAINT_NS}[method]
        pixels = (_to_numpy(image) * 255).round().clip(0, 255).astype(np.uint8)
        mask = np.asarray(hole[0]).astype(np.uint8)
        return _to_tensor(cv2.inpaint(np.ascontiguousarray(pixels), mask, 3, flag).astype(np.float64) / 255)

    return fill


def bicubic(small: Tensor, factor: int) -> Tensor:
    """Bicubic upsampling by an integer factor (Keys 1981)."""
    large: Tensor = F.interpolate(small[None], scale_factor=factor, mode="bicubic")[0]
    return large


# Weight of the smoothness term for images in [0, 1]: the best of 1e-4 to 3e-2 on two photos with noise of 2 grey
# levels.
WIENER_BALANCE = 1e-3


def wiener(blurred: Tensor, kernel: Tensor) -> Tensor:
    """Wiener filter with a Laplacian as the regularization operator; the boundary is circular."""
    pixels, point_spread = _to_numpy(blurred), np.asarray(kernel.double())
    bands = [restoration.wiener(band, point_spread, WIENER_BALANCE, clip=False) for band in pixels.transpose(2, 0, 1)]
    return _to_tensor(np.stack(bands, -1))


def richardson_lucy(blurred: Tensor, kernel: Tensor) -> Tensor:
    """Richardson-Lucy deconvolution, 30 iterations; the boundary is circular."""
    pad = max(kernel.shape)
    padded = np.pad(_to_numpy(blurred), ((pad, pad), (pad, pad), (0, 0)), mode="wrap")
    point_spread = np.asarray(kernel.double())
    bands = [
        restoration.richardson_lucy(band, point_spread, num_iter=30, clip=False)[pad:-pad, pad:-pad]
        for band in padded.transpose(2, 0, 1)
    ]
    return _to_tensor(np.stack(bands, -1))


def denoisers() -> dict[str, Denoise]:
    """Return the denoising methods whose packages are installed, by name."""
    methods: dict[str, Denoise] = {"NLM": nlm, "TV": total_variation}
    if importlib.util.find_spec("pywt"):
        methods["wavelet"] = wavelet
    if importlib.util.find_spec("bm3d"):
        methods["BM3D"] = bm3d
    return methods


# Strengths of a denoiser in 8-bit grey levels.
STRENGTHS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 75)


def best_strength(method: Denoise, pairs: Sequence[tuple[Tensor, Tensor]]) -> int:
    """Return the sigma of `STRENGTHS`, in 8-bit grey levels, with the highest mean PSNR over the pairs.

    pairs: (degraded, true), both (C, H, W) in [-1, 1]. The search goes upwards and ends at a mean PSNR that is
    1 dB below the highest. A smaller decrease does not end it: weak non-local means may lose a little before they gain.
    """
    best, highest = STRENGTHS[0], -math.inf
    for strength in STRENGTHS:
        mean = fmean(psnr(method(degraded, strength * GREY_LEVEL), true) for degraded, true in pairs)
        if mean > highest:
            best, highest = strength, mean
        elif mean < highest - 1:
            break
    return best


def fillers() -> dict[str, Fill]:
    """Return the inpainting methods whose packages are installed, by name."""
    methods: dict[str, Fill] = {"biharmonic": biharmonic}
    if importlib.util.find_spec("cv2"):
        methods.update({"Telea": _opencv("telea"), "Navier-Stokes": _opencv("navier-stokes")})
    return methods
