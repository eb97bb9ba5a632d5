"""The geometry of holes, and a first guess of what is in them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

BENDING_STEPS = 150
# Known pixels around the holes that a smooth fill looks at.
MARGIN = 16


def hole_width(hole: Tensor) -> float:
    """Width in pixels of the widest part of a hole (1, 1, H, W), bool: twice the largest distance to its edge.

    Distances are counted in steps to one of eight neighbours; what touches the image's border is not closed there.
    """
    rest, width = F.pad(hole.float(), (1, 1, 1, 1), mode="replicate"), 0
    while rest.any():
        width += 1
        rest = -F.max_pool2d(-rest, 3, stride=1, padding=1)
        if width >= max(hole.shape[-2:]):
            break
    return float(2 * width - 1)


def smooth_fill(y: Tensor, hole: Tensor) -> Tensor:
    """y (1, C, H, W) with its hole filled smoothly; without any known pixel: grey (0).

    Starts from coarser and coarser averages of the known pixels and then lowers the bending energy, the sum of the
    squared Laplacian, by conjugate gradients: for narrow holes that is the biharmonic equation.
    """
    if not hole.any():
        return y
    top, bottom = _extent(hole.any(-1).flatten())
    left, right = _extent(hole.any(-2).flatten())
    part = hole[..., top:bottom, left:right]
    first = _push_pull(y[..., top:bottom, left:right], part)
    result = y.clone()
    result[..., top:bottom, left:right] = first if part.all() else _bend(first, part)
    return result


def _extent(marked: Tensor) -> tuple[int, int]:
    """First and last place of what is marked along a side, with a margin."""
    places = marked.nonzero()
    return max(0, int(places[0]) - MARGIN), int(places[-1]) + 1 + MARGIN


def _push_pull(y: Tensor, hole: Tensor) -> Tensor:
    """Push-pull interpolation (Gortler et al. 1996, "The Lumigraph", section 3.4)."""
    weight = (~hole).float()
    levels = [(y * weight, weight)]
    while min(levels[-1][1].shape[-2:]) > 1 and not (levels[-1][1] > 0).all():
        size = [(side + 1) // 2 for side in levels[-1][1].shape[-2:]]
        levels.append(tuple(F.adaptive_avg_pool2d(part, size) for part in levels[-1]))  # type: ignore[arg-type]
    filled = torch.zeros_like(levels[-1][0])
    for total, weight in reversed(levels):
        if filled.shape != total.shape:
            filled = F.interpolate(filled, total.shape[-2:], mode="bilinear")
        filled = torch.where(weight > 0, total / weight.clamp(min=1e-6), filled)
    return torch.where(hole, filled, y)


def _laplacian(x: Tensor) -> Tensor:
    """Differences to the four neighbours, mirrored at the border: symmetric, (N, C, H, W)."""
    down, right = x.diff(dim=-2), x.diff(dim=-1)
    return F.pad(down, (0, 0, 0, 1)) - F.pad(down, (0, 0, 1, 0)) + F.pad(right, (0, 1)) - F.pad(right, (1, 0))


def _bend(x: Tensor, hole: Tensor) -> Tensor:
    """Conjugate gradients on |laplacian(x)|^2 over the pixels of the hole, every channel on its own."""
    inside = hole.to(x)
    x, residual = x.clone(), -inside * _laplacian(_laplacian(x))
    direction, energy = residual.clone(), residual.square().sum((2, 3), keepdim=True)
    enough = 1e-8 * energy.clamp(min=1e-12)
    for _ in range(BENDING_STEPS):
        if (energy <= enough).all():
            break
        bent = inside * _laplacian(_laplacian(direction))
        step = energy / (direction * bent).sum((2, 3), keepdim=True).clamp(min=1e-20)
        x, residual = x + step * direction, residual - step * bent
        before, energy = energy, residual.square().sum((2, 3), keepdim=True)
        direction = residual + energy / before.clamp(min=1e-20) * direction
    return x
