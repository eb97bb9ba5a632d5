"""Correlated noise with random statistics, for training: noise that no particular camera makes.

A prior trained only on simulated cameras keeps the noise of real ones whose processing is outside the simulation.
Random correlation of pixels and channels and random dependence on brightness widen the training distribution, as in
the degradation model of Zhang et al. 2022 (arXiv 2203.13278, section 3.2: Gaussian noise with a random covariance of
the channels, resized noise). Images are (N, 3, H, W) in [0, 1].
"""

from __future__ import annotations

import torch
from torch import Tensor

from restorekit.training.camera_noise import RGB_TO_YCBCR, apply_matrix, blur

# Fraction of the crops whose noise is correlated in space, and the range of its standard deviation in pixels.
BLURRED_SHARE, MIN_BLUR, MAX_BLUR = 0.75, 0.3, 2.5
# Chroma is blurred by up to this factor more than luma, and has up to this fraction of its amplitude.
MAX_CHROMA_BLUR, MAX_CHROMA = 4.0, 1.2
# log amplitude = slope (x - 1/2) + curvature ((x - 1/2)^2 - 1/12) at brightness x: ranges of both. Photos with a tone
# curve have the strongest noise in the dark midtones.
SLOPE, CURVATURE = (-1.5, 0.5), (-6.0, 0.5)


def correlated_noise(photo: Tensor, sigma: Tensor, generator: torch.Generator) -> Tensor:
    """Return noise like the photos, whose root mean square is sigma for each photo.

    photo: (N, 3, H, W) in [0, 1], on the device of the generator. sigma: (N,) in the unit of the photos.
    """
    count, device = len(photo), generator.device

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand((count, 1, 1, 1), generator=generator, device=device) * (high - low) + low

    ycbcr = torch.randn(photo.shape, generator=generator, device=device)
    is_blurred = uniform(0, 1) < BLURRED_SHARE
    deviation = MIN_BLUR * (MAX_BLUR / MIN_BLUR) ** uniform(0, 1)
    remaining = uniform(0, 1)  # amplitude of white noise beside the blurred noise
    luma = torch.where(is_blurred, _blurred(ycbcr[:, :1], deviation, remaining), ycbcr[:, :1])
    broad = deviation * uniform(1, MAX_CHROMA_BLUR)
    chroma = torch.where(is_blurred, _blurred(ycbcr[:, 1:], broad, remaining), ycbcr[:, 1:])
    rgb = apply_matrix(torch.cat([luma, uniform(0, MAX_CHROMA) * chroma], dim=1), torch.linalg.inv(RGB_TO_YCBCR))
    brightness = photo.mean(1, keepdim=True) - 0.5
    rgb = rgb * (uniform(*SLOPE) * brightness + uniform(*CURVATURE) * (brightness.square() - 1 / 12)).exp()
    return rgb * (sigma.reshape(-1, 1, 1, 1) / rgb.square().mean((1, 2, 3), keepdim=True).sqrt().clamp(min=1e-6))


def _blurred(noise: Tensor, deviation: Tensor, remaining: Tensor) -> Tensor:
    """Return noise blurred by a Gaussian, scaled to root mean square 1, plus `remaining` times the noise itself."""
    smooth = blur(noise, deviation)
    return smooth / smooth.square().mean((-1, -2), keepdim=True).sqrt().clamp(min=1e-6) + remaining * noise
