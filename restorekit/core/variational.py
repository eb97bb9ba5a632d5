"""The variational bound of a diffusion prior, in bits per dimension.

Ho et al. 2020 (arXiv 2006.11239, equations 5 to 8 and 13); Nichol and Dhariwal 2021 (arXiv 2102.09672, section 3.1) for
the learned variance. A process is a table of increasing sigmas (see `restorekit.core.ladders`); index i (N,) is the
step from table[i] to table[i - 1], and index 0 the step from table[0] to a clean image. Means and variances are in the
variance-preserving scale, x / sqrt(1 + sigma^2); the bound does not depend on the scale.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from restorekit.core.denoiser import per_image
from restorekit.core.posterior import Variance, posterior_variance, step_variance

# Half an 8-bit level in [-1, 1]; bounds of the open bins at both ends; smallest probability.
HALF_LEVEL, EDGE, MIN_PROBABILITY = 1 / 255, 0.999, 1e-12


def log_variances(table: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithms (N,), float64, of beta tilde and beta. Beta tilde of step 0, which is 0, is that of step 1."""
    t = table.double()
    s = torch.cat([torch.zeros(1, dtype=torch.float64), t[:-1]])
    tilde, beta = posterior_variance(t, s) / (1 + s**2), step_variance(t, s) / (1 + s**2)
    tilde[0] = tilde[1] if len(table) > 1 else beta[0]
    steps = index.cpu()
    return tilde.log()[steps].to(index.device), beta.log()[steps].to(index.device)


def reverse_step(
    denoised: Tensor,
    x: Tensor,
    table: Tensor,
    index: Tensor,
    variance: Variance = "small",
    fraction: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Mean of p(x_s | x_t), like x, and its log-variance, broadcastable to x.

    x (N, C, H, W) is the variance-preserving state at step index, denoised is D of that state, and fraction is the
    learned v in about [-1, 1] (equation 15), which is not clamped.
    """
    tilde, beta = log_variances(table, index)
    sigmas = torch.cat([torch.zeros(1, dtype=torch.float64), table.double().cpu()])
    t, s = (sigmas[index.cpu() + offset].to(index.device) for offset in (1, 0))
    # x0 + (s / t)^2 (x_t - x0), with x_t and x_s in the variance-preserving scale.
    denoised_weight = (1 - (s / t) ** 2) / (1 + s**2).sqrt()
    state_weight = (s / t) ** 2 * ((1 + t**2) / (1 + s**2)).sqrt()
    mean = per_image(denoised_weight, x) * denoised + per_image(state_weight, x) * x
    if variance == "learned":
        if fraction is None:
            raise ValueError("reverse_step: variance='learned' requires fraction")
        weight = (fraction + 1) / 2
        return mean, weight * per_image(beta, x) + (1 - weight) * per_image(tilde, x)
    # As in the authors' code, step 0 of "large" has the variance of "small".
    log_variance = torch.where(index == 0, tilde, beta) if variance == "large" else tilde
    return mean, per_image(log_variance, x)


def normal_kl(mean: Tensor, log_variance: Tensor, other_mean: Tensor, other_log_variance: Tensor) -> Tensor:
    """KL(N(mean, ...) || N(other_mean, ...)) of every element, in nats."""
    distance = (mean - other_mean) ** 2 * (-other_log_variance).exp()
    return 0.5 * (-1.0 + other_log_variance - log_variance + (log_variance - other_log_variance).exp() + distance)


def discretized_log_likelihood(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Logarithm, in nats, of the mass of N(mean, exp(log_scale)^2) on the 8-bit level of every element of x in [-1, 1]
    (equation 13). As in the authors' code, the normal distribution function is approximated by a tanh."""

    def cdf(value: Tensor) -> Tensor:
        return 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (value + 0.044715 * value**3)))

    centered, sharpness = x - mean, torch.exp(-log_scale)
    upper, lower = cdf(sharpness * (centered + HALF_LEVEL)), cdf(sharpness * (centered - HALF_LEVEL))
    mass = torch.where(x < -EDGE, upper, torch.where(x > EDGE, 1 - lower, upper - lower))
    return mass.clamp(min=MIN_PROBABILITY).log()


def bound_term(
    clean: Tensor,
    denoised: Tensor,
    x: Tensor,
    table: Tensor,
    index: Tensor,
    variance: Variance = "small",
    fraction: Tensor | None = None,
) -> Tensor:
    """Term of the bound for step index (N,), in bits per dimension: a KL divergence, or the decoder term at step 0.

    clean: (N, C, H, W), 8-bit values in [-1, 1]; other arguments as in `reverse_step`.
    """
    mean, log_variance = reverse_step(denoised, x, table, index, variance, fraction)
    true_mean, true_log_variance = reverse_step(clean, x, table, index)
    divergence = normal_kl(true_mean, true_log_variance, mean, log_variance)
    decoder = -discretized_log_likelihood(clean, mean, 0.5 * log_variance.expand_as(mean))
    term = torch.where(per_image(index == 0, x).bool(), decoder, divergence)
    return term.flatten(1).mean(1) / math.log(2)


def prior_term(clean: Tensor, table: Tensor) -> Tensor:
    """KL(q(x_T | x0) || N(0, I)) of every image (N,), in bits per dimension."""
    scale = 1 / (1 + float(table[-1]) ** 2)
    log_variance = torch.tensor(math.log1p(-scale), dtype=torch.float64).to(clean)
    zeros = torch.zeros_like(clean)
    return normal_kl(clean * math.sqrt(scale), log_variance, zeros, zeros).flatten(1).mean(1) / math.log(2)
