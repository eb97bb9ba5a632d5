"""Plug-and-play by half-quadratic splitting for measurements with noise."""

from __future__ import annotations

from torch import Tensor

from restorekit.core.denoiser import Denoiser, denoise_at
from restorekit.core.ladders import geometric_ladder, known_sigma
from restorekit.core.operators import LinearOperator
from restorekit.sampling.samplers import Noise, OnStep
from restorekit.sampling.solvers import LEAST_DAMPING

# First sigma, the paper's 49 of 255 grey levels, and least last one, under which there is nothing left to remove.
FROM, LEAST = 2 * 49 / 255, 0.02


def solve_dpir(
    prior: Denoiser,
    operator: LinearOperator,
    y: Tensor,
    sigma_y: float,
    noise: Noise,
    *,
    steps: int,
    start: Tensor | None = None,
    ladder: Tensor | None = None,
    weight: float = 0.23,
    on_step: OnStep | None = None,
) -> Tensor:
    """DPIR (Zhang et al. 2021, arXiv 2008.13751, algorithm 1): the proximal point of the measurement, then D, at
    falling noise levels. No noise is drawn, so the answer is near the mean; it ends with a proximal point.

    start: a first guess (N, C, H, W); by default the proximal point of 0. ladder: (steps + 1,), by default geometric
    from 49 grey levels of 255 down to sigma_y, its levels those that the prior knows. weight: the paper's lambda; its
    alpha_k is lambda sigma_y^2 / sigma_k^2.
    """
    if ladder is None:
        ladder = geometric_ladder(FROM, min(max(sigma_y, LEAST, prior.sigma_min), FROM), steps)
    levels = [known_sigma(prior, sigma) for sigma in ladder[:-1].tolist()]

    def nearest(x: Tensor, sigma: float) -> Tensor:
        damping = max(weight * sigma_y**2 / sigma**2, LEAST_DAMPING)
        return x + operator.adjoint(operator.solve(y - operator.forward(x), damping))

    x = start if start is not None else operator.adjoint(operator.solve(y, max(sigma_y**2, LEAST_DAMPING)))
    x = nearest(x, levels[0])
    for index, sigma in enumerate(levels):
        denoised = denoise_at(prior, x, sigma)
        x = nearest(denoised, sigma if index == len(levels) - 1 else levels[index + 1])
        if on_step is not None:
            on_step(index, x, denoised)
    return x
