"""Geometry of holes: width, scales, connected components, square crops and covers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from scipy.ndimage import distance_transform_cdt, find_objects
from torch import Tensor

from restorekit.core.masks import cell_groups

# Widest hole in pixels that a prior of local structure fills at one scale, and smallest side of a downsampled image.
MAX_WIDTH, MIN_SIDE = 16, 32
# The cells of a cover start at multiples of this, so that networks with strides see every window on the same grid.
GRID = 8
# Side of the cells of which the parts of a hole consist that are filled separately.
PART_CELL = 16


def hole_width(hole: Tensor) -> float:
    """Width in pixels of the widest part of a hole (1, 1, H, W), bool.

    It is twice the largest chessboard distance to a known pixel, less one; pixels outside the image do not count
    as known. A hole without any known pixel is twice as wide as the longer side of the image.
    """
    if hole.all():
        return 2.0 * max(hole.shape[-2:])
    if not hole.any():
        return 0.0
    # The hole with a border of one pixel: it contains the known pixels that are closest.
    rows, columns = (slice(max(0, int(marked[0]) - 1), int(marked[-1]) + 2) for marked in _marked(hole))
    distances = distance_transform_cdt(hole[0, 0, rows, columns].cpu().numpy(), metric="chessboard")
    return 2.0 * float(distances.max()) - 1


def scales_for(hole: Tensor) -> int:
    """Number of sizes, each half of the next, so that a hole (1, 1, H, W) is at most `MAX_WIDTH` wide at the smallest.

    1 if the hole covers the whole image; no side becomes shorter than `MIN_SIDE`.
    """
    if hole.all():
        return 1
    width, count, side = hole_width(hole), 1, min(hole.shape[-2:])
    while width > MAX_WIDTH and side >= 2 * MIN_SIDE:
        width, count, side = width / 2, count + 1, side // 2
    return count


def halve(y: Tensor, hole: Tensor) -> tuple[Tensor, Tensor]:
    """Downsample an image (1, C, H, W) and its hole (1, 1, H, W) to half the size; see `downsample`."""
    return downsample(y, hole, ((y.shape[-2] + 1) // 2, (y.shape[-1] + 1) // 2))


def downsample(y: Tensor, hole: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Average an image (1, C, H, W) and its hole (1, 1, H, W) over the pixels of a smaller size.

    A pixel of the result belongs to the hole if any of its pixels does.
    """
    fraction = F.adaptive_avg_pool2d(hole.to(y), size)
    return F.adaptive_avg_pool2d(y.masked_fill(hole, 0), size), fraction > 0


def upsample(small: Tensor, y: Tensor) -> Tensor:
    """Resize `small` (N, C, h, w) to the height and width of y by bicubic interpolation, clipped to [-1, 1]."""
    return resize(small, y).clamp(-1, 1)


def resize(x: Tensor, y: Tensor) -> Tensor:
    """Resize x (N, C, h, w) to the height and width of y by bicubic interpolation."""
    return F.interpolate(x, y.shape[-2:], mode="bicubic")


@dataclass(frozen=True)
class Box:
    """A rectangular region of an image; it may extend beyond the image.

    Attributes:
        top, left: first row and column; may be negative.
        height, width: number of rows and columns.
    """

    top: int
    left: int
    height: int
    width: int

    @property
    def side(self) -> int:
        """The longer side."""
        return max(self.height, self.width)

    def crop(self, x: Tensor, fill: float) -> Tensor:
        """Return the region of x (N, C, H, W) as (N, C, height, width); pixels outside the image become `fill`."""
        height, width = x.shape[-2:]
        above, before = max(0, -self.top), max(0, -self.left)
        below, after = max(0, self.top + self.height - height), max(0, self.left + self.width - width)
        padded = F.pad(x, (before, after, above, below), value=fill)
        top, left = self.top + above, self.left + before
        return padded[..., top : top + self.height, left : left + self.width]

    def paste(self, part: Tensor, x: Tensor) -> Tensor:
        """Return x (N, C, H, W) with the region replaced by `part` (N, C, height, width)."""
        result = x.clone()
        rows = slice(max(0, self.top), self.top + self.height)
        columns = slice(max(0, self.left), self.left + self.width)
        region = result[..., rows, columns]
        top, left = max(0, -self.top), max(0, -self.left)
        region.copy_(part[..., top : top + region.shape[-2], left : left + region.shape[-1]])
        return result


