"""Solvers that impose the measurement and sample the null space from the prior: RePaint and DDNM, for noise-free y."""

from __future__ import annotations

import math
from collections.abc import Iterator

from torch import Tensor

from restorekit.core.denoiser import Denoiser, denoise_at
from restorekit.core.operators import LinearOperator
from restorekit.sampling.data_consistency import project, sample_ddnm
from restorekit.sampling.samplers import Noise, OnStep, ddim_step
from restorekit.sampling.solvers.setup import (
    check_count,
    check_methods,
    check_noise_free,
    check_problem,
    check_range,
    initial_state,
)

# RePaint's jump length and number of resampling passes (arXiv 2201.09865, section 5.1).
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
    """RePaint: DDPM's chain with noisy known pixels imposed at every level, and resampling to harmonize both parts.

    Lugmayr et al. 2022, arXiv 2201.09865, algorithm 1. In sigma: a step down from t to s samples the known part as
    y + s A n (equation 8a) and the unknown part from DDPM's posterior (8b); a step up from s to t adds noise of
    variance t^2 - s^2 (line 10). After every `jump` levels the schedule goes up by the same number of levels and down
    again, `resample` times in total (appendix, the paper's j and r; see `jump_schedule`). The paper considers masks.
    For other operators, A x takes the place of the known pixels: x + A^+ (y + s A n - A x).

    Erratum: algorithm 1, line 5, multiplies the noise by 1 - alpha_bar_t, which is the variance of equation 8a, instead
    of its square root, and uses level t although the unknown part is at level t - 1.

    Biased: the unknown part sees y only through the noisy known part of the same level, so that it is biased toward the
    prior; resampling reduces this. docs/solvers.md has the measured bias.
    """
    check_problem(operator, y, sigma_y, noise)
    check_methods("repaint", operator, "pinv")
    check_noise_free("repaint", operator, sigma_y)
    x, ladder = initial_state(prior, operator, y, noise, steps=steps, start=start, sigma_max=sigma_max, ladder=ladder)
    sigmas = ladder.tolist()
    for index, (level, next_level) in enumerate(jump_schedule(len(sigmas) - 1, jump, resample)):
        t, s = sigmas[level], sigmas[next_level]
        if s > t:
            x = x + math.sqrt(s**2 - t**2) * noise.like(x)
            continue
        denoised = denoise_at(prior, x, t)
        lower = ddim_step(x, denoised.clamp(-1, 1) if clip else denoised, t, s, noise, 1.0)
        x = project(operator, y + s * operator.forward(noise.like(x)) if s > 0 else y, lower)
        if on_step is not None:
            on_step(index, x, denoised)
    return x


def jump_schedule(steps: int, jump: int, resample: int) -> Iterator[tuple[int, int]]:
    """Yield the transitions (from, to) of RePaint's schedule over levels 0 (most noise) to `steps` (clean).

    Counted upwards from the level of least noise, the schedule goes up by `jump` levels whenever it reaches 0, jump,
    2 jump, ... below steps - jump, resample - 1 times at each.
    """
    check_count("repaint: jump", jump)
    check_count("repaint: resample", resample)
    jumps_left = dict.fromkeys(range(0, steps - jump, jump), resample - 1)
    level = 0
    while level < steps:
        height = steps - 1 - level
        if jumps_left.get(height, 0):
            jumps_left[height] -= 1
            for _ in range(jump):
                yield level, level - 1
                level -= 1
        else:
            yield level, level + 1
            level += 1


def repaint_evaluations(steps: int, jump: int = JUMP, resample: int = RESAMPLE) -> int:
    """Return the number of evaluations of the prior: the steps down of the schedule."""
    return sum(next_level > level for level, next_level in jump_schedule(steps, jump, resample))


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
    """DDNM: replaces the range-space part of every clean estimate by that of y and keeps its null-space part.

    Wang et al. 2022, arXiv 2212.00490, algorithm 1, by `sample_ddnm`: D becomes A^+ y + (I - A^+ A) D (equation
    13) before a DDIM step with a fraction eta of fresh noise. resample: number of passes per level (the paper's
    time travel, section 3.4, with a length of 1); the number of evaluations is multiplied by it.

    Biased: as in RePaint, the null space sees y only through the noisy state. docs/solvers.md has the measured bias.
    """
    check_problem(operator, y, sigma_y, noise)
    check_methods("ddnm", operator, "pinv")
    check_noise_free("ddnm", operator, sigma_y)
    check_range("eta", eta, 0, 1)
    check_count("resample", resample)
    x, sigmas = initial_state(prior, operator, y, noise, steps=steps, start=start, sigma_max=sigma_max, ladder=ladder)
    return sample_ddnm(prior, operator, y, x, sigmas, noise, eta=eta, resample=resample, clip=clip, on_step=on_step)
