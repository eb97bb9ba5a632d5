"""PSNR and SSIM of photos of any size, with bounded memory."""

from __future__ import annotations

import math

import numpy as np
from skimage.metrics import structural_similarity

from restorekit.evaluation.metrics import WINDOW
from restorekit.run.photo import Photo

# Pixels that are compared at once.
PIXELS_AT_ONCE = 1_000_000
# Rows and columns at the border that SSIM leaves out: half a window.
BORDER = WINDOW // 2


def photo_scores(photo: Photo, truth: Photo) -> tuple[float, float] | None:
    """Return PSNR in dB and SSIM, as `psnr` and `ssim` define them; None if the photos differ in size.

    A grey photo is compared with each channel of a colour photo. SSIM is NaN for photos that are smaller than its
    window. The photos are compared in strips, so that the memory does not depend on their size.
    """
    height, width = photo.pixels.shape[:2]
    if truth.pixels.shape[:2] != (height, width):
        return None
    rows = max(WINDOW, PIXELS_AT_ONCE // width)
    channels = max(photo.pixels.shape[2], truth.pixels.shape[2])
    error = similarity = 0.0
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        start, end = max(0, top - BORDER), min(height, bottom + BORDER)
        one, other = (np.asarray(image.tensor(slice(start, end))[0].double()) for image in (photo, truth))
        one, other = (np.broadcast_to(image, (channels, *image.shape[1:])) for image in (one, other))
        inner = slice(top - start, bottom - start)
        error += float(np.square(one[:, inner] - other[:, inner]).sum())
        if min(height, width) >= WINDOW:
            similarity += _similarity(one, other, max(top, BORDER) - start, min(bottom, height - BORDER) - start)
    mean = error / (channels * height * width)
    valid = channels * (height - 2 * BORDER) * (width - 2 * BORDER)
    score = similarity / valid if min(height, width) >= WINDOW else math.nan
    return (math.inf if mean == 0 else 10 * math.log10(4 / mean)), score


def _similarity(one: np.ndarray, other: np.ndarray, first: int, last: int) -> float:
    """Return the sum of SSIM over rows first ... last - 1 of two strips (C, H, W), without the border columns."""
    if last <= first or one.shape[1] < WINDOW:
        return 0.0
    _, values = structural_similarity(
        one,
        other,
        data_range=2.0,
        channel_axis=0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    return float(values[:, first:last, BORDER:-BORDER].sum())
