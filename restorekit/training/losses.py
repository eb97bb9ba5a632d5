"""The denoising loss of all priors: ((D(x, sigma) - x0) / sigma)^2 with a weight and a distribution of sigma.

Ho et al.'s L_simple (equation 14) is this with weight 1 and uniform steps, since (D - x0) / sigma = n - eps.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from restorekit.core.denoiser import per_image
from restorekit.priors.epsilon import HOLE_SIGMA, Prediction
from restorekit.training.noise_masks import sample_noise_masks
from restorekit.training.plan import LossPlan, NoisePlan

# Crops with a smaller fraction of noisy pixels than this are weighted as if they had this fraction.
MIN_NOISY_FRACTION = 0.2
# Squared error of an image, relative to the scale of the predicted quantity, above which the norm "log" is logarithmic.
LOG_ERROR = 0.1


def sample_sigmas(plan: NoisePlan, table: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Sample noise levels (count,), float64, on the device of the generator; table as in `restorekit.core.ladders`."""
    device = generator.device
    table = table.to(device)
    steps = torch.randint(len(table), (count,), generator=generator, device=device)
    if plan.distribution == "uniform-t":
        return table[steps]
    normal = torch.randn(count, generator=generator, device=device, dtype=torch.float64)
    sigmas = (plan.mean + plan.std * normal).exp().clamp(table[0], table[-1])
    uniform = torch.rand(count, generator=generator, device=device)
    return torch.where(uniform < plan.uniform_share, table[steps], sigmas)


def partial_noise(
    plan: NoisePlan, prediction: Prediction, sigma: Tensor, side: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Replace the noise of some crops by partial noise.

    A fraction `partial_share` of the crops gets partial noise; of these, a fraction `unknown_share` gets the level inf.
    The weights compensate for the smaller number of noisy pixels of a crop, and for levels above the ceiling.

    sigma: (N,). Returns noise levels (N,), noise masks (N, 1, side, side) and weights (N,).
    """
    count, device = len(sigma), generator.device
    selected = torch.rand(count, generator=generator, device=device) < plan.partial_share
    normal = torch.randn(count, generator=generator, device=device, dtype=torch.float64)
    levels = (plan.partial_mean + plan.partial_std * normal).exp()
    unknown = torch.rand(count, generator=generator, device=device) < plan.unknown_share
    levels = levels.masked_fill(unknown, math.inf)
    mask = sample_noise_masks(count, side, generator, plan.partial_masks)
    effective = effective_sigma(levels)
    capped = effective.clamp(max=plan.partial_ceiling) ** -2 / target_weight(prediction, effective)
    weight = capped.clamp(min=1) / mask.mean((1, 2, 3)).clamp(min=MIN_NOISY_FRACTION)
    everywhere = ~selected[:, None, None, None]
    return (
        torch.where(selected, levels, sigma),
        mask.masked_fill(everywhere, 1.0),
        torch.where(selected, weight, torch.ones_like(weight)),
    )


def effective_sigma(sigma: Tensor) -> Tensor:
    """Return the levels (N,) that the network receives: inf is replaced by that of an initial estimate."""
    return sigma.masked_fill(sigma.isinf(), HOLE_SIGMA)


def target_weight(prediction: Prediction, sigma: Tensor) -> Tensor:
    """Return the weight w (N,) for which w * (D - x0)^2 is the squared error of the predicted quantity.

    eps: 1 / sigma^2; x0: 1; v: (1 + sigma^2) / sigma^2.
    """
    if prediction == "x0":
        return torch.ones_like(sigma)
    return sigma**-2 if prediction == "eps" else 1 + sigma**-2


def level_weight(plan: LossPlan, prediction: Prediction, sigma: Tensor) -> Tensor:
    """Return the weight (N,) of noise levels, relative to the squared error of the predicted quantity.

    With snr = 1 / sigma^2:

    p2 (Choi et al. 2022, equation 8): 1 / (k + snr)^gamma on the eps loss.
    min-snr (Hang et al. 2023, section 3.4): min(snr, gamma) on the x0 loss.
    """
    if plan.weighting == "simple":
        return torch.ones_like(sigma)
    snr = sigma**-2
    p2 = snr * (plan.p2_k + snr) ** -plan.p2_gamma
    weight = p2 if plan.weighting == "p2" else snr.clamp(max=plan.snr_gamma)
    return weight / target_weight(prediction, sigma)


def denoising_loss(
    plan: LossPlan,
    prediction: Prediction,
    denoised: Tensor,
    clean: Tensor,
    sigma: Tensor,
    weight: Tensor | None = None,
) -> Tensor:
    """Return the mean loss of images (N, C, H, W) at levels sigma (N,), with additional weights (N,) if given.

    With the norm "log", the additional weights multiply the error of each image before its logarithm.
    """
    scale = target_weight(prediction, sigma).sqrt()
    error = (denoised - clean) * per_image(scale, clean)
    loss = error.abs() if plan.norm == "l1" else error.square()
    level = level_weight(plan, prediction, sigma)
    if plan.norm == "log":
        each = loss.mean((1, 2, 3))
        return (level * (each if weight is None else each * weight).div(LOG_ERROR).log1p()).mean()
    return (loss * per_image(level if weight is None else level * weight, clean)).mean()
