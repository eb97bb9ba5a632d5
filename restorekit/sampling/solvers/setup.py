"""Setup shared by all solvers: input checks, the noise ladder and the initial state."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from restorekit.core.arguments import check_finite, check_operator, check_tensor, is_integer, is_number
from restorekit.core.denoiser import Denoiser
from restorekit.core.ladders import ladder_for
from restorekit.core.noise import ImageNoise
from restorekit.core.operators import LinearOperator, SVDOperator
from restorekit.core.solver import BUILT_IN_NEEDS, Need
from restorekit.errors import OptionError, RestorekitWarning, shortened
from restorekit.sampling.samplers import Noise

# Largest sigma_y without a warning: twice the range of images in [-1, 1].
LARGE_SIGMA_Y = 4.0


def check_problem(operator: LinearOperator, y: Tensor, sigma_y: float, noise: Noise) -> None:
    """Raise OptionError if the positional arguments of a solver have wrong types or values; warn of a large sigma_y."""
    check_operator(operator, "operator")
    check_tensor(y, "y", "a tensor (N, ...), the measurement")
    if not y.is_floating_point():
        hint = "; torch.view_as_real converts complex numbers" if y.is_complex() else ""
        hint = "; y / 127.5 - 1 converts an image of 0 to 255" if y.dtype == torch.uint8 else hint
        raise OptionError(f"y: found a tensor of {y.dtype}, allowed: floats{hint}")
    if y.ndim < 2:
        raise OptionError(f"y: found a tensor {tuple(y.shape)}, allowed: (N, ...), at least 2-D")
    check_finite(y, "y")
    if not is_number(sigma_y) or sigma_y < 0:
        found = type(sigma_y).__name__ if isinstance(sigma_y, Tensor) else shortened(repr(sigma_y))
        raise OptionError(f"sigma_y: found {found}, allowed: a finite number, 0 or more")
    if sigma_y > LARGE_SIGMA_Y:
        unit = "sigma_y is in the unit of y, where one grey level of an image in [-1, 1] is 2 / 255"
        warnings.warn(RestorekitWarning(f"sigma_y: found {sigma_y:g}; {unit}"), stacklevel=3)
    if isinstance(noise, type) or not callable(getattr(noise, "like", None)):
        found = type(noise).__name__
        raise OptionError(f"noise: found {found}, allowed: rk.ImageNoise(seeds), one seed for each image of y")
    if isinstance(noise, ImageNoise) and len(noise) != len(y):
        shape, hint = tuple(y.shape), "; y[None] adds N" if y.ndim == 3 else ""
        raise OptionError(f"noise: found {len(noise)} seeds, allowed: {len(y)}, one for each image of y {shape}{hint}")


def check_schedule(steps: int, sigma_max: float | None, ladder: Tensor | None) -> Tensor | None:
    """Return the ladder, which may be a list, as a tensor or None; raise OptionError if an argument is not allowed."""
    check_count("steps", steps)
    if sigma_max is not None and (not is_number(sigma_max) or sigma_max <= 0):
        raise OptionError(f"sigma_max: found {shortened(repr(sigma_max))}, allowed: a number above 0, or None")
    if ladder is None:
        return None
    allowed = "a tensor of two or more sigmas, decreasing, the last is 0"
    if isinstance(ladder, Sequence) and all(map(is_number, ladder)):
        ladder = torch.tensor(ladder, dtype=torch.float64)
    check_tensor(ladder, "ladder", allowed)
    values = ladder.tolist() if ladder.ndim == 1 else []
    if len(values) < 2 or values != sorted(values, reverse=True) or values[-1] < 0 or values[-2] <= 0:
        found = shortened(str(values)) if values else f"a tensor {tuple(ladder.shape)}"
        raise OptionError(f"ladder: found {found}, allowed: {allowed}")
    return ladder


def initial_state(
    prior: Denoiser,
    operator: LinearOperator,
    y: Tensor,
    noise: Noise,
    *,
    steps: int,
    start: Tensor | None = None,
    sigma_max: float | None = None,
    ladder: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the state (N, C, H, W) at the first level and the ladder; arguments: see `restorekit.sampling.solvers`."""
    ladder = check_schedule(steps, sigma_max, ladder)
    image = zero_image(prior, operator, y) if start is None else check_shapes(prior, operator, y, start)
    sigmas = ladder_for(prior, steps, sigma_max=sigma_max) if ladder is None else ladder
    return image + float(sigmas[0]) * noise.like(image), sigmas


