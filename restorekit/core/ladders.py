"""Noise ladders: the sequences of sigmas that samplers use.

There are two kinds of tensors, both float64 and one-dimensional:
- a *table* contains the sigma of every trained step, increasing: sigma_t = sqrt((1 - abar_t) / abar_t);
- a *ladder* contains the sigmas of a sampler: decreasing, the last entry is 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from restorekit.core.denoiser import Denoiser


def linear_betas(steps: int, start: float = 1e-4, end: float = 0.02) -> Tensor:
    """Betas of Ho et al. 2020 (arXiv 2006.11239, section 4), (steps,), float64.

    guided-diffusion scales both ends by 1000 / steps, so that the last noise level does not depend on `steps`: pass
    `start=1e-4 * 1000 / steps, end=0.02 * 1000 / steps`.
    """
    return torch.linspace(start, end, steps, dtype=torch.float64)


def cosine_betas(steps: int, max_beta: float = 0.999) -> Tensor:
    """Betas of Nichol and Dhariwal 2021 (arXiv 2102.09672, equation 17), (steps,), float64."""
    edges = torch.arange(steps + 1, dtype=torch.float64) / steps
    alpha_bar = torch.cos((edges + 0.008) / 1.008 * math.pi / 2) ** 2
    return (1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(max=max_beta)


def sigmas_from_betas(betas: Tensor) -> Tensor:
    """Table of a variance-preserving process: sigma_t = sqrt((1 - abar_t) / abar_t), increasing."""
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
    """Ladder of the given trained steps of a table (default: all), then 0."""
    selected = table if indices is None else table[torch.as_tensor(sorted(indices))]
    return _with_zero(selected.double().flip(0))


def respaced_steps(trained: int, sections: str | Sequence[int]) -> list[int]:
    """Trained steps that guided-diffusion's respacing keeps, increasing.

    sections: number of steps of each of the equal sections ("10,15,20" or [10, 15, 20]; 0 skips a section), or "ddimN"
    for N steps with an integer stride, starting at 0. As in the original, positions accumulate a float stride and are
    rounded half to even.
    """
    if isinstance(sections, str) and sections.startswith("ddim"):
        count = int(sections[len("ddim") :])
        for stride in range(1, trained):
            if len(range(0, trained, stride)) == count:
                return list(range(0, trained, stride))
        raise ValueError(f"respacing {sections!r}: no integer stride gives {count} of {trained} steps")
    counts = [int(part) for part in sections.split(",")] if isinstance(sections, str) else list(sections)
    steps: list[int] = []
    start = 0
    for section, count in enumerate(counts):
        size = trained // len(counts) + (1 if section < trained % len(counts) else 0)
        if not 0 <= count <= size:
            raise ValueError(f"respacing {sections!r}: found {count} steps in section {section}, allowed: 0 to {size}")
        stride_length = 1.0 if count <= 1 else (size - 1) / (count - 1)
        position = 0.0
        for _ in range(count):
            steps.append(start + round(position))
            position += stride_length
        start += size
    if not steps:
        raise ValueError(f"respacing {sections!r}: found no steps, allowed: 1 or more in total")
    return steps


def ladder_for(prior: Denoiser, steps: int, *, sigma_max: float | None = None) -> Tensor:
    """Default ladder of a prior for `steps` evaluations: (steps + 1,), decreasing, float64, last = 0.

    For a prior with fixed levels it is a subset of these, evenly spaced by index, including both ends (at most as many
    as there are levels); for any other prior it is `karras_ladder`. sigma_max: upper bound of the first sigma, for
    sampling from an initial estimate.
    """
    if steps < 1:
        raise ValueError(f"ladder_for: steps is {steps}, allowed: 1 or more")
    if sigma_max is not None and not sigma_max > 0:
        raise ValueError(f"ladder_for: sigma_max is {sigma_max}, allowed: above 0")
    highest = prior.info.sigma_max if sigma_max is None else min(sigma_max, prior.info.sigma_max)
    if prior.info.levels is None:
        return karras_ladder(max(highest, prior.info.sigma_min), prior.info.sigma_min, steps)
    levels = torch.tensor(prior.info.levels, dtype=torch.float64)
    below = levels[levels <= highest * (1 + 1e-6)]
    levels = below if len(below) else levels[-1:]
    keep = torch.linspace(0, len(levels) - 1, min(steps, len(levels)), dtype=torch.float64).round().long()
    return _with_zero(levels[keep])


def known_sigma(prior: Denoiser, sigma: float) -> float:
    """Smallest sigma at which a prior can be evaluated that is not below `sigma` (the largest one if all are below).

    For a prior without fixed levels, this is `sigma` clamped to its range. An image with noise `sigma` may need more
    noise to be at the returned level.
    """
    if prior.info.levels is None:
        return min(max(sigma, prior.info.sigma_min), prior.info.sigma_max)
    levels = torch.tensor(prior.info.levels, dtype=torch.float64)
    above = levels[levels >= sigma * (1 - 1e-6)]
    return float(above.min() if len(above) else levels.max())


def _with_zero(sigmas: Tensor) -> Tensor:
    return torch.cat([sigmas, sigmas.new_zeros(1)])
