"""Langevin dynamics: of any score, annealed over a prior's noise levels, and held to known pixels.

Song and Ermon 2019 (arXiv 1907.05600). Their step at level sigma_i is alpha_i = eps * sigma_i^2 / sigma_L^2, and their
code's update x + alpha_i s + sqrt(2 alpha_i) z (the paper's alpha is twice the code's). With s = (D(x) - x) / sigma^2
that is, in any unit,

    x + step * (D(x, sigma) - x) + sqrt(2 step) * sigma * z,    step = eps / sigma_L^2,

so one number serves all levels: 0.2 for the published eps = 2e-5 and sigma_L = 0.01. That is the Euler scheme, whose
variance is 1 / (1 - step / 2) times too large where the noise rules. Leimkuhler and Matthews' (2013, Appl. Math. Res.
Express, equation 5) takes the mean of this update's z and the last one's,

    x + step * (D(x, sigma) - x) + sqrt(2 step) * sigma * (z_k + z_{k+1}) / 2,

and is exact for a Gaussian whatever the step up to 1, so that few long updates do for many short ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from restorekit.core.denoiser import Denoiser, denoise_at
from restorekit.core.operators import LinearOperator
from restorekit.sampling.consistent import consistent
from restorekit.sampling.samplers import Noise, OnStep

# The published step and number of updates.
STEP = 0.2
INNER_STEPS = 100
# What these leave of the state before, were D to stand still.
FORGOTTEN = (1 - STEP) ** INNER_STEPS
# Where y is measured, the drift is up to twice as steep; this step leaves a third of either at most.
LONGEST_NOISY = 2 / 3


def langevin(
    score: Callable[[Tensor], Tensor],
    x: Tensor,
    noise: Noise,
    *,
    steps: int,
    step_size: float,
    log_density: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Tensor, float]:
    """Unadjusted Langevin dynamics of a density, or MALA: x + a s(x) + sqrt(2 a) z, `steps` times.

    score: grad log p, like x (N, ...). log_density: log p (N,), up to a constant; with it every proposal is accepted
    or refused by Metropolis and Hastings (Roberts and Tweedie 1996), and the chain is exact for any step_size.

    Returns the state and the share of accepted proposals (1 without log_density).
    """
    taken = 0.0
    for _ in range(steps):
        drift = score(x)
        ahead = x + step_size * drift + math.sqrt(2 * step_size) * noise.like(x)
        if log_density is None:
            x, taken = ahead, taken + 1
            continue
        back = x - ahead - step_size * score(ahead)
        forth = ahead - x - step_size * drift
        ratio = log_density(ahead) - log_density(x) + (_energy(forth) - _energy(back)) / (4 * step_size)
        # A uniform number from the same source as the rest: half of the normal's distribution function.
        chance = torch.special.ndtr(noise.like(x).flatten(1)[:, 0])
        accepted = chance.log() < ratio
        x = torch.where(accepted.reshape(-1, *[1] * (x.ndim - 1)), ahead, x)
        taken += accepted.float().mean().item()
    return x, taken / max(steps, 1)


def _energy(x: Tensor) -> Tensor:
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
    """Annealed Langevin dynamics (algorithm 1), over any prior; arguments as in `restorekit.sampling.samplers`.

    inner_steps: updates at each level ("T"). step: of the Euler scheme, as published (0.2) or by `step_for`; None is
    Leimkuhler and Matthews' scheme, with a step that takes inner_steps updates as far as the published ones (at most
    2/3 for noisy y). denoise:
    end with D at the last level (Jolicoeur-Martineau et al. 2020, arXiv 2009.05475, section 3.1), which takes away the
    noise of sigma_L that is left.

    operator, y: inpainting as its authors wrote it (algorithm 2): at every level what is known becomes y + sigma_i A z,
    with z drawn once for the level, before the first and after every update; at the end y itself is put in. Written for
    masks, it does for any operator what it does for pixels: it sets A x.

    sigma_y: above 0, y has noise of this deviation, and nothing is set; the score of the measurement joins the prior's.
    At level sigma, y - A x is noise of covariance sigma_y^2 I + sigma^2 A A^T whatever x0 is, so that the score times
    sigma^2 is A^T (A A^T + sigma_y^2 / sigma^2)^-1 (y - A x), which goes to that of y itself as sigma falls.
    """
    if (operator is None) != (y is None):
        raise ValueError("sample_langevin: operator and y go together")
    longest = 1 - FORGOTTEN ** (1 / inner_steps)
    if operator is not None and sigma_y > 0:
        longest = min(longest, LONGEST_NOISY)
    euler, step = step is not None, longest if step is None else step
    count = 0
    for sigma in ladder[:-1].tolist():
        known = None
        if operator is not None and y is not None and sigma_y == 0:
            known = y + sigma * operator.forward(noise.like(x))
            x = consistent(operator, known, x)
        last = noise.like(x) if not euler else None
        for _ in range(inner_steps):
            denoised = denoise_at(prior, x, sigma)
            fresh = noise.like(x)
            kick = fresh if last is None else (last + fresh) / 2
            last = None if last is None else fresh
            drift = denoised - x
            if operator is not None and y is not None and sigma_y > 0:
                drift = drift + operator.adjoint(operator.solve(y - operator.forward(x), sigma_y**2 / sigma**2))
            x = x + step * drift + math.sqrt(2 * step) * sigma * kick
            if operator is not None and known is not None:
                x = consistent(operator, known, x)
            if on_step is not None:
                on_step(count, x, denoised)
            count += 1
    if denoise:
        x = denoise_at(prior, x, ladder[-2].item())
    return x if operator is None or y is None or sigma_y > 0 else consistent(operator, y, x)


def first_sigma(images: Tensor) -> float:
    """NCSNv2's sigma_1: the largest distance between two images (N, ...) (arXiv 2006.09011, technique 1)."""
    return torch.pdist(images.flatten(1).double()).max().item()


