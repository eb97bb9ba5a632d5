"""Plausible answers for holes, drawn from a first one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import restorekit as rk

if TYPE_CHECKING:
    from torch import Tensor

    from restorekit import Denoiser, ImageNoise

# Where drawing starts: noise that hides the first answer altogether.
DRAW_FROM = 4.0
# Where it starts from the prior's own least-squares fill: noise that hides what this one lacks.
FILL_FROM = 1.0
# And where it starts from an answer at half the size: noise that hides the detail this one lacks.
SCALE_FROM = 0.5


def view_of(prior: Denoiser, hole: Tensor, y: Tensor) -> Denoiser:
    """The prior where there is something to fill; told which pixels are clean if it wants to know."""
    local = rk.only_where(prior, hole)
    return rk.Given(local, hole, y) if prior.partial_noise else local


def fill_of(prior: Denoiser, y: Tensor, hole: Tensor) -> Tensor:
    """y with the least-squares answer E[x0 | known pixels] of a prior that fills."""
    first = rk.smooth_fill(y, hole)
    return rk.denoise_at(view_of(prior, hole, first), first, math.inf)


def draw_from(
    first: Tensor,
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
    """DDIM with data consistency from `first` (N, C, H, W), the photo with an answer in its hole, after noise of sigma;
    other arguments as in `sample_consistent`."""
    known, view = rk.Masking(~hole), view_of(prior, hole, first)
    ladder = rk.ladder_for(view, steps, sigma_max=sigma)
    start = first + float(ladder[0]) * noise.like(first)
    seen = known.forward(first)
    return rk.sample_consistent(view, known, seen, start, ladder, noise, eta=eta, resample=resample, clip=clip)
