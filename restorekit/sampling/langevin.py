"""Langevin dynamics for any score, and annealed over the noise levels of a prior, optionally with a measurement.

Song and Ermon 2019 (arXiv 1907.05600). Their step at level sigma_i is alpha_i = eps * sigma_i^2 / sigma_L^2, and the
update of their code is x + alpha_i s + sqrt(2 alpha_i) z (the paper's alpha is twice the code's). With
s = (D(x) - x) / sigma^2 this is, in any unit,

    x + step * (D(x, sigma) - x) + sqrt(2 step) * sigma * z,    step = eps / sigma_L^2,

so that one step size suits all levels: 0.2 for the published eps = 2e-5 and sigma_L = 0.01. This is the Euler scheme,
whose variance is too large by a factor of 1 / (1 - step / 2) where the noise dominates. The scheme of Leimkuhler and
Matthews (2013, Appl. Math. Res. Express, equation 5) uses the mean of the z of this update and of the previous one,

    x + step * (D(x, sigma) - x) + sqrt(2 step) * sigma * (z_k + z_{k+1}) / 2,

and is exact for a Gaussian for any step up to 1, so that few long updates replace many short ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from restorekit.core.denoiser import Denoiser, denoise_at
from restorekit.core.operators import LinearOperator
from restorekit.sampling.data_consistency import project
from restorekit.sampling.samplers import Noise, OnStep

# The published step size and number of updates.
STEP = 0.2
INNER_STEPS = 100
# Fraction of the previous state that remains after these updates if D is constant.
REMAINING = (1 - STEP) ** INNER_STEPS
# With noisy y the drift is up to twice as steep; with this step, at most a third of the previous state remains.
MAX_NOISY_STEP = 2 / 3


def langevin(
    score: Callable[[Tensor], Tensor],
    x: Tensor,
    noise: Noise,
    *,
    steps: int,
    step_size: float,
    log_density: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Tensor, float]:
    """Unadjusted Langevin dynamics, or MALA: `steps` updates x + a s(x) + sqrt(2 a) z with a = step_size.

    score: grad log p, like x (N, ...). log_density: log p (N,), up to a constant; if given, every proposal is accepted
    or rejected by the Metropolis-Hastings rule (Roberts and Tweedie 1996), and the chain is exact for any step_size.

    Returns the state and the acceptance rate (1 without log_density).
    """
    acceptances = 0.0
    for _ in range(steps):
        drift = score(x)
        proposal = x + step_size * drift + math.sqrt(2 * step_size) * noise.like(x)
        if log_density is None:
            x, acceptances = proposal, acceptances + 1
            continue
        backward = x - proposal - step_size * score(proposal)
        forward = proposal - x - step_size * drift
        change = (_squared_norm(forward) - _squared_norm(backward)) / (4 * step_size)
        log_ratio = log_density(proposal) - log_density(x) + change
        # A uniform number from the same source of noise, by the normal distribution function.
        uniform = torch.special.ndtr(noise.like(x).flatten(1)[:, 0])
        accepted = uniform.log() < log_ratio
        x = torch.where(accepted.reshape(-1, *[1] * (x.ndim - 1)), proposal, x)
        acceptances += accepted.float().mean().item()
    return x, acceptances / max(steps, 1)


def _squared_norm(x: Tensor) -> Tensor:
    return x.flatten(1).square().sum(1)


def sample_langevin(
    prior: Denoiser,
    x: Tensor,
    ladder: Tensor,
    noise: Noise,
    *,
    inner_steps: int = INNER_STEPS,
    step: float | None = None,
    denoise: bool = True,
    operator: LinearOperator | None = None,
    y: Tensor | None = None,
    sigma_y: float = 0.0,
    on_step: OnStep | None = None,
) -> Tensor:
    """Annealed Langevin dynamics (algorithm 1) with any prior; arguments as in `restorekit.sampling.samplers`.

    inner_steps: number of updates at each level (the paper's T). step: step size of the Euler scheme, as published
    (0.2) or by `step_for`. None: the scheme of Leimkuhler and Matthews, with the step size for which inner_steps
    updates have the effect of the published ones (at most 2/3 for noisy y). denoise: return D at the last level
    (Jolicoeur-Martineau et al. 2020, arXiv 2009.05475, section 3.1), which removes the remaining noise of sigma_L.

    operator, y: the paper's inpainting (algorithm 2). At every level, before the first and after every update, A x is
    set to y + sigma_i A z, with one z per level; at the end it is set to y. The paper considers masks; here A is any
    operator.

    sigma_y: if above 0, y has noise of this standard deviation, A x is not set, and the score of the measurement is
    added to that of the prior. At level sigma, y - A x is noise of covariance sigma_y^2 I + sigma^2 A A^T for every x0,
    so that the score times sigma^2 is A^T (A A^T + sigma_y^2 / sigma^2)^-1 (y - A x), which approaches the score of the
    likelihood as sigma decreases.
    """
    if (operator is None) != (y is None):
        raise ValueError("sample_langevin: found only one of operator and y, allowed: both or neither")
    default = 1 - REMAINING ** (1 / inner_steps)
    if operator is not None and sigma_y > 0:
        default = min(default, MAX_NOISY_STEP)
    euler, step = step is not None, default if step is None else step
    count = 0
    for sigma in ladder[:-1].tolist():
        known = None
        if operator is not None and y is not None and sigma_y == 0:
            known = y + sigma * operator.forward(noise.like(x))
            x = project(operator, known, x)
        previous = noise.like(x) if not euler else None
        for _ in range(inner_steps):
            denoised = denoise_at(prior, x, sigma)
            fresh = noise.like(x)
            z = fresh if previous is None else (previous + fresh) / 2
            previous = None if previous is None else fresh
            drift = denoised - x
            if operator is not None and y is not None and sigma_y > 0:
                drift = drift + operator.adjoint(operator.solve(y - operator.forward(x), sigma_y**2 / sigma**2))
            x = x + step * drift + math.sqrt(2 * step) * sigma * z
            if operator is not None and known is not None:
                x = project(operator, known, x)
            if on_step is not None:
                on_step(count, x, denoised)
            count += 1
    if denoise:
        x = denoise_at(prior, x, ladder[-2].item())
    return x if operator is None or y is None or sigma_y > 0 else project(operator, y, x)


def first_sigma(images: Tensor) -> float:
    """Return NCSNv2's sigma_1: the largest distance between two images (N, ...) (arXiv 2006.09011, technique 1)."""
    return torch.pdist(images.flatten(1).double()).max().item()


def ratio(dimension: int) -> float:
    """Return NCSNv2's gamma = sigma_{i-1} / sigma_i for data of dimension D (technique 2), the solution of

    Phi(sqrt(2 D) (gamma - 1) + 3 gamma) - Phi(sqrt(2 D) (gamma - 1) - 3 gamma) = 1/2.
    """
    if dimension < 5:
        raise ValueError(f"ratio: found dimension {dimension}, allowed: 5 or more (there is no solution below)")
    low, high = 1.0, 20.0
    for _ in range(100):
        gamma = (low + high) / 2
        center = math.sqrt(2 * dimension) * (gamma - 1)
        overlap = (math.erf((center + 3 * gamma) / math.sqrt(2)) - math.erf((center - 3 * gamma) / math.sqrt(2))) / 2
        low, high = (gamma, high) if overlap > 0.5 else (low, gamma)
    return (low + high) / 2


def step_for(sigmas: Tensor, inner_steps: int) -> float:
    """Return NCSNv2's step size: the `step` of `sample_langevin` that takes the noise of one level to that of the next.

    Technique 4 chooses eps so that, with gamma = sigma_{i-1} / sigma_i and e = eps / sigma_L^2 = `step`,
    (1 - e)^(2T) (gamma^2 - 2 e / (1 - (1 - e)^2)) + 2 e / (1 - (1 - e)^2) is as close to 1 as possible.

    sigmas: the levels, decreasing, geometric, at least two.
    """
    gamma = (sigmas[0] / sigmas[1]).item()
    steps = torch.logspace(-6, math.log10(0.999), 20000, dtype=torch.float64)
    remaining = (1 - steps) ** (2 * inner_steps)
    stationary = 2 * steps / (1 - (1 - steps) ** 2)
    return steps[(remaining * (gamma**2 - stationary) + stationary - 1).abs().argmin()].item()
