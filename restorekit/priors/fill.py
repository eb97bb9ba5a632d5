"""A first guess of what is in a hole, from the known pixels alone."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from restorekit.core.filters import laplacian

BENDING_STEPS = 60
# Known pixels around the holes that a smooth fill looks at.
MARGIN = 16


def smooth_fill(x: Tensor, hole: Tensor) -> Tensor:
    """x (N, C, H, W) with its holes (N, 1, H, W), bool, filled smoothly; an image without any known pixel: grey (0).

    Starts from coarser and coarser averages of the known pixels and then lowers the bending energy, the sum of the
    squared Laplacian, by at most 60 steps of conjugate gradients: for narrow holes that is the biharmonic equation.
    What x is in the holes does not matter.
    """
    if not hole.any():
        return x
    top, bottom = _extent(hole.any(-1))
    left, right = _extent(hole.any(-2))
    part = hole[..., top:bottom, left:right]
    first = _push_pull(x[..., top:bottom, left:right], part)
    result = x.clone()
    result[..., top:bottom, left:right] = torch.where(part.all(-1).all(-1)[..., None, None], first, _bend(first, part))
    return result


def _extent(marked: Tensor) -> tuple[int, int]:
    """First and last place of what is marked along a side (N, 1, side), with a margin."""
    places = marked.any(0)[0].nonzero()
    return max(0, int(places[0]) - MARGIN), int(places[-1]) + 1 + MARGIN


def _push_pull(x: Tensor, hole: Tensor) -> Tensor:
    """Push-pull interpolation (Gortler et al. 1996, "The Lumigraph", section 3.4)."""
    weight = (~hole).float()
    levels = [(x.masked_fill(hole, 0), weight)]
    while max(levels[-1][1].shape[-2:]) > 1 and not (levels[-1][1] > 0).all():
        size = [(side + 1) // 2 for side in levels[-1][1].shape[-2:]]
        levels.append(tuple(F.adaptive_avg_pool2d(part, size) for part in levels[-1]))  # type: ignore[arg-type]
    filled = torch.zeros_like(levels[-1][0])
    for total, weight in reversed(levels):
        if filled.shape != total.shape:
            filled = F.interpolate(filled, total.shape[-2:], mode="bilinear")
        filled = torch.where(weight > 0, total / weight.clamp(min=1e-6), filled)
    return torch.where(hole, filled, x)


def _bend(x: Tensor, hole: Tensor) -> Tensor:
    """Conjugate gradients on |laplacian(x)|^2 over the pixels of the hole, every channel on its own."""
    inside = hole.to(x)
    x, residual = x.clone(), -inside * laplacian(laplacian(x))
    direction, energy = residual.clone(), residual.square().sum((2, 3), keepdim=True)
    enough = 1e-8 * energy.clamp(min=1e-12)
    for _ in range(BENDING_STEPS):
        if (energy <= enough).all():
            break
        bent = inside * laplacian(laplacian(direction))
        step = energy / (direction * bent).sum((2, 3), keepdim=True).clamp(min=1e-20)
        x, residual = x + step * direction, residual - step * bent
        before, energy = energy, residual.square().sum((2, 3), keepdim=True)
        direction = residual + energy / before.clamp(min=1e-20) * direction
    return x
