"""Objectives that fit a score s(x) = grad log p(x) to samples; all three have the same minimum.

score: (N, ...) -> (N, ...), a function of x only; for a fixed noise level, use a closure. Losses are sums over the
pixels of an image and means over the batch, as in the papers; the trainer uses means over the pixels
(`training/losses.py`).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from restorekit.core.denoiser import per_image

Score = Callable[[Tensor], Tensor]


def denoising_score_matching(
    score: Score, x: Tensor, sigma: Tensor, noise: Tensor, *, anneal_power: float = 2.0
) -> Tensor:
    """1/2 |s(x + sigma n) + n / sigma|^2 sigma^anneal_power (Vincent 2011; Song and Ermon 2019, equations 5 and 6).

    Fits the score of the noisy density. x, noise: (N, C, H, W). sigma: (N,) in the unit of x.
    """
    spread = per_image(sigma, x)
    error = score(x + spread * noise) + noise / spread
    return (0.5 * error.square().flatten(1).sum(1) * sigma**anneal_power).mean()


def sliced_score_matching(
    score: Score, x: Tensor, projections: Tensor, *, variance_reduction: bool = True, weight: Tensor | None = None
) -> Tensor:
    """v . grad_x (v . s) + 1/2 (v . s)^2 (Song et al. 2019, arXiv 1905.07088, equation 7).

    With variance reduction, the second term is 1/2 |s|^2 (equation 8).

    projections: (M, N, ...), standard normal. weight: (N,), for example sigma^2.
    """
    count = len(projections)
    points = x.detach().repeat(count, *[1] * (x.ndim - 1)).requires_grad_()
    v = projections.reshape(points.shape)
    with torch.enable_grad():
        s = score(points)
        (slope,) = torch.autograd.grad((s * v).sum(), points, create_graph=True)
    curvature = (slope * v).flatten(1).sum(1)
    length = s.square().flatten(1).sum(1) if variance_reduction else (s * v).flatten(1).sum(1).square()
    loss = (curvature + 0.5 * length).reshape(count, -1).mean(0)
    return (loss if weight is None else loss * weight).mean()


def exact_score_matching(score: Score, x: Tensor) -> Tensor:
    """tr(grad_x s) + 1/2 |s|^2 (Hyvarinen 2005), with one gradient per dimension of x (N, ...)."""
    points = x.detach().clone().requires_grad_()
    with torch.enable_grad():
        s = score(points).flatten(1)
        trace = torch.zeros_like(s[:, 0])
        for i in range(s.shape[1]):
            (slope,) = torch.autograd.grad(s[:, i].sum(), points, create_graph=True)
            trace = trace + slope.flatten(1)[:, i]
    return (trace + 0.5 * s.square().sum(1)).mean()
