"""The type of a check, and the assertions that checks share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor

# Tolerance for two results that must be equal, in the unit of images in [-1, 1]. It allows for the rounding errors of
# float32, which accumulate in networks and over steps.
CLOSE = 1e-3


class Check(NamedTuple):
    """One check.

    Attributes:
        name: the property that is checked, in a few words.
        run: raises AssertionError with one line if the property does not hold.
    """

    name: str
    run: Callable[[], None]


def run_all(checks: Iterable[Check]) -> None:
    """Run checks in order, up to the first failure."""
    for check in checks:
        check.run()


def require(condition: bool, text: str) -> None:
    """Raise AssertionError with the text unless the condition holds, also with `python -O`."""
    if not condition:
        raise AssertionError(text)


def require_finite(x: Tensor, where: str) -> None:
    """Require that all values of x are finite."""
    count = int((~torch.isfinite(x)).sum())
    require(count == 0, f"{where}: {count} of {x.numel()} values are not finite; allowed: none")


def require_close(found: Tensor, expected: Tensor, text: str, atol: float = CLOSE) -> None:
    """Require that two results are equal up to rounding errors."""
    require(found.shape == expected.shape, f"{text}: shapes {tuple(found.shape)} and {tuple(expected.shape)} differ")
    difference = float((found - expected).abs().max()) if found.numel() else 0.0
    require(difference <= atol, f"{text}: difference {difference:.2g}, allowed: {atol:g}")
