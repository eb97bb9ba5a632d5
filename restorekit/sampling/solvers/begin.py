"""How every solver begins: what it is given is checked, its ladder made, its first state drawn."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from restorekit.core.denoiser import Denoiser
from restorekit.core.ladders import ladder_for
from restorekit.core.operators import LinearOperator, SpectralOperator
from restorekit.errors import OptionError
from restorekit.sampling.samplers import Noise


def begin(
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
    """The state (N, C, H, W) at the first level, and the ladder; arguments as in `restorekit.sampling.solvers`."""
    within("steps", steps, 1)
    first = blank(prior, operator, y, sigma_y) if start is None else checked(prior, operator, y, sigma_y, start)
    chosen = ladder_for(prior, steps, sigma_max=sigma_max) if ladder is None else ladder
    return first + float(chosen[0]) * noise.like(first), chosen


def blank(prior: Denoiser, operator: LinearOperator, y: Tensor, sigma_y: float) -> Tensor:
    """A grey image (N, C, H, W) of the shape that the operator measures."""
    return checked(prior, operator, y, sigma_y, _mapped(operator, operator.adjoint, "y", y).mul(0))


def checked(prior: Denoiser, operator: LinearOperator, y: Tensor, sigma_y: float, image: Tensor) -> Tensor:
    """The image, where it, y, sigma_y and the prior go together; OptionError where they do not."""
    if not 0 <= sigma_y < math.inf:
        raise OptionError(f"sigma_y: found {sigma_y}, allowed: a finite number from 0")
    if image.shape[1] != prior.channels:
        kind = type(operator).__name__
        raise OptionError(f"{kind}: it measures images of {image.shape[1]} channels, the prior has {prior.channels}")
    seen = _mapped(operator, operator.forward, "the image", image).shape
    if seen != y.shape:
        raise OptionError(f"y: found {tuple(y.shape)}, allowed: {tuple(seen)}, what the operator makes of the image")
    return image


def _mapped(operator: LinearOperator, through: Callable[[Tensor], Tensor], what: str, image: Tensor) -> Tensor:
    try:
        return through(image)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        found, reason = tuple(image.shape), str(error).partition("\n")[0]
        raise OptionError(
            f"{what}: found {found}, which this {type(operator).__name__} does not take: {reason}"
        ) from error


def within(name: str, value: float, low: float, high: float = math.inf) -> None:
    """OptionError where an option is not from low to high."""
    if not low <= value <= high:
        allowed = f"{low:g} to {high:g}" if high < math.inf else f"{low:g} or more"
        raise OptionError(f"{name}: found {value:g}, allowed: {allowed}")


def without_noise(name: str, operator: LinearOperator, sigma_y: float) -> None:
    """OptionError where a solver for measurements without noise is given some."""
    if sigma_y != 0:
        others = _others("noise-free", operator, sigma_y)
        raise OptionError(f"{name}: found sigma_y {sigma_y:g}, allowed: 0; for noisy measurements: {others}")


def without_svd(name: str, operator: LinearOperator, sigma_y: float) -> OptionError:
    """What to raise where the operator has no singular value decomposition in closed form."""
    kind, others = type(operator).__name__, _others("svd", operator, sigma_y)
    return OptionError(f"{name}: this {kind} has no singular value decomposition in closed form; without one: {others}")


def without_gradients(name: str, operator: LinearOperator, sigma_y: float) -> OptionError:
    """What to raise where the prior's answer has no gradient."""
    others = _others("gradients", operator, sigma_y)
    return OptionError(f"{name}: the answer of this prior has no gradient; without one: {others}")


def _others(need: str, operator: LinearOperator, sigma_y: float) -> str:
    """Names of the solvers that do without something, and fit the problem."""
    from restorekit.sampling.solvers.table import SOLVERS

    lacking = {need, *(["noise-free"] if sigma_y > 0 else [])}
    if not isinstance(operator, SpectralOperator):
        lacking.add("svd")
    return ", ".join(solver.name for solver in SOLVERS if not lacking.intersection(solver.needs))
