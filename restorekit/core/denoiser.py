"""The one abstraction that carries restorekit: a prior is a denoiser."""

from __future__ import annotations

from typing import Protocol, cast, runtime_checkable

import torch
from torch import Tensor


@runtime_checkable
class Denoiser(Protocol):
    """The least-squares denoiser D(x, sigma, label) = E[x0 | x] for x = x0 + sigma * n, n ~ N(0, I).

    Clean images live in [-1, 1] and sigma is in the same unit: one 8-bit grey level is 2 / 255.

    Attributes:
        channels: number of image channels.
        size: side of the square windows it was trained on; None when any size is natural to it.
        sigma_min, sigma_max: range of sigma that it was trained for.
        levels: the only sigmas that it knows, decreasing; None means any between the two.
        classes: names of its classes, in the order of the labels; None when it has none.
        partial_noise: True when sigma may also be a map (N, 1, H, W), equal to one value per image or to 0, where
            the pixel is clean: E[x0 | clean pixels, noisy pixels], which is what sampling a hole asks.
        fills: True when the one value of such a map may be inf: of these pixels nothing is known, x is a guess
            (`smooth_fill`), and D = E[x0 | clean pixels].
    """

    channels: int
    size: int | None
    sigma_min: float
    sigma_max: float
    levels: Tensor | None
    classes: tuple[str, ...] | None
    partial_noise: bool
    fills: bool

    def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        """x (N, C, H, W) float32, sigma (N,) in the unit of x (or a map, see `partial_noise`), label (N,) int64;
        returns like x."""
        ...


def per_image(value: Tensor, x: Tensor) -> Tensor:
    """Reshape one value per image, (N,), so that it multiplies images x (N, C, H, W), in the dtype of x.

    A map, (N, 1, H, W), is as it should be.
    """
    return value.to(x.dtype).reshape(-1, *([1] * (x.ndim - 1))) if value.ndim == 1 else value.to(x.dtype)


def denoise_at(prior: Denoiser, x: Tensor, sigma: float | Tensor) -> Tensor:
    """D(x, sigma) with one sigma for the whole batch."""
    level = torch.as_tensor(sigma, dtype=torch.float64, device="cpu").to(x.device, torch.float32)
    return prior(x, level.expand(x.shape[0]))


@runtime_checkable
class VarianceDenoiser(Protocol):
    """A denoiser that may have learned the variance of a reverse step as well (Nichol and Dhariwal 2021).

    Attributes:
        learned_variance: True when it has.
    """

    learned_variance: bool

    def with_variance(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """D(x, sigma, label), and the fraction v in about [-1, 1] between the bounds of the log-variance, or None."""
        ...


def learned_variance(prior: Denoiser) -> bool:
    """True when the prior has learned the variance of a reverse step."""
    return bool(getattr(prior, "learned_variance", False))


def denoised_with_variance(
    prior: Denoiser, x: Tensor, sigma: Tensor, label: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """D(x, sigma, label), with the fraction of the variance from a prior that knows it, None from others."""
    if learned_variance(prior):
        return cast(VarianceDenoiser, prior).with_variance(x, sigma, label)
    return prior(x, sigma, label), None
