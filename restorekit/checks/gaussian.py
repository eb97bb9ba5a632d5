"""A prior with a closed-form posterior."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from restorekit.core.denoiser import PriorInfo, batch_sigma, per_image
from restorekit.core.operators import LinearOperator

SIGMA_MIN, SIGMA_MAX = 0.002, 80.0


class GaussianPrior:
    """Independent pixels N(mean, std^2): D = (std^2 x + sigma^2 mean) / (std^2 + sigma^2).

    Arguments:
        mean, std: mean and standard deviation of every pixel, in the unit of images in [-1, 1]; mean may be (C, 1, 1),
            one value per channel.
        channels, classes: see `PriorInfo`; the label has no effect.
        facts: other fields of `PriorInfo`.

    Attributes:
        info: the facts.
        seen: shape of every batch that was evaluated.
        sigmas: largest noise level of every batch that was evaluated.
    """

    def __init__(
        self,
        mean: float | Tensor = 0.0,
        std: float = 1.0,
        channels: int = 3,
        classes: tuple[str, ...] | None = None,
        **facts: Any,
    ) -> None:
        self.mean, self.std = mean, std
        no_label = None if classes is None else len(classes)
        defaults = PriorInfo(channels, None, SIGMA_MIN, SIGMA_MAX, classes=classes, no_label=no_label)
        self.info = replace(defaults, **facts)
        self.seen: list[torch.Size] = []
        self.sigmas: list[float] = []

    def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        """Return D(x, sigma); see `Denoiser`. sigma may be one number for all images."""
        sigma = batch_sigma(x, sigma)
        self.seen.append(x.shape)
        self.sigmas.append(float(sigma.max()))
        variance = per_image(sigma.to(x), x) ** 2
        return (self.std**2 * x + variance * self.mean) / (self.std**2 + variance)

    def posterior_mean(self, operator: LinearOperator, y: Tensor, sigma_y: float) -> Tensor:
        """Return E[x | y] for y = A x + sigma_y n with sigma_y > 0.

        It is mean + A^T (A A^T + (sigma_y / std)^2)^-1 (y - A mean).
        """
        mean = torch.zeros_like(operator.adjoint(y)) + self.mean
        residual = y - operator.forward(mean)
        return mean + operator.adjoint(operator.solve(residual, (sigma_y / self.std) ** 2))
