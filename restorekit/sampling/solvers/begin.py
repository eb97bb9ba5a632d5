"""How every solver begins: what it is given is checked, its ladder made, its first state drawn."""

from __future__ import annotations

import math

from torch import Tensor

from restorekit.core.denoiser import Denoiser
from restorekit.core.ladders import ladder_for
from restorekit.core.operators import LinearOperator
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
    first = blank(prior, operator, y, sigma_y) if start is None else checked(prior, operator, y, sigma_y, start)
    chosen = ladder_for(prior, steps, sigma_max=sigma_max) if ladder is None else ladder
    return first + float(chosen[0]) * noise.like(first), chosen


def blank(prior: Denoiser, operator: LinearOperator, y: Tensor, sigma_y: float) -> Tensor:
    """A grey image (N, C, H, W) of the shape that the operator measures."""
    return checked(prior, operator, y, sigma_y, operator.adjoint(y).mul(0))


def checked(prior: Denoiser, operator: LinearOperator, y: Tensor, sigma_y: float, image: Tensor) -> Tensor:
    """The image, where it, y, sigma_y and the prior go together; OptionError where they do not."""
    if not 0 <= sigma_y < math.inf:
        raise OptionError(f"sigma_y: found {sigma_y}, allowed: a finite number from 0")
    if image.shape[1] != prior.channels:
        kind = type(operator).__name__
        raise OptionError(f"{kind}: it measures images of {image.shape[1]} channels, the prior has {prior.channels}")
    seen = operator.forward(image).shape
    if seen != y.shape:
        raise OptionError(f"y: found {tuple(y.shape)}, allowed: {tuple(seen)}, what the operator makes of the image")
    return image


def without_noise(name: str, sigma_y: float) -> None:
    """OptionError where a solver for measurements without noise is given some."""
    if sigma_y != 0:
        others = _others("noise-free")
        raise OptionError(f"{name}: found sigma_y {sigma_y:g}, allowed: 0; for noisy measurements: {others}")


def without_svd(name: str, operator: LinearOperator) -> OptionError:
    """What to raise where the operator has no singular value decomposition in closed form."""
    kind = type(operator).__name__
    return OptionError(
        f"{name}: this {kind} has no singular value decomposition in closed form; without one: {_others('svd')}"
    )


def _others(need: str) -> str:
    """Names of the solvers that do without something."""
    from restorekit.sampling.solvers.table import SOLVERS

    return ", ".join(solver.name for solver in SOLVERS if need not in solver.needs)
