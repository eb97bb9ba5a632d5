"""The geometry of holes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import distance_transform_cdt
from scipy.ndimage import label as connected
from torch import Tensor

# Width of a hole that a prior of local structure fills in one go, and the least side of an image for one.
WIDE, LEAST = 16, 32


def hole_width(hole: Tensor) -> float:
    """Width in pixels of the widest part of a hole (1, 1, H, W), bool: twice the largest distance to its edge.

    Distances are counted in steps to one of eight neighbours; what touches the image's border is not closed there.
    A hole without any edge is as wide as the image allows.
    """
    if hole.all():
        return 2.0 * max(hole.shape[-2:])
    distances = distance_transform_cdt(hole[0, 0].cpu().numpy(), metric="chessboard")
    return max(0.0, 2.0 * float(distances.max()) - 1)


def scales_for(hole: Tensor) -> int:
    """Sizes, each half of the next, of which the smallest has the hole (1, 1, H, W) at most `WIDE` pixels wide; one for
    a hole without any edge."""
    if hole.all():
        return 1
    width, count, side = hole_width(hole), 1, min(hole.shape[-2:])
    while width > WIDE and side >= 2 * LEAST:
        width, count, side = width / 2, count + 1, side // 2
    return count


def halved(y: Tensor, hole: Tensor) -> tuple[Tensor, Tensor]:
    """Image (1, C, H, W) and hole (1, 1, H, W) at half the size, as `shrunk`."""
    return shrunk(y, hole, ((y.shape[-2] + 1) // 2, (y.shape[-1] + 1) // 2))


def shrunk(y: Tensor, hole: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Image (1, C, H, W) and hole (1, 1, H, W) at a smaller size; what is not wholly known belongs to the hole."""
    share = F.adaptive_avg_pool2d(hole.to(y), size)
    return F.adaptive_avg_pool2d(y.masked_fill(hole, 0), size), share > 0


def enlarged(small: Tensor, y: Tensor) -> Tensor:
    """small at the size of y."""
    return F.interpolate(small, y.shape[-2:], mode="bicubic").clamp(-1, 1)


@dataclass(frozen=True)
class Square:
    """A square region of an image, which may reach beyond it: first row and column, and side."""

    top: int
    left: int
    side: int

    def cut(self, x: Tensor, beyond: float) -> Tensor:
        """The region of x (N, C, H, W) as (N, C, side, side); `beyond` is what lies outside the image."""
        height, width = x.shape[-2:]
        above, before = max(0, -self.top), max(0, -self.left)
        below, after = max(0, self.top + self.side - height), max(0, self.left + self.side - width)
        grown = F.pad(x, (before, after, above, below), value=beyond)
        top, left = self.top + above, self.left + before
        return grown[..., top : top + self.side, left : left + self.side]

    def put(self, part: Tensor, x: Tensor) -> Tensor:
        """x (N, C, H, W) with the region's part (N, C, side, side) in its place."""
        result = x.clone()
        rows = slice(max(0, self.top), self.top + self.side)
        columns = slice(max(0, self.left), self.left + self.side)
        inside = result[..., rows, columns]
        top, left = max(0, -self.top), max(0, -self.left)
        inside.copy_(part[..., top : top + inside.shape[-2], left : left + inside.shape[-1]])
        return result


def square_around(hole: Tensor, least: int) -> Square:
    """The square around a hole (1, 1, H, W) with at least one marked pixel: twice as wide as the hole, but no wider
    than holds the whole image, and at least `least`; moved into the image as far as it goes."""
    rows, columns = _marked(hole)
    extent = int(max(rows[-1] - rows[0], columns[-1] - columns[0])) + 1
    side = max(least, min(2 * extent, max(hole.shape[-2:])))
    return Square(*middle_of(hole, side), side)


def middle_of(hole: Tensor, side: int) -> tuple[int, int]:
    """First row and column of the square of `side` around a hole (1, 1, H, W) with at least one marked pixel, moved
    into the image as far as it goes."""
    top, left = (
        _placed(int(marked[0] + marked[-1] + 1) // 2 - side // 2, side, length)
        for marked, length in zip(_marked(hole), hole.shape[-2:], strict=True)
    )
    return top, left


def apart(hole: Tensor, reach: int) -> list[Tensor]:
    """The parts of a hole (1, 1, H, W) that lie far from each other, each like it: pixels are of one part when a chain
    of marked squares of a grid, `reach` pixels wide, touching by a side or a corner, leads from one to the other."""
    height, width = hole.shape[-2:]
    marked = F.max_pool2d(hole.float(), reach, ceil_mode=True)
    numbers, count = connected(marked[0, 0].cpu().numpy(), structure=np.ones((3, 3)))
    grid = torch.from_numpy(numbers).to(hole.device)
    fine = grid.repeat_interleave(reach, 0).repeat_interleave(reach, 1)[:height, :width]
    return [hole & (fine == number) for number in range(1, count + 1)]


def _marked(hole: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and columns of a hole (1, 1, H, W) in which something is marked."""
    return hole[0, 0].any(1).nonzero()[:, 0], hole[0, 0].any(0).nonzero()[:, 0]


def _placed(first: int, side: int, length: int) -> int:
    """Start of a stretch of `side` within `length`; in its middle where it is longer."""
    return (length - side) // 2 if side > length else min(max(first, 0), length - side)
