"""A small network that estimates how strongly a photo is degraded."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Initial estimate, smallest and largest estimate: 6, 1 and 128 grey levels, in the unit of images in [-1, 1].
INITIAL, SMALLEST, LARGEST = 12 / 255, 2 / 255, 256 / 255
# Side of the filters, and of the cells over which their energy is averaged, in pixels.
FILTER, CELL = 5, 4


class NoiseEstimator(nn.Module):
    """The level of degraded images: x (N, C, H, W) -> sigma (N,), in the unit of x.

    It is trained to be twice the root mean squared error (see `restorekit.training.blind_denoising.BlindDenoising`).

    The logarithm of the energy of learned high-pass filters in small cells is the input of a small network, which
    estimates log sigma and a weight for every cell. The result is the weighted mean, so that cells without texture can
    count most. As in CBDNet (Guo et al. 2019, arXiv 1807.04686), the estimate is an input of the denoiser; here it is
    one value per image.

    Arguments:
        channels: number of image channels.
        features: number of filters.
    """

    def __init__(self, channels: int, features: int) -> None:
        super().__init__()
        self.filters = nn.Conv2d(channels, features, FILTER, bias=False)
        self.layers = nn.Sequential(
            nn.Conv2d(features, 2 * features, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(2 * features, 2 * features, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(2 * features, 2, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, C, H, W) in about [-1, 1], of any size. Returns sigma (N,), float32."""
        # bfloat16 would round x to steps of a grey level.
        with torch.autocast(x.device.type, enabled=False):
            weight = self.filters.weight - self.filters.weight.mean((1, 2, 3), keepdim=True)
            right, down = (FILTER // 2 + max(0, CELL - side) for side in (x.shape[-1], x.shape[-2]))
            padded = F.pad(x.float(), (FILTER // 2, right, FILTER // 2, down), mode="replicate")
            energy = F.avg_pool2d(F.conv2d(padded, weight).square(), CELL)
            log_sigma, logit = self.layers((energy + SMALLEST**2).log() / 2 - math.log(INITIAL)).flatten(2).unbind(1)
            mean: Tensor = (logit.softmax(1) * log_sigma).sum(1) + math.log(INITIAL)
        return mean.clamp(math.log(SMALLEST), math.log(LARGEST)).exp()
