"""One loss for every prior: ((D(x, sigma) - x0) / sigma)^2 with a weight and a distribution of sigma.

Ho et al.'s L_simple (equation 14) is this with weight 1 and uniform steps, since (D - x0) / sigma = n - eps.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from restorekit.core.denoiser import per_image
from restorekit.priors.epsilon import GUESS_SIGMA, Prediction
from restorekit.training.plan import LossPlan, NoisePlan
from restorekit.training.spared import spared_pixels

# A crop with a smaller share of noisy pixels than this is weighted as one with this share.
FEWEST = 0.2


def draw_sigmas(plan: NoisePlan, table: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Noise levels (count,), float64, on the generator's device; table as in `restorekit.core.ladders`."""
    device = generator.device
    table = table.to(device)
    steps = torch.randint(len(table), (count,), generator=generator, device=device)
    if plan.distribution == "uniform-t":
        return table[steps]
    normal = torch.randn(count, generator=generator, device=device, dtype=torch.float64)
    sigmas = (plan.mean + plan.std * normal).exp().clamp(table[0], table[-1])
    share = torch.rand(count, generator=generator, device=device)
    return torch.where(share < plan.uniform_share, table[steps], sigmas)


def partial_noise(
    plan: NoisePlan, prediction: Prediction, sigma: Tensor, side: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Noise levels (N,), masks of the noise (N, 1, side, side) and weights (N,), after `partial_share` of the crops
    got partial noise, and `unknown_share` of these the level inf. A weight makes up for the few noisy pixels of a crop,
    and for levels above the ceiling."""
    count, device = len(sigma), generator.device
    chosen = torch.rand(count, generator=generator, device=device) < plan.partial_share
    normal = torch.randn(count, generator=generator, device=device, dtype=torch.float64)
    levels = (plan.partial_mean + plan.partial_std * normal).exp()
    unknown = torch.rand(count, generator=generator, device=device) < plan.unknown_share
    levels = levels.masked_fill(unknown, math.inf)
    mask = spared_pixels(count, side, generator, plan.partial_masks)
    seen = seen_level(levels)
    capped = seen.clamp(max=plan.partial_ceiling) ** -2 / target_weight(prediction, seen)
    weight = capped.clamp(min=1) / mask.mean((1, 2, 3)).clamp(min=FEWEST)
    whole = ~chosen[:, None, None, None]
    return (
        torch.where(chosen, levels, sigma),
        mask.masked_fill(whole, 1.0),
        torch.where(chosen, weight, torch.ones_like(weight)),
    )


def seen_level(sigma: Tensor) -> Tensor:
    """Levels (N,) as the network sees them: a guess in place of unknown pixels counts as noise of one level."""
    return sigma.masked_fill(sigma.isinf(), GUESS_SIGMA)


def target_weight(prediction: Prediction, sigma: Tensor) -> Tensor:
    """Weight w (N,) with which w * (D - x0)^2 is the squared error of the predicted quantity.

    eps: 1 / sigma^2; x0: 1; v: (1 + sigma^2) / sigma^2.
    """
    if prediction == "x0":
        return torch.ones_like(sigma)
    return sigma**-2 if prediction == "eps" else 1 + sigma**-2


def level_weight(plan: LossPlan, prediction: Prediction, sigma: Tensor) -> Tensor:
    """Weight (N,) of a noise level in units of the prediction's own squared error; snr = 1 / sigma^2.

    p2 (Choi et al. 2022, equation 8): 1 / (k + snr)^gamma on the eps loss.
    min-snr (Hang et al. 2023, section 3.4): min(snr, gamma) on the x0 loss.
    """
    if plan.weighting == "simple":
        return torch.ones_like(sigma)
    snr = sigma**-2
    p2 = snr * (plan.p2_k + snr) ** -plan.p2_gamma
    wanted = p2 if plan.weighting == "p2" else snr.clamp(max=plan.snr_gamma)
    return wanted / target_weight(prediction, sigma)


def denoising_loss(
    plan: LossPlan,
    prediction: Prediction,
    denoised: Tensor,
    clean: Tensor,
    sigma: Tensor,
    weight: Tensor | None = None,
) -> Tensor:
    """Mean loss over a batch of images (N, C, H, W) at levels sigma (N,), each weighted by weight (N,) as well."""
    scale = target_weight(prediction, sigma).sqrt()
    error = (denoised - clean) * per_image(scale, clean)
    each = error.abs() if plan.norm == "l1" else error.square()
    level = level_weight(plan, prediction, sigma)
    return (each * per_image(level if weight is None else level * weight, clean)).mean()
