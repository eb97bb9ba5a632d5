"""Operations of networks that use less memory and time where no gradients are recorded.

Results are the same up to rounding. While gradients are recorded, nothing is overwritten.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def is_cpu_inference(x: Tensor) -> bool:
    """Return True if x is on the CPU and no gradients are recorded."""
    return x.device.type == "cpu" and not torch.is_grad_enabled()


def silu(h: Tensor, keep: Tensor) -> Tensor:
    """Return SiLU(h); overwrites h if no gradients are recorded and h is not `keep`, which the caller still needs."""
    return F.silu(h, inplace=h is not keep and not torch.is_grad_enabled())


def add(h: Tensor, other: Tensor) -> Tensor:
    """Return h + other; overwrites h if no gradients are recorded."""
    if torch.is_grad_enabled() or h.dtype != torch.result_type(h, other):
        return h + other
    return h.add_(other)


def transposed_weight(weight: Tensor) -> Tensor:
    """Return the kernel of the transposed convolution that equals nearest-neighbour upsampling and a convolution.

    A result of the 3 x 3 convolution depends on 2 x 2 different pixels only, so 4/9 of the products remain.

    weight: (C', C, 3, 3), of a convolution with padding 1. Returns (C, C', 4, 4), for stride 2 and padding 1.
    """
    for axis in (2, 3):
        zero = torch.zeros_like(weight.narrow(axis, 0, 1))
        weight = torch.cat([weight, zero], dim=axis) + torch.cat([zero, weight], dim=axis)
    return weight.flip(2, 3).transpose(0, 1)
