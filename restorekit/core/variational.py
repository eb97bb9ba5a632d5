"""The variational bound of a diffusion prior, in bits per dimension.

Ho et al. 2020 (arXiv 2006.11239, equations 5 to 8 and 13); Nichol and Dhariwal 2021 (arXiv 2102.09672, section 3.1) for
the learned variance. A process is a table of increasing sigmas (see `restorekit.core.ladders`); index i (N,) is a step
from table[i] to table[i - 1], and from table[0] to a clean image. Means and variances are of the variance-preserving
scale, x / sqrt(1 + sigma^2); the bound does not depend on the scale.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from restorekit.core.denoiser import per_image

Variance = Literal["small", "large", "learned"]
# Half of an 8-bit level in [-1, 1], the bounds of the open bins at both ends, and the least probability.
HALF_LEVEL, EDGE, FLOOR = 1 / 255, 0.999, 1e-12


def log_variances(table: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithms (N,), float64, of beta tilde and beta; beta tilde of step 0, which is 0, is taken from step 1."""
    squares = table.double() ** 2
    below = torch.cat([torch.zeros(1, dtype=torch.float64), squares[:-1]])
    beta = (squares - below) / (1 + squares)
    tilde = below * (squares - below) / squares / (1 + below)
    tilde[0] = tilde[1] if len(table) > 1 else beta[0]
    chosen = index.cpu()
    return tilde.log()[chosen].to(index.device), beta.log()[chosen].to(index.device)


def reverse_step(
    denoised: Tensor,
    x: Tensor,
    table: Tensor,
    index: Tensor,
    variance: Variance = "small",
    fraction: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Mean of p(x_s | x_t), like x, and its log-variance, which broadcasts with x.

    x (N, C, H, W) is the variance-preserving state of step index; denoised is D there; fraction the learned v in about
    [-1, 1] (equation 15), which is not clamped.
    """
    tilde, beta = log_variances(table, index)
    sigmas = torch.cat([torch.zeros(1, dtype=torch.float64), table.double().cpu()])
    t, s = (sigmas[index.cpu() + ahead].to(index.device) for ahead in (1, 0))
    # x0 + (s / t)^2 (x_t - x0), where x_t and x_s have their scales.
    own = (1 - (s / t) ** 2) / (1 + s**2).sqrt()
    kept = (s / t) ** 2 * ((1 + t**2) / (1 + s**2)).sqrt()
    mean = per_image(own, x) * denoised + per_image(kept, x) * x
    if variance == "learned":
        if fraction is None:
            raise ValueError("reverse_step: variance='learned' needs the fraction")
        share = (fraction + 1) / 2
        return mean, share * per_image(beta, x) + (1 - share) * per_image(tilde, x)
    # The authors give the first step of "large" the variance of "small".
    chosen = torch.where(index == 0, tilde, beta) if variance == "large" else tilde
    return mean, per_image(chosen, x)


def normal_kl(mean: Tensor, log_variance: Tensor, other_mean: Tensor, other_log_variance: Tensor) -> Tensor:
    """KL(N(mean, ...) || N(other_mean, ...)) of every element, in nats."""
    apart = (mean - other_mean) ** 2 * (-other_log_variance).exp()
    return 0.5 * (-1.0 + other_log_variance - log_variance + (log_variance - other_log_variance).exp() + apart)


def discretized_log_likelihood(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """log of the mass that N(mean, exp(log_scale)^2) gives to the 8-bit level of every element of x in [-1, 1], in nats
    (equation 13); the normal distribution function is approximated by a tanh, as the authors do."""

    def below(value: Tensor) -> Tensor:
        return 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (value + 0.044715 * value**3)))

    centred, sharpness = x - mean, torch.exp(-log_scale)
    upper, lower = below(sharpness * (centred + HALF_LEVEL)), below(sharpness * (centred - HALF_LEVEL))
    mass = torch.where(x < -EDGE, upper, torch.where(x > EDGE, 1 - lower, upper - lower))
    return mass.clamp(min=FLOOR).log()


def bound_term(
    clean: Tensor,
    denoised: Tensor,
    x: Tensor,
    table: Tensor,
    index: Tensor,
    variance: Variance = "small",
    fraction: Tensor | None = None,
) -> Tensor:
    """The term of step index of the bound (N,), bits per dimension: a KL divergence, or the decoder's at step 0.

    clean (N, C, H, W) of 8-bit values in [-1, 1]; other arguments as in `reverse_step`.
    """
    mean, log_variance = reverse_step(denoised, x, table, index, variance, fraction)
    true_mean, true_log_variance = reverse_step(clean, x, table, index)
    divergence = normal_kl(true_mean, true_log_variance, mean, log_variance)
    decoder = -discretized_log_likelihood(clean, mean, 0.5 * log_variance.expand_as(mean))
    each = torch.where(per_image(index == 0, x).bool(), decoder, divergence)
    return each.flatten(1).mean(1) / math.log(2)


def prior_term(clean: Tensor, table: Tensor) -> Tensor:
    """KL(q(x_T | x0) || N(0, I)) of every image (N,), bits per dimension."""
    scale = 1 / (1 + float(table[-1]) ** 2)
    log_variance = torch.tensor(math.log1p(-scale), dtype=torch.float64).to(clean)
    nothing = torch.zeros_like(clean)
    return normal_kl(clean * math.sqrt(scale), log_variance, nothing, nothing).flatten(1).mean(1) / math.log(2)
