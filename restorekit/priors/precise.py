"""A prior whose network computes in bfloat16."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from restorekit.core.denoiser import Denoiser


class InBfloat16:
    """D of a prior, its network in bfloat16; all around it (noise, operators, sums) stays float32.

    Arguments:
        prior: a denoiser; what it knows beside D is found here as well.
        device_type: "cpu" or "cuda".
    """

    def __init__(self, prior: Denoiser, device_type: str) -> None:
        self.prior, self.device_type = prior, device_type

    def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        """D(x, sigma, label); see `Denoiser`."""
        with torch.autocast(self.device_type, torch.bfloat16):
            return self.prior(x, sigma, label)

    def with_variance(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """D and the fraction of the variance; see `VarianceDenoiser`."""
        with torch.autocast(self.device_type, torch.bfloat16):
            result: tuple[Tensor, Tensor | None] = getattr(self.prior, "with_variance")(x, sigma, label)  # noqa: B009
            return result

    def __getattr__(self, name: str) -> Any:
        if name in ("prior", "device_type"):
            raise AttributeError(name)
        return getattr(self.prior, name)
