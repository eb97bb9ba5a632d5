"""Exponential moving average of weights."""

from __future__ import annotations

import copy
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


class Ema(Generic[M]):
    """Exponential moving average of the parameters of a module, kept in the copy `average`.

    The decay is min(decay, (1 + step) / (10 + step)), so that early averages forget the initial weights.
    """

    def __init__(self, module: M, decay: float) -> None:
        self.decay = decay
        self.average = copy.deepcopy(module).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Update the average with the weights after step `step` of the optimizer, counted from 0."""
        decay = min(self.decay, (1 + step) / (10 + step))
        averages: list[Tensor] = list(self.average.parameters())
        current = [p.detach() for p in module.parameters()]
        torch._foreach_lerp_(averages, current, 1 - decay)
        for average, buffer in zip(self.average.buffers(), module.buffers(), strict=True):
            average.copy_(buffer)
