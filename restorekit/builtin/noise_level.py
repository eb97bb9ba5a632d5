"""How noisy is a photo?"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from scipy.stats import gamma
from torch import Tensor

PATCH = 7
CONFIDENCE = 1 - 1e-6
ROUNDS = 4
# Patches with as large a share of black or white pixels as this are left out.
CLIPPED = 0.1
# Patches are thinned to about this many, which is plenty for a covariance matrix of 49 x 49.
ENOUGH = 60_000


def estimate_sigma(y: Tensor) -> Tensor:
    """Standard deviation of white Gaussian noise in each image: (N,) in the unit of y (N, C, H, W).

    Liu, Tanaka and Okutomi 2013 ("Single-image noise level estimation for blind denoising", IEEE TIP 22(12)): the
    smallest eigenvalue of the covariance of those patches whose gradients are no stronger than noise of the current
    estimate makes them, iterated. Channels are estimated apart, and the median taken. Images too small
    for that get 0.
    """
    if min(y.shape[-2:]) < PATCH:
        return y.new_zeros(len(y))
    return torch.stack(
        [torch.stack([_channel(channel) for channel in image]).median() for image in y.float().cpu()]
    ).to(y.device)


def _gradient_matrices() -> tuple[Tensor, Tensor]:
    """Central differences along rows and columns inside a patch, each (M, PATCH^2), float64."""
    inner = torch.zeros(PATCH - 2, PATCH, dtype=torch.float64)
    for i in range(PATCH - 2):
        inner[i, i], inner[i, i + 2] = -0.5, 0.5
    eye = torch.eye(PATCH, dtype=torch.float64)
    return torch.kron(eye, inner), torch.kron(inner, eye)


def _channel(x: Tensor) -> Tensor:
    stride = max(1, math.isqrt(x.numel() // ENOUGH))
    patches = F.unfold(x[None, None], PATCH, stride=stride)[0].double()
    across, down = (matrix.to(patches) for matrix in _gradient_matrices())
    strength = (across @ patches).square().sum(0) + (down @ patches).square().sum(0)
    form = across.T @ across + down.T @ down
    rank, trace = float(torch.linalg.matrix_rank(form)), float(form.trace())
    threshold = float(gamma.ppf(CONFIDENCE, rank / 2, scale=2 * trace / rank))
    # Bars, blown highlights and what lies under transparency hold no noise: they tell nothing of the rest.
    natural = (patches.amax(0) > patches.amin(0)) & ((patches.abs() >= 1).double().mean(0) < CLIPPED)
    patches, strength = patches[:, natural], strength[natural]
    chosen = torch.ones_like(strength, dtype=torch.bool)
    if len(strength) <= PATCH**2:
        return x.new_zeros(())
    variance = patches.new_zeros(())
    for _ in range(ROUNDS):
        smallest = torch.linalg.eigvalsh(torch.cov(patches[:, chosen]))[0].clamp(min=0)
        # Of finitely many patches the smallest eigenvalue falls short by this (Marchenko and Pastur 1967).
        shortfall = (1 - math.sqrt(PATCH**2 / int(chosen.sum()))) ** 2
        variance = smallest / shortfall
        chosen = strength <= variance * threshold
        if int(chosen.sum()) <= 4 * PATCH**2:
            break
    return variance.sqrt().to(x.dtype)
