"""A function as a prior."""

from __future__ import annotations

import inspect
from collections.abc import Callable

from torch import Tensor, nn

from restorekit.core.denoiser import PriorInfo, batch_sigma
from restorekit.errors import ModelError


class FunctionPrior(nn.Module):
    """The prior of `prior_from`; a function that is a module is a part of it, and is moved with it.

    Attributes:
        info: the facts about the prior.
    """

    def __init__(self, function: Callable[..., Tensor], info: PriorInfo) -> None:
        super().__init__()
        self.function, self.info = function, info

    def forward(self, x: Tensor, sigma: Tensor | float, label: Tensor | None = None) -> Tensor:
        """Return D(x, sigma, label) in the dtype of x; see `Denoiser`."""
        arguments = (x, batch_sigma(x, sigma)) if self.info.classes is None else (x, batch_sigma(x, sigma), label)
        result = self.function(*arguments)
        if not isinstance(result, Tensor) or result.shape != x.shape or not result.is_floating_point():
            found = f"{tuple(result.shape)} {result.dtype}" if isinstance(result, Tensor) else type(result).__name__
            raise ModelError(f"prior_from: the function returned {found}, allowed: a tensor {tuple(x.shape)} of floats")
        return result.to(x.dtype)


def prior_from(function: Callable[..., Tensor], info: PriorInfo) -> FunctionPrior:
    """Return a function as a prior, which every recipe, sampler and solver accepts.

    Arguments:
        function: (x, sigma) -> D(x, sigma) = E[x0 | x] for x = x0 + sigma n, like x: x (N, C, H, W) float32 with clean
            images in [-1, 1], sigma (N,) in the same unit. With `info.classes`, (x, sigma, label). It may be a module.
            A result of another floating type is converted to that of x.
        info: the facts about it, such as `PriorInfo(channels=3, size=None, sigma_min=0.01, sigma_max=1.0)`.

    Raises ModelError if the function is not callable with these arguments, and in use if it returns another shape.
    """
    if isinstance(function, type):
        found = f"the class {function.__name__}"
        raise ModelError(f"prior_from: found {found}, allowed: an instance of it, {function.__name__}(...)")
    if not callable(function) or not isinstance(info, PriorInfo):
        found = f"{type(function).__name__}, {type(info).__name__}"
        raise ModelError(f"prior_from: found {found}, allowed: a function (x, sigma) and a PriorInfo")
    names = ("x", "sigma") if info.classes is None else ("x", "sigma", "label")
    if not _accepts(function, len(names)):
        arguments = ", ".join(names)
        hint = f"for a network without sigma: lambda {arguments}: net(x)"
        raise ModelError(f"prior_from: the function must accept ({arguments}); {hint}")
    return FunctionPrior(function, info)


def _accepts(function: Callable[..., Tensor], count: int) -> bool:
    """Return False if a function, or the `forward` of a module, cannot be called with `count` positional arguments."""
    try:
        signature = inspect.signature(function.forward if isinstance(function, nn.Module) else function)
    except (TypeError, ValueError):  # a function without a signature, such as some of C
        return True
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True
