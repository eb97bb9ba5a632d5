"""Grey images through a colour prior."""

from __future__ import annotations

import math

from torch import Tensor

from restorekit.core.denoiser import Denoiser

SPREAD = math.sqrt(3)


class Grey:
    """D of one channel from a prior of three: the grey image is shown as three equal channels.

    In an orthonormal basis of colour, equal noise of deviation sigma in the three channels is noise sqrt(3) * sigma
    on the grey axis alone, so the prior is asked at sqrt(3) * sigma, and its answer averaged over the channels.
    """

    channels = 1

    def __init__(self, prior: Denoiser) -> None:
        self.prior = prior
        self.size, self.classes, self.partial_noise = prior.size, prior.classes, prior.partial_noise
        self.levels = None if prior.levels is None else prior.levels / SPREAD
        self.sigma_min, self.sigma_max = prior.sigma_min / SPREAD, prior.sigma_max / SPREAD

    def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        """x (N, 1, H, W), sigma (N,) -> (N, 1, H, W)."""
        return self.prior(x.expand(-1, 3, -1, -1), sigma * SPREAD, label).mean(1, keepdim=True)
