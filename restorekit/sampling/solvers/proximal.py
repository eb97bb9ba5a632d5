"""Solvers that alternate the prior with a proximal step on the data term, without gradients: DiffPIR and DPIR."""

from __future__ import annotations

import itertools
import math

from torch import Tensor

from restorekit.core.denoiser import Denoiser, denoise_at
from restorekit.core.ladders import geometric_ladder, known_sigma
from restorekit.core.operators import LinearOperator
from restorekit.initial.least_squares import initial_estimate
from restorekit.sampling.data_consistency import plug_and_play, proximal
from restorekit.sampling.samplers import Noise, OnStep
from restorekit.sampling.solvers.setup import (
    check_methods,
    check_problem,
    check_range,
    check_schedule,
    check_shapes,
    initial_state,
    zero_image,
)

# Damping for a measurement without noise, so that A A^T need not be invertible.
MIN_DAMPING = 1e-6
# DPIR's first noise level (49 grey levels), and its last level for measurements with less noise than that.
DPIR_FROM, DPIR_TO = 98 / 255, 0.01


def solve_diffpir(
    prior: Denoiser,
    operator: LinearOperator,
    y: Tensor,
    sigma_y: float,
    noise: Noise,
    *,
    steps: int,
    weight: float = 1.0,
    fresh: float = 1.0,
    start: Tensor | None = None,
    sigma_max: float | None = None,
    ladder: Tensor | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """DiffPIR: alternates denoising, a proximal step on the data term, and added noise; no gradients.

    Zhu et al. 2023, arXiv 2305.08995, algorithm 1. weight is the paper's lambda, with rho_t = lambda sigma_y^2 /
    sigma_t^2; fresh is its zeta, the fraction of fresh noise. The paper selects both for every task, from 1 to 25
    and from 0 to 1. Of the values tried, the defaults were closest to the posterior of a Gaussian prior and best on
    blurred photos.

    Biased: with much fresh noise the variance is too small, and results are biased toward the prior where pixels are
    missing. docs/solvers.md has the measured bias.
    """
    check_problem(operator, y, sigma_y, noise)
    check_methods("diffpir", operator, "solve")
    check_range("weight", weight, 0)
    check_range("fresh", fresh, 0, 1)
    x, sigmas = initial_state(prior, operator, y, noise, steps=steps, start=start, sigma_max=sigma_max, ladder=ladder)
    for index, (t, s) in enumerate(itertools.pairwise(sigmas.tolist())):
        denoised = denoise_at(prior, x, t)
        nearest = proximal(operator, y, denoised, max(weight * sigma_y**2 / t**2, MIN_DAMPING))
        estimated_noise = (x - nearest) / t
        x = nearest + s * (math.sqrt(1 - fresh) * estimated_noise + math.sqrt(fresh) * noise.like(x))
        if on_step is not None:
            on_step(index, x, nearest)
    return x


def solve_dpir(
    prior: Denoiser,
    operator: LinearOperator,
    y: Tensor,
    sigma_y: float,
    noise: Noise,
    *,
    steps: int,
    weight: float = 0.23,
    start: Tensor | None = None,
    sigma_max: float | None = None,
    ladder: Tensor | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """DPIR: plug-and-play loop of proximal steps and a denoiser at decreasing noise levels; a single estimate.

    Zhang et al. 2021, arXiv 2008.13751, algorithm 1, by `plug_and_play`: sigma decreases geometrically from 49 grey
    levels to that of the measurement (at least 1.3 grey levels), alpha_k = weight sigma_y^2 / sigma_k^2, and weight is
    the paper's lambda. start: by default `initial_estimate`. The solver is deterministic: `noise` is ignored.

    Not a sample: a single estimate close to the posterior mean. docs/solvers.md has the measured bias.
    """
    check_problem(operator, y, sigma_y, noise)
    check_methods("dpir", operator, "solve")
    ladder = check_schedule(steps, sigma_max, ladder)
    check_range("weight", weight, 0)
    if start is None:
        zero_image(prior, operator, y)
        start = initial_estimate(operator, y, sigma_y)
    check_shapes(prior, operator, y, start)
    if ladder is None:
        low = max(sigma_y, DPIR_TO)
        ladder = geometric_ladder(max(DPIR_FROM if sigma_max is None else sigma_max, low), low, steps)
    known = ladder.new_tensor([*(known_sigma(prior, sigma) for sigma in ladder[:-1].tolist()), 0])
    return plug_and_play(prior, operator, y, start, known, sigma_y=sigma_y, weight=weight, on_step=on_step)
