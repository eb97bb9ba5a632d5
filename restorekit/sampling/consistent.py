"""Samplers and loops for linear problems y = A x, most of them noise-free, over any denoiser."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from torch import Tensor

from restorekit.core.denoiser import Denoiser, denoise_at
from restorekit.core.operators import LinearOperator
from restorekit.sampling.samplers import Noise, OnStep, ddim_step


def consistent(operator: LinearOperator, y: Tensor, x: Tensor) -> Tensor:
    """The image nearest to x with A x = y: A^+ y + (I - A^+ A) x (DDNM, Wang et al. 2022, equation 7)."""
    return x + operator.pinv(y - operator.forward(x))


def proximal(operator: LinearOperator, y: Tensor, x: Tensor, damping: float) -> Tensor:
    """argmin |A z - y|^2 + damping |z - x|^2 over z: what `consistent` is for measurements with noise."""
    return x + operator.adjoint(operator.solve(y - operator.forward(x), damping))


def sample_consistent(
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
    """DDIM in which every D is made consistent with y (DDNM, arXiv 2212.00490, algorithm 1; eta is DDIM's share of
    fresh noise, which is the paper's at 1).

    resample > 1 goes back up one step with fresh noise and down again, that many times in all (RePaint, Lugmayr et
    al. 2022, arXiv 2201.09865, algorithm 1 with U = resample; the paper's jump length is 1 here), which lets known
    and unknown pixels agree. x is the state at ladder[0]; other arguments as in `restorekit.sampling.samplers`.
    """
    for index, (t, s) in enumerate(itertools.pairwise(ladder.tolist())):
        for turn in range(resample):
            denoised = denoise_at(prior, x, t)
            denoised = consistent(operator, y, denoised.clamp(-1, 1) if clip else denoised)
            lower = ddim_step(x, denoised, t, s, noise, eta)
            if s == 0 or turn == resample - 1:
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
    """Half-quadratic splitting with a denoiser at falling noise levels (Zhang et al. 2021, DPIR, arXiv 2008.13751,
    algorithm 1). No noise is added, so the answer is near the mean.

    Without noise in y it denoises, then imposes y, and ends with y. With noise of sigma_y, the proximal point of y with
    alpha_k = weight sigma_y^2 / sigma_k^2 (equation 6, the paper's lambda) is what level k denoises, and the answer is
    the last denoiser's.

    start is a first guess (N, C, H, W) at the scale of ladder[0]. Several priors are taken in turn.
    """
    priors = prior if isinstance(prior, Sequence) else [prior]
    sigmas = ladder[:-1].tolist()

    def held(image: Tensor, sigma: float) -> Tensor:
        if sigma_y == 0:
            return consistent(operator, y, image)
        return proximal(operator, y, image, weight * sigma_y**2 / sigma**2)

    x = held(start, sigmas[0])
    for index, (sigma, below) in enumerate(zip(sigmas, [*sigmas[1:], None], strict=True)):
        denoised = denoise_at(priors[index % len(priors)], x, sigma)
        last = below is None and sigma_y > 0
        x = denoised if last else held(denoised, below or sigma)
        if on_step is not None:
            on_step(index, x, denoised)
    return x
