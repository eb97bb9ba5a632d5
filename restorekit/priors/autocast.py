"""A prior whose network computes in bfloat16."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from restorekit.core.denoiser import Denoiser, Estimate, Wrapper


class Autocast(Wrapper):
    """D of a prior whose network computes in bfloat16; noise, operators and sums stay float32.

    Arguments:
        prior: any denoiser.
        device_type: "cpu" or "cuda".
    """

    def __init__(self, prior: Denoiser, device_type: str) -> None:
        super().__init__(prior)
        self.device_type = device_type

    def _evaluate(self, inner: Callable[..., Estimate], x: Tensor, sigma: Tensor, label: Tensor | None) -> Estimate:
        with torch.autocast(self.device_type, torch.bfloat16):
            return inner(x, sigma, label)
