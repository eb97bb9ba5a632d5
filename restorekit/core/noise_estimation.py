"""Blind estimation of the noise level of photos."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from restorekit.core.denoiser import GREY_LEVEL

PATCH = 7
ROUNDS = 4
# The sum of the squared gradients of a patch of white noise with variance 1 exceeds this with a probability of 1e-6:
# the quantile of the gamma distribution of Liu et al. (2013). A test computes it; scipy.stats takes long to import.
MAX_STRENGTH = 81.82076743668523
# Patches with this fraction of black or white pixels, or more, are excluded.
MAX_CLIPPED = 0.1
# Approximate maximum number of patches; sufficient for a covariance matrix of 49 x 49.
MAX_PATCHES = 24_000
# Noise is called white from this level in grey levels and from this whiteness on. The whiteness of photos of BSDS500 is
# at most 0.55, that of the noise of two cameras at most 0.45, and with white noise of 5 grey levels at least 0.68.
MIN_WHITE_SIGMA, MIN_WHITENESS = 1.6, 0.6


@dataclass(frozen=True)
class NoiseEstimate:
    """Estimate of the noise of N images.

    Attributes:
        sigma: standard deviation of the white part of the noise, (N,) in the unit of the images.
        whiteness: ratio of the smallest to the median standard deviation of the principal components of the noise, (N,)
            in [0, 1]; 1 for white noise. Noise that was demosaiced, compressed or scaled has much less of some
            components.
    """

    sigma: Tensor
    whiteness: Tensor

    @property
    def is_white(self) -> Tensor:
        """Whether the noise is white Gaussian noise that can be seen, (N,) bool."""
        return (self.sigma >= MIN_WHITE_SIGMA * GREY_LEVEL) & (self.whiteness >= MIN_WHITENESS)


def estimate_sigma(y: Tensor) -> Tensor:
    """Return the standard deviation of white Gaussian noise in each image; see `estimate_noise`."""
    return estimate_noise(y).sigma


def estimate_noise(y: Tensor) -> NoiseEstimate:
    """Return the standard deviation and the whiteness of the noise in each image y (N, C, H, W), any range.

    Liu, Tanaka and Okutomi 2013 ("Single-image noise level estimation for blind denoising", IEEE TIP 22(12)): the
    smallest eigenvalue of the covariance matrix of the patches without texture. A patch has no texture if noise of the
    current estimate explains the strength of its gradients; selection and estimation are repeated. The result is the
    median over the channels, which are estimated separately. It is 0 for images that are too small.
    """
    if min(y.shape[-2:]) < PATCH:
        return NoiseEstimate(y.new_zeros(len(y)), y.new_zeros(len(y)))
    channels = [[_estimate_channel(channel) for channel in image] for image in y.float().cpu()]
    sigma, whiteness = torch.tensor(channels, dtype=torch.float32).median(1).values.to(y.device).unbind(1)
    return NoiseEstimate(sigma, whiteness)


def sigma_per_image(y: Tensor, sigma: float | Literal["auto"]) -> Tensor:
    """Return the noise level of each image, (N,) in the unit of y (N, C, H, W).

    sigma: in 8-bit grey levels, for all images; "auto": estimated for each image (`estimate_sigma`).
    """
    if sigma == "auto":
        return estimate_sigma(y)
    return torch.full((len(y),), float(sigma) * GREY_LEVEL, device=y.device)


def _gradient_matrices() -> tuple[Tensor, Tensor]:
    """Central differences along rows and columns inside a patch, each (M, PATCH^2), float64."""
    inner = torch.zeros(PATCH - 2, PATCH, dtype=torch.float64)
    for i in range(PATCH - 2):
        inner[i, i], inner[i, i + 2] = -0.5, 0.5
    eye = torch.eye(PATCH, dtype=torch.float64)
    return torch.kron(eye, inner), torch.kron(inner, eye)


def _estimate_channel(x: Tensor) -> tuple[float, float]:
    """Return the noise level and the whiteness of one channel (H, W)."""
    stride = max(1, math.isqrt(x.numel() // MAX_PATCHES))
    patches = F.unfold(x[None, None], PATCH, stride=stride)[0]
    # Bars, blown highlights and transparent areas contain no noise.
    natural = (patches.amax(0) > patches.amin(0)) & ((patches.abs() >= 1).sum(0) < MAX_CLIPPED * PATCH**2)
    patches = patches.double()
    horizontal, vertical = (matrix.to(patches) for matrix in _gradient_matrices())
    strength = (horizontal @ patches).square().sum(0) + (vertical @ patches).square().sum(0)
    patches, strength = patches[:, natural], strength[natural]
    selected = torch.ones_like(strength, dtype=torch.bool)
    if len(strength) <= PATCH**2:
        return 0.0, 0.0
    for _ in range(ROUNDS):
        components = torch.linalg.eigvalsh(torch.cov(patches[:, selected])).clamp(min=0)
        # Bias of the smallest eigenvalue for a finite number of patches (Marchenko and Pastur 1967).
        bias = (1 - math.sqrt(PATCH**2 / int(selected.sum()))) ** 2
        variance = components[0] / bias
        selected = strength <= variance * MAX_STRENGTH
        if int(selected.sum()) <= 4 * PATCH**2:
            break
    median = float(components[len(components) // 2])
    return float(variance.sqrt()), math.sqrt(float(components[0]) / median) if median > 0 else 0.0
