"""PSNR and SSIM of images in [-1, 1]."""

from __future__ import annotations

import math

import numpy as np
from skimage.metrics import structural_similarity
from torch import Tensor


def psnr(image: Tensor, target: Tensor, where: Tensor | None = None) -> float:
    """Return the peak signal-to-noise ratio in dB, 10 log10(2^2 / MSE): the range of [-1, 1] is the peak.

    image, target: (C, H, W) in [-1, 1], C any; values outside the range are not clipped.
    where: (1, H, W) bool; if given, the mean squared error is over all channels of these pixels only.

    Infinite if the images are equal. Computed in float64.
    """
    error = (image.double() - target.double()).square()
    selected = error if where is None else error[where.expand_as(error)]
    mean = selected.mean().item()
    return math.inf if mean == 0 else 10 * math.log10(4 / mean)


def ssim(image: Tensor, target: Tensor) -> float:
    """Return the structural similarity index (Wang et al. 2004, IEEE TIP 13(4)), at most 1, the mean over channels.

    image, target: (C, H, W) in [-1, 1], C any, height and width at least 11.

    Computed in float64 by scikit-image's `structural_similarity` with the paper's settings: a Gaussian window of
    standard deviation 1.5, K1 = 0.01, K2 = 0.03, and population covariances.
    """
    a, b = (np.asarray(x.double()) for x in (image, target))
    return float(
        structural_similarity(
            a, b, data_range=2.0, channel_axis=0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
    )
