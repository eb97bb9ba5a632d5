"""A function as a prior."""

from __future__ import annotations

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
        """Return D(x, sigma, label); see `Denoiser`."""
        arguments = (x, batch_sigma(x, sigma)) if self.info.classes is None else (x, batch_sigma(x, sigma), label)
        result = self.function(*arguments)
        if not isinstance(result, Tensor) or result.shape != x.shape:
            found = tuple(result.shape) if isinstance(result, Tensor) else type(result).__name__
            raise ModelError(f"prior_from: the function returned {found}, allowed: a tensor {tuple(x.shape)}")
        return result


def prior_from(function: Callable[..., Tensor], info: PriorInfo) -> FunctionPrior:
    """Return a function as a prior, which every recipe, sampler and solver accepts.

    Arguments:
        function: (x, sigma) -> D(x, sigma) = E[x0 | x] for x = x0 + sigma n, like x: x (N, C, H, W) float32 with clean
            images in [-1, 1], sigma (N,) in the same unit. With `info.classes`, (x, sigma, label). It may be a module.
        info: the facts about it, such as `PriorInfo(channels=3, size=None, sigma_min=0.01, sigma_max=1.0)`.

    Raises ModelError if the function is not callable, and in use if it returns another shape.
    """
    if not callable(function) or not isinstance(info, PriorInfo):
        found = f"{type(function).__name__}, {type(info).__name__}"
        raise ModelError(f"prior_from: found {found}, allowed: a function (x, sigma) and a PriorInfo")
    return FunctionPrior(function, info)
