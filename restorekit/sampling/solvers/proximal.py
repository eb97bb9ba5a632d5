"""Solvers that alternate the prior with the proximal point of the measurement: DiffPIR and DPIR; no gradients."""

from __future__ import annotations

import itertools
import math

from torch import Tensor

from restorekit.core.denoiser import Denoiser, denoise_at
from restorekit.core.ladders import geometric_ladder, known_sigma
from restorekit.core.operators import LinearOperator
from restorekit.sampling.consistent import plug_and_play, proximal
from restorekit.sampling.samplers import Noise, OnStep
from restorekit.sampling.solvers.begin import begin, blank, checked, within
from restorekit.sampling.solvers.first import first_guess

# Damping stands in for no noise at all, so that A A^T need not be invertible.
LEAST_DAMPING = 1e-6
# DPIR's first noise level, 49 grey levels, and the last one for measurements of less noise.
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
    """DiffPIR: the prior, the proximal point of the measurement, and noise again, level by level; no gradients.

    Zhu et al. 2023, arXiv 2305.08995, algorithm 1. weight is the paper's lambda, its rho_t = lambda sigma_y^2 /
    sigma_t^2; fresh is its zeta, the share of new noise. The paper chooses both for every task, from 1 to 25 and from 0
    to 1; of those tried the defaults here were nearest to the posterior of a Gaussian prior and best on blurred photos.

    Biased: with much fresh noise too narrow, and leaning to the prior where pixels are missing. The measured table is
    in docs/solvers.md.
    """
    within("weight", weight, 0)
    within("fresh", fresh, 0, 1)
    x, chosen = begin(prior, operator, y, sigma_y, noise, steps=steps, start=start, sigma_max=sigma_max, ladder=ladder)
    for index, (t, s) in enumerate(itertools.pairwise(chosen.tolist())):
        denoised = denoise_at(prior, x, t)
        nearest = proximal(operator, y, denoised, max(weight * sigma_y**2 / t**2, LEAST_DAMPING))
        kept = (x - nearest) / t
        x = nearest + s * (math.sqrt(1 - fresh) * kept + math.sqrt(fresh) * noise.like(x))
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
    """DPIR: a plug-and-play loop of the data's proximal point and a denoiser of falling strength; one answer.

    Zhang et al. 2021, arXiv 2008.13751, algorithm 1, by `plug_and_play`: sigma falls geometrically from 49 grey levels
    to that of the measurement (at least 1.3 grey levels), alpha_k = weight sigma_y^2 / sigma_k^2 and weight is the
    paper's lambda. start: by default `first_guess`. It draws no noise: `noise` is not looked at.

    No sample: one point, whose variance is 0, near the posterior mean; measured in docs/solvers.md.
    """
    within("steps", steps, 1)
    within("weight", weight, 0)
    if start is None:
        blank(prior, operator, y, sigma_y)
        start = first_guess(operator, y, sigma_y)
    checked(prior, operator, y, sigma_y, start)
    if ladder is None:
        low = max(sigma_y, DPIR_TO)
        ladder = geometric_ladder(max(DPIR_FROM if sigma_max is None else sigma_max, low), low, steps)
    known = ladder.new_tensor([*(known_sigma(prior, sigma) for sigma in ladder[:-1].tolist()), 0])
    return plug_and_play(prior, operator, y, start, known, sigma_y=sigma_y, weight=weight, on_step=on_step)