def ratio(dimension: int) -> float:
    """NCSNv2's gamma = sigma_{i-1} / sigma_i for data of a dimension D (technique 2):

    Phi(sqrt(2 D) (gamma - 1) + 3 gamma) - Phi(sqrt(2 D) (gamma - 1) - 3 gamma) = 1/2.
    """
    if dimension < 5:
        raise ValueError(f"ratio: dimension is {dimension}, allowed: 5 or more (below, the rule has no solution)")
    low, high = 1.0, 20.0
    for _ in range(100):
        gamma = (low + high) / 2
        centre = math.sqrt(2 * dimension) * (gamma - 1)
        overlap = (math.erf((centre + 3 * gamma) / math.sqrt(2)) - math.erf((centre - 3 * gamma) / math.sqrt(2))) / 2
        low, high = (gamma, high) if overlap > 0.5 else (low, gamma)
    return (low + high) / 2


def step_for(sigmas: Tensor, inner_steps: int) -> float:
    """NCSNv2's step size: the `step` of `sample_langevin` with which the noise of a level falls to the next one's.

    Technique 4 chooses eps so that, with gamma = sigma_{i-1} / sigma_i and e = eps / sigma_L^2 = `step`,
    (1 - e)^(2T) (gamma^2 - 2 e / (1 - (1 - e)^2)) + 2 e / (1 - (1 - e)^2) is as near to 1 as can be.

    sigmas: the levels, decreasing, geometric, at least two.
    """
    gamma = (sigmas[0] / sigmas[1]).item()
    steps = torch.logspace(-6, math.log10(0.999), 20000, dtype=torch.float64)
    left = (1 - steps) ** (2 * inner_steps)
    stationary = 2 * steps / (1 - (1 - steps) ** 2)
    return steps[(left * (gamma**2 - stationary) + stationary - 1).abs().argmin()].item()
