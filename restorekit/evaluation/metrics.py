"""PSNR and SSIM of images in [-1, 1]."""

from __future__ import annotations

import math
import warnings

import numpy as np
import torch
from skimage.metrics import structural_similarity
from torch import Tensor

from restorekit.errors import OptionError, RestorekitWarning
from restorekit.run.image_input import ImageInput, read_image

# Side of the window of SSIM.
WINDOW = 11


def psnr(image: ImageInput, target: ImageInput, where: Tensor | None = None) -> float:
    """Return the peak signal-to-noise ratio in dB, 10 log10(2^2 / MSE): the range of [-1, 1] is the peak.

    image, target: tensors (C, H, W) or (N, C, H, W) in [-1, 1], C any; values outside the range are not clipped. Also
        what `rk.denoise` accepts: NumPy arrays of uint8, uint16 or floats in [0, 1], PIL images and paths, which are
        converted to [-1, 1], without alpha.
    where: (1, H, W) bool; if given, the mean squared error is over all channels of these pixels only.

    Infinite if the images are equal. Computed in float64. Raises OptionError if the images are of other kinds or differ
    in size.
    """
    a, b = _tensors(image, target, "psnr")
    error = (a.double() - b.double()).square()
    if where is not None:
        error = error[(where[0] if where.ndim > error.ndim else where).expand_as(error)]
    mean = error.mean().item()
    return math.inf if mean == 0 else 10 * math.log10(4 / mean)


def ssim(image: ImageInput, target: ImageInput) -> float:
    """Return the structural similarity index (Wang et al. 2004, IEEE TIP 13(4)), at most 1, the mean over channels.

    image, target: tensors (C, H, W) or (1, C, H, W) in [-1, 1], C any, height and width at least 11; or other kinds of
        images, as for `psnr`.

    Computed in float64 by scikit-image's `structural_similarity` with the paper's settings: a Gaussian window of
    standard deviation 1.5, K1 = 0.01, K2 = 0.03, and population covariances. Raises OptionError if the images are of
    other kinds or sizes.
    """
    tensors = _tensors(image, target, "ssim")
    shape = tuple(tensors[0].shape)
    if len(shape) != 3 or min(shape[1:]) < WINDOW:
        raise OptionError(f"ssim: found images {shape}, allowed: (C, H, W), H and W at least {WINDOW}")
    a, b = (np.asarray(x.detach().cpu().double()) for x in tensors)
    return float(
        structural_similarity(
            a, b, data_range=2.0, channel_axis=0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
    )


def _tensors(image: ImageInput, target: ImageInput, where: str) -> tuple[Tensor, Tensor]:
    """Return both images as tensors in [-1, 1], (C, H, W) for a single image; raise OptionError if shapes differ."""
    a, b = _tensor(image, f"{where}: image"), _tensor(target, f"{where}: target")
    if a.shape != b.shape:
        raise OptionError(f"{where}: found images {tuple(a.shape)} and {tuple(b.shape)}, allowed: of equal shape")
    return a, b


def _tensor(image: ImageInput, where: str) -> Tensor:
    if isinstance(image, Tensor):
        if not image.is_floating_point():
            convert = "; x / 127.5 - 1 converts 0 to 255" if image.dtype == torch.uint8 else ""
            raise OptionError(f"{where}: found a tensor of {image.dtype}, allowed: floats in [-1, 1]{convert}")
        return image[0] if image.ndim == 4 and len(image) == 1 else image
    read = read_image(image, where)
    if read.note:
        warnings.warn(RestorekitWarning(read.note), stacklevel=4)
    y = read.y if read.photo is None else read.photo.tensor()
    assert y is not None
    return y[0]
