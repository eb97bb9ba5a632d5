"""Grey images through a colour prior."""

from __future__ import annotations

import math

from torch import Tensor

from restorekit.core.denoiser import Denoiser, per_image
from restorekit.core.noise import ImageNoise

SPREAD = math.sqrt(3)


class Grey:
    """D of one channel from a prior of three: the grey image is shown as three equal channels.

    In an orthonormal basis of colour, equal noise of deviation sigma in the three channels is noise sqrt(3) * sigma
    on the grey axis alone; so the prior is asked at sqrt(3) * sigma, the two other axes get as much noise, always the
    same, and the answer is averaged over the channels. Measured on 7 grey photos of BSDS500 at sigma 15 / 25 / 50:
    0.03 / 0.17 / 0.73 dB better than without that noise, 2 to 5 dB better than asking at sigma.
    """

    channels = 1

    def __init__(self, prior: Denoiser) -> None:
        self.prior = prior
        self.size, self.classes = prior.size, prior.classes
        self.partial_noise, self.fills = prior.partial_noise, prior.fills
        self.no_label = getattr(prior, "no_label", None)
        self.levels = None if prior.levels is None else prior.levels / SPREAD
        self.sigma_min, self.sigma_max = prior.sigma_min / SPREAD, prior.sigma_max / SPREAD

    def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        """x (N, 1, H, W), sigma (N,) or a map -> (N, 1, H, W)."""
        draw = ImageNoise([0]).like(x[:1].expand(-1, 3, -1, -1))
        level = per_image(sigma * SPREAD, x)
        colour = (draw - draw.mean(1, keepdim=True)) * level.masked_fill(level.isinf(), 0)
        return self.prior(x + colour, sigma * SPREAD, label).mean(1, keepdim=True)
