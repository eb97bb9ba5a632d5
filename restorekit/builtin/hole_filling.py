"""Filling holes with a prior: its mean, or samples that start from an initial estimate."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

import restorekit as rk
from restorekit.builtin.holes import Box, contrast, separate_parts
from restorekit.core.denoiser import Wrapper

if TYPE_CHECKING:
    from torch import Tensor

    from restorekit import Denoiser, ImageNoise

# First sigma of sampling from a smooth fill: noise that hides the fill completely.
SAMPLE_SIGMA = 4.0
# First sigma of sampling from the mean fill of the prior: noise that hides the detail that the mean lacks.
MEAN_FILL_SIGMA = 1.0
# First sigma of sampling from a result at half the size: noise that hides the detail that upsampling lacks.
UPSAMPLED_SIGMA = 0.5
# Size in pixels of this detail.
UPSAMPLED_DETAIL = 3
# Width of the border of known pixels around a part of a narrow hole from which it is filled.
MARGIN = 16
# Width of the border of known pixels around a part of a hole from which it is sampled: half of the crops on which the
# bundled priors were trained.
SAMPLE_MARGIN = 32
# Ratio of the first sigma to the contrast of the known pixels: noise that hides the detail that they have.
CONTRAST_FACTOR = 4.0
# Smallest first sigma, about 4 grey levels: the noise of the photo itself must be hidden too.
MIN_FIRST_SIGMA = 0.03


def window_of(prior: Denoiser) -> int | None:
    """Return the side of the images that a prior was trained on, inside all wrappers; None if it accepts any."""
    while isinstance(prior, Wrapper):
        prior = prior.inner
    return prior.info.size


def fill_windows(y: Tensor, hole: Tensor, prior: Denoiser, fill: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Fill a hole window by window, evaluating nothing elsewhere.

    y: (1, C, H, W) in [-1, 1]. hole: (1, 1, H, W) bool, with a marked pixel. prior: the prior that `fill` uses; windows
    are at least as large as those that it was trained on.
    fill: receives the windows (N, C, h, w) and their holes (N, 1, h, w), and returns the filled windows.
    """
    from restorekit.builtin.holes import GRID, cover, hole_width

    margin = GRID * math.ceil(max(MARGIN, hole_width(hole)) / GRID)
    windows = cover(hole, margin, window_of(prior) or 1)
    return windows.paste(fill(windows.crop(y), windows.crop(hole)), y)


def with_known_pixels(prior: Denoiser, hole: Tensor, y: Tensor) -> Denoiser:
    """Return the prior with the pixels outside a hole known exactly, if it supports partial noise.

    hole: (N or 1, 1, H, W) bool. y: (N, C, H, W) in [-1, 1]; its values in the hole are ignored.
    """
    return rk.KnownPixels(prior, hole, y) if prior.info.partial_noise else prior


def restrict_to_hole(prior: Denoiser, hole: Tensor, y: Tensor) -> Denoiser:
    """Return the prior `with_known_pixels`, evaluated only at the hole."""
    from restorekit.priors.tiled import only_where

    return with_known_pixels(only_where(prior, hole), hole, y)


def mean_fill(prior: Denoiser, y: Tensor, hole: Tensor) -> Tensor:
    """Fill a hole with E[x0 | known pixels] of a prior that supports holes, in one evaluation.

    y: (N, C, H, W) in [-1, 1]. hole: (N or 1, 1, H, W) bool. Returns like y.
    """
    initial = rk.smooth_fill(y, hole)
    return rk.denoise_at(restrict_to_hole(prior, hole, initial), initial, math.inf)


def sample_hole(
    initial: Tensor,
    sigma: float,
    hole: Tensor,
    prior: Denoiser,
    noise: ImageNoise,
    *,
    steps: int,
    eta: float,
    resample: int,
    clip: bool = True,
    detail: int | None = None,
    nearby: bool = True,
) -> Tensor:
    """Sample the pixels of a hole by DDIM with data consistency, from an initial estimate with added noise.

    Parts of the hole that are far from each other are sampled in turn; see `nearby`.

    initial: (N, C, H, W) in [-1, 1], the known pixels and an initial estimate of the hole.
    sigma: standard deviation of the added noise. hole: (1, 1, H, W) bool. Other arguments as in `sample_ddnm`.
    detail: size in pixels of the detail that the initial estimate lacks; sigma is reduced if the known pixels near a
        part of the hole have little of it. Default: sigma is not reduced.
    nearby: evaluate a prior that accepts any size only near each part, as if there were nothing else.
    """
    parts = iter([(hole, Box(0, 0, *hole.shape[-2:]))])
    if nearby and window_of(prior) is None:
        parts = separate_parts(hole, SAMPLE_MARGIN)
    result, unknown = initial, hole
    for part, box in parts:
        image, own = box.crop(result, 0.0), box.crop(unknown.float(), 0.0) > 0
        first = sigma
        if detail is not None:
            first = min(sigma, max(MIN_FIRST_SIGMA, CONTRAST_FACTOR * contrast(image, ~own, detail)))
        operator, local = rk.Masking(~own), restrict_to_hole(prior, own, image)
        ladder = rk.ladder_for(local, steps, sigma_max=first)
        start = image + float(ladder[0]) * noise.like(image)
        y = operator.forward(image)
        filled = rk.sample_ddnm(local, operator, y, start, ladder, noise, eta=eta, resample=resample, clip=clip)
        result = torch.where(part, box.paste(filled, result), result)
        unknown = unknown & ~part
    return result