def bounding_square(hole: Tensor, min_side: int) -> Box:
    """Return a square around a hole (1, 1, H, W) with at least one marked pixel.

    Its side is twice the extent of the hole, at most the longer side of the image and at least `min_side`. It is
    centered on the hole and moved into the image as far as possible.
    """
    side = max(min_side, min(2 * max(extents(hole)), max(hole.shape[-2:])))
    return Box(*centered_origin(hole, side, side), side, side)


def extents(hole: Tensor) -> tuple[int, int]:
    """Return the number of rows and columns that a hole (1, 1, H, W) with at least one marked pixel extends over."""
    height, width = (int(marked[-1] - marked[0]) + 1 for marked in _marked(hole))
    return height, width


def centered_origin(hole: Tensor, height: int, width: int) -> tuple[int, int]:
    """Return first row and column of a region centered on a hole (1, 1, H, W) with at least one marked pixel.

    The region is moved into the image as far as possible.
    """
    top, left = (
        _move_inside(int(marked[0] + marked[-1] + 1) // 2 - side // 2, side, length)
        for marked, side, length in zip(_marked(hole), (height, width), hole.shape[-2:], strict=True)
    )
    return top, left


@dataclass(frozen=True)
class Cover:
    """Windows of one size that contain a hole and known pixels around it.

    Attributes:
        height, width: size of the image.
        cells: first row and column of disjoint squares that together contain the hole.
        side: side of the cells.
        margin: width of the border around a cell that is part of its window. At the sides of the image, the window is
            moved inside, and is no larger than the image.
    """

    height: int
    width: int
    cells: tuple[tuple[int, int], ...]
    side: int
    margin: int

    @property
    def window(self) -> tuple[int, int]:
        """Height and width of the windows."""
        side = self.side + 2 * self.margin
        return min(side, self.height), min(side, self.width)

    @property
    def area(self) -> int:
        """Number of pixels of all windows."""
        return len(self.cells) * self.window[0] * self.window[1]

    def crop(self, x: Tensor) -> Tensor:
        """Return the windows (N, C, h, w) of an image (1, C, H, W)."""
        height, width = self.window
        return torch.cat([x[..., top : top + height, left : left + width] for top, left in self._origins()])

    def paste(self, windows: Tensor, x: Tensor) -> Tensor:
        """Return the image x (1, C, H, W) with the cells replaced by those of the windows (N, C, h, w)."""
        result = x.clone()
        for part, (row, column), (top, left) in zip(windows, self.cells, self._origins(), strict=True):
            cell = result[0, :, row : row + self.side, column : column + self.side]
            cell.copy_(part[:, row - top :, column - left :][:, : cell.shape[1], : cell.shape[2]])
        return result

    def _origins(self) -> list[tuple[int, int]]:
        """First row and column of each window."""
        height, width = self.window
        return [
            (
                _move_inside(row - self.margin, height, self.height),
                _move_inside(column - self.margin, width, self.width),
            )
            for row, column in self.cells
        ]


def cover(hole: Tensor, margin: int, min_side: int = 1) -> Cover:
    """Return the cover of a hole (1, 1, H, W), bool, with the fewest pixels, among several sizes of the windows.

    margin: see `Cover`. min_side: smallest side of a window. If no cover has fewer pixels than the image, its only
    window is the whole image.
    """
    height, width = hole.shape[-2:]
    marked = F.max_pool2d(hole.float(), GRID, ceil_mode=True)[0, 0].bool().cpu()
    best = Cover(height, width, ((0, 0),), max(height, width), 0)
    side = 2 * GRID
    while side + 2 * margin < max(height, width):
        if side + 2 * margin >= min_side:
            cells = tuple((GRID * row, GRID * column) for row, column in _cells(marked, side // GRID))
            best = min(Cover(height, width, cells, side, margin), best, key=lambda found: found.area)
        side *= 2
    return best


def _cells(marked: Tensor, side: int) -> list[tuple[int, int]]:
    """First row and column of disjoint squares that together contain the marked entries of a matrix, bool."""
    rows = _starts(marked.any(1), side)
    return [(row, column) for row in rows for column in _starts(marked[row : row + side].any(0), side)]


def _starts(marked: Tensor, side: int) -> list[int]:
    """Starts of the fewest intervals of `side` that contain the marked entries of a vector, bool."""
    starts: list[int] = []
    for index in marked.nonzero()[:, 0].tolist():
        if not starts or index >= starts[-1] + side:
            starts.append(index)
    return starts


def components(hole: Tensor, cell: int) -> Iterator[Tensor]:
    """Yield the components of a hole (1, 1, H, W), bool, that are far from each other, each of its shape.

    They are the connected components (with diagonal neighbours) of the marked cells of a grid whose cells
    are `cell` pixels wide.
    """
    height, width = hole.shape[-2:]
    numbers, count = cell_groups(hole, cell)
    grid = torch.from_numpy(numbers).to(hole.device)
    pixels = grid.repeat_interleave(cell, 0).repeat_interleave(cell, 1)[:height, :width]
    return (hole & (pixels == number) for number in range(1, count + 1))


def separate_parts(hole: Tensor, margin: int) -> Iterator[tuple[Tensor, Box]]:
    """Yield the parts of a hole (1, 1, H, W), bool, that are far from each other, with the boxes around them.

    margin: width in pixels of the border of a box around its part; within the image. If the boxes together had at least
    as many pixels as the image, the whole hole is one part.
    """
    height, width = hole.shape[-2:]
    numbers, _ = cell_groups(hole, PART_CELL)
    boxes = []
    for rows, columns in find_objects(numbers):
        top, left = max(0, PART_CELL * rows.start - margin), max(0, PART_CELL * columns.start - margin)
        bottom, right = min(height, PART_CELL * rows.stop + margin), min(width, PART_CELL * columns.stop + margin)
        boxes.append(Box(top, left, bottom - top, right - left))
    if sum(box.height * box.width for box in boxes) >= height * width:
        return iter([(hole, Box(0, 0, height, width))])
    return zip(components(hole, PART_CELL), boxes, strict=True)


def contrast(x: Tensor, known: Tensor, size: int) -> float:
    """Return how much known pixels differ from those around them: the root mean square of x less its local mean.

    x: (N, C, H, W). known: (1, 1, H, W), bool. size: side in pixels, odd, of the squares of which the mean is taken.
    0 if no pixel is known.
    """
    weight = known.to(x)
    x = x.masked_fill(~known, 0)
    means = torch.cat([x, weight.expand(len(x), -1, -1, -1)], 1)
    means = F.avg_pool2d(F.avg_pool2d(means, (size, 1), 1, (size // 2, 0)), (1, size), 1, (0, size // 2))
    deviation = (x - means[:, :-1] / means[:, -1:].clamp(min=1e-6)) * weight
    return float((deviation.square().sum() / (weight.sum() * x.shape[0] * x.shape[1]).clamp(min=1)).sqrt())


def _marked(hole: Tensor) -> tuple[Tensor, Tensor]:
    """Indices of the rows and of the columns of a hole (1, 1, H, W) with a marked pixel."""
    return hole[0, 0].any(1).nonzero()[:, 0], hole[0, 0].any(0).nonzero()[:, 0]


def _move_inside(start: int, side: int, length: int) -> int:
    """Return the start of an interval of `side` moved into 0 .. length, or centered on it if it is longer."""
    return (length - side) // 2 if side > length else min(max(start, 0), length - side)
