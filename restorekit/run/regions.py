"""The marked regions of a large photo, each of which is restored separately."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from restorekit.core.masks import cell_groups

# Side of the cells in which marked pixels are counted, and the number of cells around them that a region has at least.
# A region has in addition half the longer side of what is marked in it, as context of a wide hole.
CELL, CONTEXT = 64, 2


@dataclass(frozen=True)
class Region:
    """A part of an image that contains a group of marked pixels and their surroundings.

    Attributes:
        rows, columns: the part; parts may overlap.
        cells: the cells of the part in which the marked pixels belong to the group, (rows / CELL, columns / CELL).
    """

    rows: slice
    columns: slice
    cells: NDArray[np.bool_]

    def own(self, mask: Tensor) -> NDArray[np.bool_]:
        """Return the marked pixels of the group, in the part, given the mask (1, 1, H, W) of the image."""
        marked: NDArray[np.bool_] = mask[0, 0, self.rows, self.columns].numpy() > 0.5
        own = np.repeat(np.repeat(self.cells, CELL, 0), CELL, 1)
        return marked & own[: marked.shape[0], : marked.shape[1]]


def marked_regions(mask: Tensor) -> Iterator[Region]:
    """Yield the regions of an image; every marked pixel belongs to one, and pixels close to each other to the same.

    mask: (1, 1, H, W), marked where it is > 0.5.
    """
    from scipy.ndimage import find_objects

    height, width = mask.shape[-2:]
    groups, _ = cell_groups(mask, CELL, dilations=1)
    for number, (rows, columns) in enumerate(find_objects(groups), 1):
        context = CONTEXT + max(rows.stop - rows.start, columns.stop - columns.start) // 2
        (rows, height_in_pixels), (columns, width_in_pixels) = (
            _widened(part, context, length) for part, length in ((rows, height), (columns, width))
        )
        yield Region(height_in_pixels, width_in_pixels, groups[rows, columns] == number)


def _widened(cells: slice, context: int, length: int) -> tuple[slice, slice]:
    """Return a range of cells with its context, and the pixels of that range, within `length` pixels."""
    first, last = max(0, cells.start - context), min(-(-length // CELL), cells.stop + context)
    return slice(first, last), slice(CELL * first, min(length, CELL * last))


def paste(pixels: NDArray[Any], region: Region, mask: Tensor, part: NDArray[Any]) -> None:
    """Replace the marked pixels of a region in an image (H, W, C), in place, by those of `part`."""
    own = region.own(mask)
    pixels[region.rows, region.columns][own] = part[own]
