"""The central abstraction: a prior is a denoiser."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any, Protocol, TypeAlias, cast, runtime_checkable

import torch
from torch import Tensor

from restorekit.errors import OptionError, shortened

# One 8-bit grey level, in the unit of images in [-1, 1].
GREY_LEVEL = 2 / 255

# D(x, sigma, label), and the interpolation weight of a learned variance, or None.
Estimate: TypeAlias = tuple[Tensor, Tensor | None]


@dataclass(frozen=True)
class PriorInfo:
    """The facts about a prior.

    Attributes:
        channels: number of image channels.
        size: side of the square windows that the prior was trained on; None if it accepts any size.
        sigma_min, sigma_max: range of sigma that the prior was trained for, in the unit of images in [-1, 1].
        levels: the only sigmas that the prior accepts, decreasing; None if it accepts any sigma in the range.
        classes: class names, in the order of the labels; None for an unconditional prior.
        no_label: the label that means "no class", for a prior that was also trained without labels.
        learned_variance: True if the prior has learned the variance of a reverse step (`with_variance`).
        partial_noise: True if sigma may also be a map (N, 1, H, W) whose values are either 0 (clean pixels) or one
            nonzero value per image: the prior then estimates E[x0 | clean pixels, noisy pixels].
        supports_holes: True if the nonzero value of such a map may be inf: these pixels are unknown, x contains an
            initial estimate of them (`smooth_fill`), and D = E[x0 | clean pixels].
        blind: True if D does not depend on sigma: the prior was trained on degradations of unknown kind and strength,
            D(y) = E[x0 | y], and is not a Gaussian denoiser.
        logits: True if x, D and the noise are logits of images (`restorekit.core.logits`) and sigma is in their unit:
            the prior can be sampled, but not restore images.
    """

    channels: int
    size: int | None
    sigma_min: float
    sigma_max: float
    levels: tuple[float, ...] | None = None
    classes: tuple[str, ...] | None = None
    no_label: int | None = None
    learned_variance: bool = False
    partial_noise: bool = False
    supports_holes: bool = False
    blind: bool = False
    logits: bool = False

    def __post_init__(self) -> None:
        self._check_types()
        if self.channels < 1:
            raise ValueError(f"PriorInfo: channels is {self.channels}, allowed: 1 or more")
        if not 0 < self.sigma_min <= self.sigma_max:
            found = f"sigma_min {self.sigma_min}, sigma_max {self.sigma_max}"
            raise ValueError(f"PriorInfo: found {found}; allowed: 0 < sigma_min <= sigma_max")
        levels = self.levels or ()
        decreasing = bool(levels) and levels[-1] > 0 and all(a > b for a, b in itertools.pairwise(levels))
        if self.levels is not None and not decreasing:
            raise ValueError(f"PriorInfo: levels is {self.levels}, allowed: positive numbers, decreasing, or None")
        if self.supports_holes and not self.partial_noise:
            raise ValueError("PriorInfo: supports_holes is true, but partial_noise is false; allowed: true")

    def _check_types(self) -> None:
        """Raise TypeError if a field has another type than it declares."""
        numbers = isinstance(self.levels, tuple) and all(map(_is_number, self.levels))
        words = isinstance(self.classes, tuple) and all(isinstance(name, str) for name in self.classes)
        flags = ("learned_variance", "partial_noise", "supports_holes", "blind", "logits")
        for name, is_valid, allowed in (
            ("channels", _is_integer(self.channels), "an integer"),
            ("size", self.size is None or _is_integer(self.size), "an integer or None"),
            ("sigma_min", _is_number(self.sigma_min), "a number"),
            ("sigma_max", _is_number(self.sigma_max), "a number"),
            ("levels", self.levels is None or numbers, "a tuple of numbers or None"),
            ("classes", self.classes is None or words, "a tuple of strings or None"),
            ("no_label", self.no_label is None or _is_integer(self.no_label), "an integer or None"),
            *((flag, isinstance(getattr(self, flag), bool), "true or false") for flag in flags),
        ):
            if not is_valid:
                raise TypeError(f"PriorInfo: {name} is {shortened(repr(getattr(self, name)))}, allowed: {allowed}")


def _is_integer(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


@runtime_checkable
class Denoiser(Protocol):
    """The least-squares denoiser D(x, sigma, label) = E[x0 | x] for x = x0 + sigma * n, n ~ N(0, I).

    Clean images are in [-1, 1] and sigma is in the same unit: one 8-bit grey level is 2 / 255.

    Attributes:
        info: the facts about the prior.
    """

    info: PriorInfo

    def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        """Return D, like x.

        x: (N, C, H, W) float32. sigma: (N,) in the unit of x, or a map, see `PriorInfo.partial_noise`.
        label: (N,) int64, or None.
        """
        ...


class VarianceDenoiser(Denoiser, Protocol):
    """A denoiser that may have learned the variance of a reverse step (Nichol and Dhariwal 2021, arXiv 2102.09672)."""

    def with_variance(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Estimate:
        """Return D(x, sigma, label) and the interpolation weight v, like x, or None without a learned variance.

        v is in about [-1, 1]; it interpolates between the bounds of the log-variance (equation 15).
        """
        ...


class Wrapper:
    """Base class of denoisers that wrap another denoiser.

    Subclasses override `_evaluate`, from which both D and the learned variance follow.

    Arguments:
        inner: the wrapped denoiser.
        changes: fields of `PriorInfo` that differ from those of the inner denoiser.
    """

    def __init__(self, inner: Denoiser, **changes: Any) -> None:
        self.inner = inner
        self.info = replace(inner.info, **changes)

    def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        """Return D(x, sigma, label); see `Denoiser`. sigma may be one number for all images."""
        return self._evaluate(self._without_variance, x, batch_sigma(x, sigma), label)[0]

    def with_variance(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Estimate:
        """Return D and the interpolation weight of the variance; see `VarianceDenoiser`."""
        evaluate = functools.partial(denoise_with_variance, self.inner)
        return self._evaluate(evaluate, x, batch_sigma(x, sigma), label)

    def _without_variance(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Estimate:
        return self.inner(x, sigma, label), None

    def _evaluate(
        self, inner: Callable[[Tensor, Tensor, Tensor | None], Estimate], x: Tensor, sigma: Tensor, label: Tensor | None
    ) -> Estimate:
        """Return D and the interpolation weight, or None for the weight if `inner` returns None.

        inner: evaluates the inner denoiser; returns its D and its interpolation weight or None.
        """
        return inner(x, sigma, label)


def per_image(value: Tensor, x: Tensor) -> Tensor:
    """Reshape one value per image, (N,), so that it broadcasts with images x (N, C, H, W), in the dtype of x.

    A map (N, 1, H, W) is returned as it is.
    """
    return value.to(x.dtype).reshape(-1, *([1] * (x.ndim - 1))) if value.ndim == 1 else value.to(x.dtype)


def denoise_at(prior: Denoiser, x: Tensor, sigma: float | Tensor) -> Tensor:
    """Return D(x, sigma) with one sigma for the whole batch."""
    return prior(x, batch_sigma(x, sigma))


def denoise_at_with_variance(prior: Denoiser, x: Tensor, sigma: float | Tensor) -> Estimate:
    """Return D(x, sigma) and the interpolation weight of the variance, with one sigma for the whole batch."""
    return denoise_with_variance(prior, x, batch_sigma(x, sigma))


def denoise_with_variance(prior: Denoiser, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Estimate:
    """Return D(x, sigma, label) and the interpolation weight of the variance; None from a prior without one."""
    if prior.info.learned_variance:
        return cast(VarianceDenoiser, prior).with_variance(x, sigma, label)
    return prior(x, sigma, label), None


def batch_sigma(x: Tensor, sigma: float | Tensor) -> Tensor:
    """Return sigma as (N,) float32 on the device of x (N, C, H, W) if it is one number; otherwise as it is.

    Raises OptionError if it is neither a tensor nor a number, or a negative number.
    """
    if isinstance(sigma, Tensor) and sigma.ndim > 0:
        return sigma
    if not isinstance(sigma, Tensor) and not (_is_number(sigma) and sigma >= 0):
        raise OptionError(f"sigma: found {shortened(repr(sigma))}, allowed: a number >= 0, or a tensor (N,)")
    value = torch.as_tensor(sigma, dtype=torch.float64, device="cpu").to(x.device, torch.float32)
    return value.expand(x.shape[0])
