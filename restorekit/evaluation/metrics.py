"""PSNR and SSIM of images in [-1, 1]."""

from __future__ import annotations

import math

import numpy as np
from skimage.metrics import structural_similarity
from torch import Tensor


def psnr(got: Tensor, want: Tensor, where: Tensor | None = None) -> float:
    """Peak signal-to-noise ratio in dB of (C, H, W) in [-1, 1] (peak 2), over all pixels or those of `where`.

    where: (1, H, W) bool; all channels of its pixels count. Infinite when nothing differs.
    """
    error = (got.double() - want.double()).square()
    chosen = error if where is None else error[where.expand_as(error)]
    mean = chosen.mean().item()
    return math.inf if mean == 0 else 10 * math.log10(4 / mean)


def ssim(got: Tensor, want: Tensor) -> float:
    """Structural similarity (Wang et al. 2004, Gaussian window of deviation 1.5) of (C, H, W) in [-1, 1]."""
    a, b = (np.asarray(x.double()) for x in (got, want))
    return float(
        structural_similarity(
            a, b, data_range=2.0, channel_axis=0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
    )
