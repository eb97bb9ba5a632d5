"""Random initial weights, except on the meta device, where weights have no values.

`torch.nn.init.normal_` on the meta device imports hundreds of modules of torch: more than a second and 150 MiB in every
process that loads a model.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def normal_(weight: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Fill a weight with normally distributed values, as `torch.nn.init.normal_` does; nothing on the meta device."""
    return weight if weight.is_meta else nn.init.normal_(weight, mean, std)


def new_embedding(count: int, width: int) -> nn.Embedding:
    """Return `nn.Embedding(count, width)`, with the same initialization."""
    return nn.Embedding(count, width, _weight=normal_(torch.empty(count, width)))
