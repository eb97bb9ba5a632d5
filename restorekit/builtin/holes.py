"""The geometry of holes."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

# Width of a hole that a prior of local structure fills in one go, and the least side of an image for one.
WIDE, LEAST = 16, 32


def hole_width(hole: Tensor, enough: float = math.inf) -> float:
    """Width in pixels of the widest part of a hole (1, 1, H, W), bool: twice the largest distance to its edge.

    Stops counting above `enough`. Distances are counted in steps to one of eight neighbours; what touches the image's
    border is not closed there.
    """
    rest, width = F.pad(hole.float(), (1, 1, 1, 1), mode="replicate"), 0
    while rest.any():
        width += 1
        rest = -F.max_pool2d(-rest, 3, stride=1, padding=1)
        if width >= max(hole.shape[-2:]) or 2 * width - 1 > enough:
            break
    return float(2 * width - 1)


def scales_for(hole: Tensor) -> int:
    """Sizes, each half of the next, of which the smallest has the hole (1, 1, H, W) at most `WIDE` pixels wide."""
    width, count, side = hole_width(hole), 1, min(hole.shape[-2:])
    while width > WIDE and side >= 2 * LEAST:
        width, count, side = width / 2, count + 1, side // 2
    return count


def halved(y: Tensor, hole: Tensor) -> tuple[Tensor, Tensor]:
    """Image (1, C, H, W) and hole (1, 1, H, W) at half the size; what is not wholly known belongs to the hole."""
    size = (y.shape[-2] + 1) // 2, (y.shape[-1] + 1) // 2
    share = F.adaptive_avg_pool2d(hole.to(y), size)
    return F.adaptive_avg_pool2d(y.masked_fill(hole, 0), size), share > 0


def enlarged(small: Tensor, y: Tensor) -> Tensor:
    """small at the size of y."""
    return F.interpolate(small, y.shape[-2:], mode="bicubic").clamp(-1, 1)
