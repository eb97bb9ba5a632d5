"""Blind estimation of the noise level of photos."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from scipy.stats import gamma
from torch import Tensor

from restorekit.core.denoiser import GREY_LEVEL

PATCH = 7
CONFIDENCE = 1 - 1e-6
ROUNDS = 4
# Patches with this fraction of black or white pixels, or more, are excluded.
MAX_CLIPPED = 0.1
# Approximate maximum number of patches; sufficient for a covariance matrix of 49 x 49.
MAX_PATCHES = 60_000


def estimate_sigma(y: Tensor) -> Tensor:
    """Standard deviation of white Gaussian noise in each image: (N,) in the unit of y (N, C, H, W).

    Liu, Tanaka and Okutomi 2013 ("Single-image noise level estimation for blind denoising", IEEE TIP 22(12)): the
    smallest eigenvalue of the covariance matrix of the patches without texture. A patch has no texture if noise of the
    current estimate explains the strength of its gradients; selection and estimation are repeated. The result is the
    median over the channels, which are estimated separately. It is 0 for images that are too small.
    """
    if min(y.shape[-2:]) < PATCH:
        return y.new_zeros(len(y))
    return torch.stack(
        [torch.stack([_channel_sigma(channel) for channel in image]).median() for image in y.float().cpu()]
    ).to(y.device)


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


def _channel_sigma(x: Tensor) -> Tensor:
    """Noise level of one channel (H, W), a scalar."""
    stride = max(1, math.isqrt(x.numel() // MAX_PATCHES))
    patches = F.unfold(x[None, None], PATCH, stride=stride)[0].double()
    horizontal, vertical = (matrix.to(patches) for matrix in _gradient_matrices())
    strength = (horizontal @ patches).square().sum(0) + (vertical @ patches).square().sum(0)
    form = horizontal.T @ horizontal + vertical.T @ vertical
    rank, trace = float(torch.linalg.matrix_rank(form)), float(form.trace())
    threshold = float(gamma.ppf(CONFIDENCE, rank / 2, scale=2 * trace / rank))
    # Bars, blown highlights and transparent areas contain no noise.
    natural = (patches.amax(0) > patches.amin(0)) & ((patches.abs() >= 1).double().mean(0) < MAX_CLIPPED)
    patches, strength = patches[:, natural], strength[natural]
    selected = torch.ones_like(strength, dtype=torch.bool)
    if len(strength) <= PATCH**2:
        return x.new_zeros(())
    variance = patches.new_zeros(())
    for _ in range(ROUNDS):
        smallest = torch.linalg.eigvalsh(torch.cov(patches[:, selected]))[0].clamp(min=0)
        # Bias of the smallest eigenvalue for a finite number of patches (Marchenko and Pastur 1967).
        bias = (1 - math.sqrt(PATCH**2 / int(selected.sum()))) ** 2
        variance = smallest / bias
        selected = strength <= variance * threshold
        if int(selected.sum()) <= 4 * PATCH**2:
            break
    return variance.sqrt().to(x.dtype)
