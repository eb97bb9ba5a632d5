"""Checks of the arguments of operators and solvers: tensors, numbers and operators."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

import numpy as np
from torch import Tensor

from restorekit.errors import OptionError


def check_tensor(value: Any, where: str, allowed: str) -> None:
    """Raise OptionError if a value is not a tensor."""
    if not isinstance(value, Tensor):
        hint = "; torch.from_numpy converts arrays" if isinstance(value, np.ndarray) else ""
        raise OptionError(f"{where}: found {type(value).__name__}, allowed: {allowed}{hint}")


def check_finite(value: Tensor, where: str) -> None:
    """Raise OptionError if a tensor contains NaN or infinity."""
    if not value.isfinite().all():
        raise OptionError(f"{where}: found values that are not finite, allowed: finite numbers")


def is_number(value: Any) -> bool:
    """Return whether a value is a finite real number; True and False are not."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def is_integer(value: Any) -> bool:
    """Return whether a value is an integer; True and False are not."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def check_operator(value: Any, where: str) -> None:
    """Raise OptionError if a value is not an operator: an object with the methods `forward` and `adjoint`."""
    allowed = "an operator, with forward and adjoint, such as rk.Blur(kernel)"
    if isinstance(value, type):
        raise OptionError(
            f"{where}: found the class {value.__name__}, allowed: an instance of it, {value.__name__}(...)"
        )
    if isinstance(value, Tensor) or not all(callable(getattr(value, name, None)) for name in ("forward", "adjoint")):
        hint = "; rk.linear_operator makes an operator of a function" if callable(value) else ""
        raise OptionError(f"{where}: found {type(value).__name__}, allowed: {allowed}{hint}")
