"""Solvers that put the measurement in and leave the null space to the prior: RePaint and DDNM, for noise-free y."""

from __future__ import annotations

import math
from collections.abc import Iterator

from torch import Tensor

from restorekit.core.denoiser import Denoiser, denoise_at
from restorekit.core.operators import LinearOperator
from restorekit.errors import OptionError
from restorekit.sampling.consistent import consistent, sample_consistent
from restorekit.sampling.samplers import Noise, OnStep, ddim_step
from restorekit.sampling.solvers.begin import begin, within, without_noise

# RePaint's jump length and number of resamplings (arXiv 2201.09865, section 5.1).
JUMP, RESAMPLE = 10, 10


def solve_repaint(
    prior: Denoiser,
    operator: LinearOperator,
    y: Tensor,
    sigma_y: float,
    noise: Noise,
    *,
    steps: int,
    jump: int = JUMP,
    resample: int = RESAMPLE,
    clip: bool = True,
    start: Tensor | None = None,
    sigma_max: float | None = None,
    ladder: Tensor | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """RePaint: DDPM's chain with known pixels put in at their own noise, going back up to let both parts agree.

    Lugmayr et al. 2022, arXiv 2201.09865, algorithm 1. In sigma: a step down from t to s draws the known part afresh,
    y + s A n (equation 8a), and the unknown part by DDPM's posterior (8b); a step up from s to t adds noise of variance
    t^2 - s^2 (line 10). After every `jump` levels the walk goes up by as many and down again, `resample` times in all
    (appendix, the paper's j and r; see `jump_walk`). Written for masks; for any other operator it does for A x what it
    does for known pixels, as an unrelated A^+ allows: x + A^+ (y + s A n - A x).

    Erratum: algorithm 1, line 5, multiplies the noise with 1 - alpha_bar_t, the variance of equation 8a, where its
    square root belongs, and has level t where the unknown part that it is joined to has t - 1.

    Biased: the unknown part never sees more of y than the noisy known part of the same level, so that it leans to the
    prior; resampling makes that smaller. The measured table is in docs/solvers.md.
    """
    without_noise("repaint", operator, sigma_y)
    x, chosen = begin(prior, operator, y, sigma_y, noise, steps=steps, start=start, sigma_max=sigma_max, ladder=ladder)
    sigmas = chosen.tolist()
    for index, (here, there) in enumerate(jump_walk(len(sigmas) - 1, jump, resample)):
        t, s = sigmas[here], sigmas[there]
        if s > t:
            x = x + math.sqrt(s**2 - t**2) * noise.like(x)
            continue
        denoised = denoise_at(prior, x, t)
        lower = ddim_step(x, denoised.clamp(-1, 1) if clip else denoised, t, s, noise, 1.0)
        x = consistent(operator, y + s * operator.forward(noise.like(x)) if s > 0 else y, lower)
        if on_step is not None:
            on_step(index, x, denoised)
    return x


def jump_walk(steps: int, jump: int, resample: int) -> Iterator[tuple[int, int]]:
    """RePaint's walk over levels 0 (most noise) to `steps` (clean): pairs of neighbours, (here, there).

    Counting levels upwards from the one of least noise, the walk goes up by `jump` whenever it arrives at 0, jump,
    2 jump, ... below steps - jump, resample - 1 times at each.
    """
    if jump < 1 or resample < 1:
        raise OptionError(f"repaint: found jump {jump}, resample {resample}; allowed: 1 or more")
    left = dict.fromkeys(range(0, steps - jump, jump), resample - 1)
    here = 0
    while here < steps:
        above_least = steps - 1 - here
        if left.get(above_least, 0):
            left[above_least] -= 1
            for _ in range(jump):
                yield here, here - 1
                here -= 1
        else:
            yield here, here + 1
            here += 1


def repaint_evaluations(steps: int, jump: int = JUMP, resample: int = RESAMPLE) -> int:
    """Evaluations of the prior: steps down of the walk."""
    return sum(there > here for here, there in jump_walk(steps, jump, resample))


def solve_ddnm(
    prior: Denoiser,
    operator: LinearOperator,
    y: Tensor,
    sigma_y: float,
    noise: Noise,
    *,
    steps: int,
    eta: float = 0.85,
    resample: int = 1,
    clip: bool = True,
    start: Tensor | None = None,
    sigma_max: float | None = None,
    ladder: Tensor | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """DDNM: every clean estimate gets the range of A from y and keeps its own null space.

    Wang et al. 2022, arXiv 2212.00490, algorithm 1, by `sample_consistent`: D becomes A^+ y + (I - A^+ A) D (equation
    13) before a step of DDIM with a share eta of fresh noise. resample: passes of every level (their time travel,
    section 3.4, with a length of 1); evaluations are `resample` times as many.

    Biased: as RePaint, the null space sees y only through the noisy state. The measured table is in docs/solvers.md.
    """
    without_noise("ddnm", operator, sigma_y)
    within("eta", eta, 0, 1)
    within("resample", resample, 1)
    x, chosen = begin(prior, operator, y, sigma_y, noise, steps=steps, start=start, sigma_max=sigma_max, ladder=ladder)
    return sample_consistent(
        prior, operator, y, x, chosen, noise, eta=eta, resample=resample, clip=clip, on_step=on_step
    )
