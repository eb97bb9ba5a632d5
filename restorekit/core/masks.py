"""Groups of marked pixels in a mask."""

from __future__ import annotations

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

NEIGHBOURS = np.ones((3, 3))


def cell_groups(mask: Tensor, cell: int, dilations: int = 0) -> tuple[NDArray[np.int32], int]:
    """Number the groups of connected marked cells of a mask; neighbours may be diagonal.

    mask: (1, 1, H, W), bool or float, marked where it is > 0.5.
    cell: side of the square cells in pixels; a cell is marked if any of its pixels is.
    dilations: how often the marked cells are dilated by one cell before they are grouped; cells at a chessboard
        distance of up to 2 dilations + 1 are connected.

    Returns the number of the group of each cell, (H / cell, W / cell) rounded up, 0 where it is not marked, and the
    number of groups.
    """
    from scipy.ndimage import binary_dilation, label

    marked = F.max_pool2d((mask > 0.5).float(), cell, ceil_mode=True)[0, 0].bool().cpu().numpy()
    grown = binary_dilation(marked, NEIGHBOURS, dilations) if dilations else marked
    numbers, count = label(grown, NEIGHBOURS)
    return numbers * marked, count
