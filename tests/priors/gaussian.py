"""A prior of pixels that depend on each other, whose posterior is known in closed form."""

from __future__ import annotations

import torch
from torch import Tensor


class CorrelatedPrior:
    """One channel of SIDE x SIDE pixels, N(mean, S) with a covariance that falls with distance; exact for maps too."""

    channels, size, levels, classes = 1, None, None, None
    sigma_min, sigma_max, partial_noise, fills = 0.002, 80.0, True, True

    def __init__(self, side: int = 8, mean: float = 0.1, std: float = 0.3, reach: float = 3.0) -> None:
        self.side, self.mean = side, mean
        place = torch.cartesian_prod(torch.arange(side), torch.arange(side)).double()
        self.covariance = std**2 * torch.exp(-torch.cdist(place, place) / reach)

    def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        flat = x.reshape(len(x), -1).double() - self.mean
        levels = sigma.reshape(len(x), -1).double().expand(-1, flat.shape[1]).clamp(max=1e4)
        total = self.covariance + torch.diag_embed(levels**2)
        answer = self.mean + torch.linalg.solve(total, flat[..., None])[..., 0] @ self.covariance
        return answer.reshape(x.shape).to(x)

    def posterior(self, y: Tensor, hole: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and covariance of the pixels of a hole (side, side), given all others of y (side, side)."""
        unknown = hole.flatten()
        a = self.covariance[unknown][:, ~unknown] @ torch.linalg.inv(self.covariance[~unknown][:, ~unknown])
        mean = self.mean + a @ (y.flatten()[~unknown].double() - self.mean)
        return mean, self.covariance[unknown][:, unknown] - a @ self.covariance[~unknown][:, unknown]
