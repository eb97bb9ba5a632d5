"""Conjugate gradients for symmetric, positive semi-definite maps on images."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

MAX_STEPS, TOLERANCE = 200, 1e-7
# Smallest relative tolerance, in multiples of the machine epsilon: smaller residuals are rounding errors.
MIN_EPSILONS = 16


def conjugate_gradients(
    apply: Callable[[Tensor], Tensor],
    y: Tensor,
    steps: int = MAX_STEPS,
    *,
    start: Tensor | None = None,
    precondition: Callable[[Tensor], Tensor] = torch.clone,
    tolerance: float = TOLERANCE,
    dim: tuple[int, ...] = (1, 2, 3),
    stop_together: bool = False,
) -> Tensor:
    """Solve apply(x) = y for a symmetric, positive semi-definite map on images (N, C, H, W).

    Arguments:
        apply: the map; it must not mix separate systems (see `dim`).
        y: the right-hand side, in the range of the map.
        steps: maximum number of iterations.
        start: the initial x; default: zeros.
        precondition: a symmetric, positive definite map that approximates the inverse of `apply`.
        tolerance: a system is solved when the norm of its residual is at most this fraction of the initial norm
            (or `MIN_EPSILONS` times the machine epsilon, if that is larger).
        dim: dimensions of one system. By default, each image is a separate system; (2, 3): each channel.
        stop_together: False: a solved system no longer changes, so that its result does not depend on the batch.
            True: all systems are refined until all are solved.
    """

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum(dim, keepdim=True)

    x, residual = (torch.zeros_like(y), y) if start is None else (start, y - apply(start))
    direction = preconditioned = precondition(residual)
    energy = dot(residual, preconditioned)
    threshold = max(tolerance, MIN_EPSILONS * torch.finfo(y.dtype).eps) ** 2 * dot(residual, residual)
    for _ in range(steps):
        unsolved = dot(residual, residual) > threshold
        if not unsolved.any():
            break
        mapped = apply(direction)
        step = (energy if stop_together else unsolved * energy) / dot(direction, mapped).clamp(min=1e-30)
        x, residual = x + step * direction, residual - step * mapped
        preconditioned = precondition(residual)
        previous, energy = energy, dot(residual, preconditioned)
        direction = preconditioned + energy / previous.clamp(min=1e-30) * direction
    return x
