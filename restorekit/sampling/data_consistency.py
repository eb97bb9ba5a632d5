"""Data consistency for linear problems y = A x: projections, and samplers that impose y at every step."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from torch import Tensor

from restorekit.core.denoiser import Denoiser, denoise_at
from restorekit.core.operators import LinearOperator
from restorekit.sampling.samplers import Noise, OnStep, ddim_step


def project(operator: LinearOperator, y: Tensor, x: Tensor) -> Tensor:
    """Return the image closest to x with A x = y: A^+ y + (I - A^+ A) x (DDNM, Wang et al. 2022, equation 7)."""
    return x + operator.pinv(y - operator.forward(x))


def proximal(operator: LinearOperator, y: Tensor, x: Tensor, damping: float) -> Tensor:
    """Return argmin |A z - y|^2 + damping |z - x|^2 over z: the counterpart of `project` for noisy measurements."""
    return x + operator.adjoint(operator.solve(y - operator.forward(x), damping))


def sample_ddnm(
    prior: Denoiser,
    operator: LinearOperator,
    y: Tensor,
    x: Tensor,
    ladder: Tensor,
    noise: Noise,
    *,
    eta: float = 0.85,
    resample: int = 1,
    clip: bool = True,
    on_step: OnStep | None = None,
) -> Tensor:
    """Sample by DDIM with every D projected onto the data (DDNM, Wang et al. 2022, arXiv 2212.00490, algorithm 1).

    eta: fraction of fresh noise (DDIM); the paper's chain is eta = 1. resample: number of passes per level; all passes
    but the last return to the level before with fresh noise (RePaint, Lugmayr et al. 2022, arXiv 2201.09865, algorithm
    1 with U = resample and a jump length of 1), which harmonizes known and unknown pixels. x is the state at ladder[0];
    other arguments as in `restorekit.sampling.samplers`.
    """
    for index, (t, s) in enumerate(itertools.pairwise(ladder.tolist())):
        for repetition in range(resample):
            denoised = denoise_at(prior, x, t)
            denoised = project(operator, y, denoised.clamp(-1, 1) if clip else denoised)
            lower = ddim_step(x, denoised, t, s, noise, eta)
            if s == 0 or repetition == resample - 1:
                break
            x = lower + math.sqrt(t**2 - s**2) * noise.like(x)
        x = lower
        if on_step is not None:
            on_step(index, x, denoised)
    return x


def plug_and_play(
    prior: Denoiser | Sequence[Denoiser],
    operator: LinearOperator,
    y: Tensor,
    start: Tensor,
    ladder: Tensor,
    *,
    sigma_y: float = 0.0,
    weight: float = 0.23,
    on_step: OnStep | None = None,
) -> Tensor:
    """Half-quadratic splitting with a denoiser at decreasing noise levels (DPIR, Zhang et al. 2021, arXiv 2008.13751,
    algorithm 1). No noise is added, so the result is close to the posterior mean.

    Without noise in y, each level denoises and then imposes y, so that the result is consistent with y. With noise of
    sigma_y, level k denoises the proximal point with alpha_k = weight sigma_y^2 / sigma_k^2 (equation 6; weight is the
    paper's lambda), and the result is the output of the last denoiser.

    start: initial estimate (N, C, H, W), with errors of the order of ladder[0]. prior: a sequence of priors is cycled,
    one prior per level.
    """
    priors = prior if isinstance(prior, Sequence) else [prior]
    sigmas = ladder[:-1].tolist()

    def data_step(image: Tensor, sigma: float) -> Tensor:
        if sigma_y == 0:
            return project(operator, y, image)
        return proximal(operator, y, image, weight * sigma_y**2 / sigma**2)

    x = data_step(start, sigmas[0])
    for index, (sigma, below) in enumerate(zip(sigmas, [*sigmas[1:], None], strict=True)):
        denoised = denoise_at(priors[index % len(priors)], x, sigma)
        x = denoised if below is None and sigma_y > 0 else data_step(denoised, below or sigma)
        if on_step is not None:
            on_step(index, x, denoised)
    return x
