"""Filling holes with a prior: its mean, or samples that start from an initial estimate."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import restorekit as rk

if TYPE_CHECKING:
    from torch import Tensor

    from restorekit import Denoiser, ImageNoise

# First sigma of sampling from a smooth fill: noise that hides the fill completely.
SAMPLE_SIGMA = 4.0
# First sigma of sampling from the mean fill of the prior: noise that hides the detail that the mean lacks.
MEAN_FILL_SIGMA = 1.0
# First sigma of sampling from a result at half the size: noise that hides the detail that upsampling lacks.
UPSAMPLED_SIGMA = 0.5


def restrict_to_hole(prior: Denoiser, hole: Tensor, y: Tensor) -> Denoiser:
    """Return the prior, evaluated only at a hole, with the pixels outside known exactly if it supports partial noise.

    hole: (N or 1, 1, H, W) bool. y: (N, C, H, W) in [-1, 1]; its values in the hole are ignored.
    """
    from restorekit.priors.tiled import only_where

    local = only_where(prior, hole)
    return rk.KnownPixels(local, hole, y) if prior.info.partial_noise else local


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
) -> Tensor:
    """Sample the pixels of a hole by DDIM with data consistency, from an initial estimate with added noise.

    initial: (N, C, H, W) in [-1, 1], the known pixels and an initial estimate of the hole.
    sigma: standard deviation of the added noise. hole: (N or 1, 1, H, W) bool. Other arguments as in `sample_ddnm`.
    """
    operator, local = rk.Masking(~hole), restrict_to_hole(prior, hole, initial)
    ladder = rk.ladder_for(local, steps, sigma_max=sigma)
    start = initial + float(ladder[0]) * noise.like(initial)
    y = operator.forward(initial)
    return rk.sample_ddnm(local, operator, y, start, ladder, noise, eta=eta, resample=resample, clip=clip)
