"""Samplers and loops for noise-free linear problems y = A x over any denoiser."""

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
    on_step: OnStep | None = None,
) -> Tensor:
    """Half-quadratic splitting with a denoiser at falling noise levels (Zhang et al. 2021, DPIR, arXiv 2008.13751,
    algorithm 1) for a noise-free problem: denoise, then impose y. No noise is added, so the answer is near the mean.

    start is a first guess (N, C, H, W) at the scale of ladder[0]. Several priors are taken in turn.
    """
    priors = prior if isinstance(prior, Sequence) else [prior]
    x = consistent(operator, y, start)
    for index, sigma in enumerate(ladder[:-1].tolist()):
        denoised = denoise_at(priors[index % len(priors)], x, sigma)
        x = consistent(operator, y, denoised)
        if on_step is not None:
            on_step(index, x, denoised)
    return x
