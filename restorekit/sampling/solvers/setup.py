"""Setup shared by all solvers: input checks, the noise ladder and the initial state."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from restorekit.core.denoiser import Denoiser
from restorekit.core.ladders import ladder_for
from restorekit.core.operators import LinearOperator, SVDOperator
from restorekit.core.solver import BUILT_IN_NEEDS, Need
from restorekit.errors import OptionError
from restorekit.sampling.samplers import Noise


def initial_state(
    prior: Denoiser,
    operator: LinearOperator,
    y: Tensor,
    sigma_y: float,
    noise: Noise,
    *,
    steps: int,
    start: Tensor | None = None,
    sigma_max: float | None = None,
    ladder: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the state (N, C, H, W) at the first level and the ladder; arguments: see `restorekit.sampling.solvers`."""
    check_range("steps", steps, 1)
    image = (
        zero_image(prior, operator, y, sigma_y) if start is None else check_shapes(prior, operator, y, sigma_y, start)
    )
    sigmas = ladder_for(prior, steps, sigma_max=sigma_max) if ladder is None else ladder
    return image + float(sigmas[0]) * noise.like(image), sigmas


def zero_image(prior: Denoiser, operator: LinearOperator, y: Tensor, sigma_y: float) -> Tensor:
    """Return an image (N, C, H, W) of zeros (mid-grey), of the input shape of the operator."""
    return check_shapes(prior, operator, y, sigma_y, _apply(operator, operator.adjoint, "y", y).mul(0))


def check_shapes(prior: Denoiser, operator: LinearOperator, y: Tensor, sigma_y: float, image: Tensor) -> Tensor:
    """Return the image if it is compatible with the prior, the operator, y and sigma_y; raise OptionError otherwise."""
    if not 0 <= sigma_y < math.inf:
        raise OptionError(f"sigma_y: found {sigma_y}, allowed: a finite number, 0 or more")
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
    if not low <= value <= high:
        allowed = f"{low:g} to {high:g}" if high < math.inf else f"{low:g} or more"
        raise OptionError(f"{name}: found {value:g}, allowed: {allowed}")


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