def zero_image(prior: Denoiser, operator: LinearOperator, y: Tensor) -> Tensor:
    """Return an image (N, C, H, W) of zeros (mid-grey), of the input shape of the operator."""
    return check_shapes(prior, operator, y, _apply(operator, operator.adjoint, "y", y).mul(0))


def check_shapes(prior: Denoiser, operator: LinearOperator, y: Tensor, image: Tensor) -> Tensor:
    """Return the image if it is compatible with the prior, the operator and y; raise OptionError otherwise."""
    check_tensor(image, "start", "a tensor (N, C, H, W)")
    if image.ndim != 4:
        found, hint = tuple(image.shape), "; y[None] adds N" if y.ndim == 3 else ""
        raise OptionError(f"start or A^T y: found {found}, allowed: (N, C, H, W){hint}")
    if image.shape[1] != prior.info.channels:
        kind = type(operator).__name__
        raise OptionError(
            f"{kind}: found images of {image.shape[1]} channels, allowed: the prior's {prior.info.channels}"
        )
    shape = _apply(operator, operator.forward, "the image", image).shape
    if shape != y.shape:
        raise OptionError(f"y: found {tuple(y.shape)}, allowed: {tuple(shape)}, the shape of A x")
    return image


def _apply(operator: LinearOperator, method: Callable[[Tensor], Tensor], name: str, image: Tensor) -> Tensor:
    try:
        return method(image)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        found, reason = tuple(image.shape), str(error).partition("\n")[0]
        kind = type(operator).__name__
        raise OptionError(f"{name}: found {found}, which does not fit this {kind}: {reason}") from error


def check_range(name: str, value: float, low: float, high: float = math.inf) -> None:
    """Raise OptionError if the value of an option is not in [low, high]."""
    if not isinstance(value, Real) or not low <= value <= high:
        allowed = f"{low:g} to {high:g}" if high < math.inf else f"{low:g} or more"
        raise OptionError(f"{name}: found {shortened(repr(value))}, allowed: {allowed}")


def check_count(name: str, value: Any) -> None:
    """Raise OptionError if the value of an option is not an integer, 1 or more."""
    if not is_integer(value) or value < 1:
        raise OptionError(f"{name}: found {shortened(repr(value))}, allowed: an integer, 1 or more")


def check_methods(name: str, operator: LinearOperator, *methods: str) -> None:
    """Raise OptionError if an operator lacks methods that a solver needs."""
    missing = [method for method in methods if not callable(getattr(operator, method, None))]
    if missing:
        kind, helper = type(operator).__name__, "rk.linear_operator(forward, adjoint) or (forward, shape=(C, H, W))"
        raise OptionError(f"{name}: this {kind} has no {' and no '.join(missing)}; {helper} adds it to functions")


def check_noise_free(name: str, operator: LinearOperator, sigma_y: float) -> None:
    """Raise OptionError if a solver for noise-free measurements is given a noisy one."""
    if sigma_y != 0:
        others = _alternatives("noise-free", operator, sigma_y)
        raise OptionError(f"{name}: found sigma_y {sigma_y:g}, allowed: 0; for noisy measurements: {others}")


def no_svd_error(name: str, operator: LinearOperator, sigma_y: float) -> OptionError:
    """Return the error for an operator without a closed-form singular value decomposition."""
    kind, others = type(operator).__name__, _alternatives("svd", operator, sigma_y)
    return OptionError(f"{name}: this {kind} has no closed-form singular value decomposition; without one: {others}")


def no_gradient_error(name: str, operator: LinearOperator, sigma_y: float) -> OptionError:
    """Return the error for a prior that is not differentiable."""
    others = _alternatives("gradients", operator, sigma_y)
    return OptionError(f"{name}: the output of this prior has no gradient; without one: {others}")


def _alternatives(need: Need, operator: LinearOperator, sigma_y: float) -> str:
    """Return the names of the built-in solvers that do not have this need and can solve the problem."""
    excluded = {need, *(["noise-free"] if sigma_y > 0 else [])}
    if not isinstance(operator, SVDOperator):
        excluded.add("svd")
    return ", ".join(name for name, needs in BUILT_IN_NEEDS.items() if not excluded.intersection(needs))
