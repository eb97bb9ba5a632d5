"""Grey images through a colour prior."""

from __future__ import annotations

import math

from torch import Tensor

from restorekit.core.denoiser import Denoiser, per_image
from restorekit.core.noise import ImageNoise

SPREAD = math.sqrt(3)


def in_colour(x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """A grey image (N, 1, H, W) with noise sigma, (N,) or a map, as one of three channels, and the noise that it has.

    In an orthonormal basis of colour, equal noise of deviation sigma in the three channels is noise sqrt(3) * sigma
    on the grey axis alone; the two other axes get as much, always the same.
    """
    draw = ImageNoise([0]).like(x[:1].expand(-1, 3, -1, -1))
    level = per_image(sigma * SPREAD, x)
    return x + (draw - draw.mean(1, keepdim=True)) * level.masked_fill(level.isinf(), 0), sigma * SPREAD


class Grey:
    """D of one channel from a prior of three: the mean channel of its answer to the image in colour (`in_colour`).

    Measured on 7 grey photos of BSDS500 at sigma 15 / 25 / 50: 0.03 / 0.17 / 0.73 dB better than without the noise on
    the two other axes, 2 to 5 dB better than asking at sigma.
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
        return self.prior(*in_colour(x, sigma), label).mean(1, keepdim=True)
