"""The geometry of holes, and a first guess of what is in them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


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
    """y (1, C, H, W) with its hole filled from coarser and coarser averages of the known pixels.

    Push-pull interpolation (Gortler et al. 1996, "The Lumigraph", section 3.4). Without any known pixel: grey (0).
    """
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
