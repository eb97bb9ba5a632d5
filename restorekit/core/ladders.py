"""Noise ladders: the sigmas that a sampler visits.

Two kinds of tensors are met here, both float64 and one-dimensional:
- a *table* holds the sigma of every trained step, increasing: sigma_t = sqrt((1 - abar_t) / abar_t);
- a *ladder* is what a sampler walks down: decreasing, its last entry is 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from restorekit.core.denoiser import Denoiser


def linear_betas(steps: int, start: float = 1e-4, end: float = 0.02) -> Tensor:
    """Betas of Ho et al. 2020 (arXiv 2006.11239, section 4), (steps,), float64.

    guided-diffusion scales both ends with 1000 / steps so that any `steps` ends at the same noise: pass
    `start=1e-4 * 1000 / steps, end=0.02 * 1000 / steps` for that.
    """
    return torch.linspace(start, end, steps, dtype=torch.float64)


def cosine_betas(steps: int, max_beta: float = 0.999) -> Tensor:
    """Betas of Nichol and Dhariwal 2021 (arXiv 2102.09672, equation 17), (steps,), float64."""
    edges = torch.arange(steps + 1, dtype=torch.float64) / steps
    alpha_bar = torch.cos((edges + 0.008) / 1.008 * math.pi / 2) ** 2
    return (1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(max=max_beta)


def sigmas_from_betas(betas: Tensor) -> Tensor:
    """The table of a variance-preserving process: sigma_t = sqrt((1 - abar_t) / abar_t), increasing."""
    alpha_bar = torch.cumprod(1 - betas.double(), dim=0)
    return ((1 - alpha_bar) / alpha_bar).sqrt()


def geometric_ladder(sigma_max: float, sigma_min: float, steps: int) -> Tensor:
    """Geometric sequence from sigma_max to sigma_min (Song and Ermon 2019, section 4.1), then 0: (steps + 1,)."""
    return _with_zero(torch.linspace(math.log(sigma_max), math.log(sigma_min), steps, dtype=torch.float64).exp())


def karras_ladder(sigma_max: float, sigma_min: float, steps: int, rho: float = 7.0) -> Tensor:
    """Karras et al. 2022 (arXiv 2206.00364, equation 5), then 0: (steps + 1,)."""
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    ends = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    return _with_zero((ends[0] + ramp * (ends[1] - ends[0])) ** rho)


def table_ladder(table: Tensor, indices: Sequence[int] | None = None) -> Tensor:
    """A walk down a table through the given trained steps (all by default), then 0."""
    chosen = table if indices is None else table[torch.as_tensor(sorted(indices))]
    return _with_zero(chosen.double().flip(0))


def respaced_steps(trained: int, sections: str | Sequence[int]) -> list[int]:
    """Trained steps kept by guided-diffusion's respacing, increasing.

    sections: counts per equal section ("10,15,20" or [10, 15, 20]), or "ddimN" for N steps of one integer stride
    that start at 0. Positions accumulate a float stride and round half to even, as the source does.
    """
    if isinstance(sections, str) and sections.startswith("ddim"):
        wanted = int(sections[len("ddim") :])
        for stride in range(1, trained):
            if len(range(0, trained, stride)) == wanted:
                return list(range(0, trained, stride))
        raise ValueError(f"respacing {sections!r}: no integer stride gives {wanted} of {trained} steps")
    counts = [int(part) for part in sections.split(",")] if isinstance(sections, str) else list(sections)
    steps: list[int] = []
    start = 0
    for section, count in enumerate(counts):
        size = trained // len(counts) + (1 if section < trained % len(counts) else 0)
        if not 1 <= count <= size:
            raise ValueError(f"respacing {sections!r}: section {section} has {size} steps, {count} asked for")
        pace = 1.0 if count == 1 else (size - 1) / (count - 1)
        position = 0.0
        for _ in range(count):
            steps.append(start + round(position))
            position += pace
        start += size
    return steps


def ladder_for(prior: Denoiser, steps: int, *, sigma_max: float | None = None) -> Tensor:
    """The ladder of `steps` evaluations that suits a prior: (steps + 1,), decreasing, float64, last = 0.

    A prior with its own levels gets a subset of them, evenly spaced by index, ends included; any other gets
    Karras et al.'s. `sigma_max` starts the walk lower (from a good first guess).
    """
    if steps < 1:
        raise ValueError(f"ladder_for: steps is {steps}, allowed: 1 or more")
    top = prior.sigma_max if sigma_max is None else min(sigma_max, prior.sigma_max)
    if prior.levels is None:
        return karras_ladder(max(top, prior.sigma_min), prior.sigma_min, steps)
    levels = prior.levels.double().cpu()
    below = levels[levels <= top * (1 + 1e-6)]
    levels = below if len(below) else levels[-1:]
    keep = torch.linspace(0, len(levels) - 1, min(steps, len(levels)), dtype=torch.float64).round().long()
    return _with_zero(levels[keep])


def known_sigma(prior: Denoiser, sigma: float) -> float:
    """The least sigma that a prior knows and that is not below `sigma` (its greatest, if all are).

    A prior of any sigma knows `sigma` itself, within its range; one with its own levels does so when more noise is
    added to an image of noise `sigma`.
    """
    if prior.levels is None:
        return min(max(sigma, prior.sigma_min), prior.sigma_max)
    levels = prior.levels.double().cpu()
    enough = levels[levels >= sigma * (1 - 1e-6)]
    return float(enough.min() if len(enough) else levels.max())


def _with_zero(sigmas: Tensor) -> Tensor:
    return torch.cat([sigmas, sigmas.new_zeros(1)])
