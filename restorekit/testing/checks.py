"""What all checks are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor

# Largest difference of two results, in the unit of images in [-1, 1], that counts as none: float32's rounding through a
# network and some steps.
CLOSE = 1e-3


class Check(NamedTuple):
    """One thing that is looked at.

    Attributes:
        name: what holds when it passes, in a few words.
        run: raises AssertionError with one line otherwise.
    """

    name: str
    run: Callable[[], None]


def run_all(checks: Iterable[Check]) -> None:
    """Run checks in their order, up to the first that fails."""
    for check in checks:
        check.run()


def require(holds: bool, text: str) -> None:
    """AssertionError with the text unless it holds; `assert` would be left out by `python -O`."""
    if not holds:
        raise AssertionError(text)


def require_finite(x: Tensor, where: str) -> None:
    """Every value of x is a number."""
    count = int((~torch.isfinite(x)).sum())
    require(count == 0, f"{where}: {count} of {x.numel()} values are not finite; allowed: none")


def require_close(found: Tensor, wanted: Tensor, text: str, atol: float = CLOSE) -> None:
    """Two results are one, but for rounding."""
    require(found.shape == wanted.shape, f"{text}: shape {tuple(found.shape)} beside {tuple(wanted.shape)}")
    difference = float((found - wanted).abs().max()) if found.numel() else 0.0
    require(difference <= atol, f"{text}: they differ by {difference:.2g}, allowed: {atol:g}")
