"""A prior of correlated pixels whose posterior is known in closed form."""

from __future__ import annotations

import torch
from torch import Tensor

from restorekit.core.denoiser import PriorInfo


class CorrelatedPrior:
    """Grey images of side x side pixels, N(mean, S), whose covariance falls with distance.

    D is exact for maps of sigma, too.
    """

    def __init__(self, side: int = 8, mean: float = 0.1, std: float = 0.3, reach: float = 3.0) -> None:
        self.info = PriorInfo(1, None, 0.002, 80.0, partial_noise=True, supports_holes=True)
        self.side, self.mean = side, mean
        place = torch.cartesian_prod(torch.arange(side), torch.arange(side)).double()
        self.covariance = std**2 * torch.exp(-torch.cdist(place, place) / reach)

    def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        flat = x.reshape(len(x), -1).double() - self.mean
        levels = sigma.reshape(len(x), -1).double().expand(-1, flat.shape[1]).clamp(max=1e4)
        total = self.covariance + torch.diag_embed(levels**2)
        denoised = self.mean + torch.linalg.solve(total, flat[..., None])[..., 0] @ self.covariance
        return denoised.reshape(x.shape).to(x)

    def posterior(self, y: Tensor, hole: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and covariance of the pixels of a hole (side, side), given all other pixels of y (side, side)."""
        unknown = hole.flatten()
        a = self.covariance[unknown][:, ~unknown] @ torch.linalg.inv(self.covariance[~unknown][:, ~unknown])
        mean = self.mean + a @ (y.flatten()[~unknown].double() - self.mean)
        return mean, self.covariance[unknown][:, unknown] - a @ self.covariance[~unknown][:, unknown]
