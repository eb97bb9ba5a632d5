"""A prior whose posterior is known in closed form."""

from __future__ import annotations

import torch
from torch import Tensor

from restorekit.core.operators import LinearOperator


class GaussianPrior:
    """Independent pixels N(mean, std^2): D = (std^2 x + sigma^2 mean) / (std^2 + sigma^2).

    Arguments:
        mean, std: of every pixel, in the unit of images in [-1, 1]; mean may be (C, 1, 1), one for each channel.
        channels, classes: see `Denoiser`; a class, or none, changes nothing.

    Attributes:
        seen, sigmas: shape and largest noise level of every image batch that it was asked about.
    """

    size: int | None = None
    sigma_min: float = 0.002
    sigma_max: float = 80.0
    levels: Tensor | None = None
    classes: tuple[str, ...] | None = None
    no_label: int | None = None
    partial_noise: bool = False
    fills: bool = False

    def __init__(
        self, mean: float | Tensor = 0.0, std: float = 1.0, channels: int = 3, classes: tuple[str, ...] | None = None
    ) -> None:
        self.mean, self.std, self.channels = mean, std, channels
        if classes is not None:
            self.classes, self.no_label = classes, len(classes)
        self.seen: list[torch.Size] = []
        self.sigmas: list[float] = []

    def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        """D(x, sigma); see `Denoiser`."""
        self.seen.append(x.shape)
        self.sigmas.append(float(sigma.max()))
        noise = sigma.to(x).reshape(-1, 1, 1, 1) ** 2
        return (self.std**2 * x + noise * self.mean) / (self.std**2 + noise)

    def posterior_mean(self, operator: LinearOperator, y: Tensor, sigma_y: float) -> Tensor:
        """E[x | y] for y = A x + sigma_y n, sigma_y > 0: mean + A^T (A A^T + (sigma_y / std)^2)^-1 (y - A mean)."""
        middle = torch.zeros_like(operator.adjoint(y)) + self.mean
        rest = y - operator.forward(middle)
        return middle + operator.adjoint(operator.solve(rest, (sigma_y / self.std) ** 2))
