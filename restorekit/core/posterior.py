"""Variances of one step of a diffusion process from sigma t down to sigma s < t, for x = x0 + sigma * n.

The variances of the variance-preserving state x / sqrt(1 + sigma^2) are these divided by 1 + s^2. The formulas are
equations 4 and 7 of Ho et al. 2020 (arXiv 2006.11239), written in sigma.
"""

from __future__ import annotations

from typing import Literal, TypeVar

from torch import Tensor

Sigma = TypeVar("Sigma", float, Tensor)
# Variance of a reverse step: beta tilde, beta, or an interpolation that the prior has learned.
Variance = Literal["small", "large", "learned"]


def posterior_variance(t: Sigma, s: Sigma) -> Sigma:
    """Return beta tilde, the variance of q(x_s | x_t, x0): s^2 (t^2 - s^2) / t^2."""
    return s**2 * (t**2 - s**2) / t**2


def step_variance(t: Sigma, s: Sigma) -> Sigma:
    """Return beta, the variance of p(x_s | x_t) for x0 ~ N(0, I): (1 + s^2)(t^2 - s^2) / (1 + t^2)."""
    return (1 + s**2) * (t**2 - s**2) / (1 + t**2)
