"""Linear operators from functions, with pseudo-inverse and damped inverse by conjugate gradients."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from restorekit.core.conjugate_gradients import conjugate_gradients
from restorekit.errors import OptionError, RestorekitError, shortened

BY_AUTOGRAD = "the adjoint by autograd"
TORCH_ONLY = "forward must consist of torch operations, or pass adjoint="
# Largest relative error, in float32, of the identities that `linear_operator` checks.
TOLERANCE = 1e-3


class IterativeOperator(ABC):
    """Base class of operators that define `forward` and `adjoint` only; `pinv` and `solve` are iterative."""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """A x."""

    @abstractmethod
    def adjoint(self, y: Tensor) -> Tensor:
        """A^T y."""

    def pinv(self, y: Tensor) -> Tensor:
        """(A^T A)^+ A^T y, by conjugate gradients, which stay in the range of A^T: A need not have full rank."""
        return conjugate_gradients(lambda v: self.adjoint(self.forward(v)), self.adjoint(y))

    def solve(self, y: Tensor, damping: float) -> Tensor:
        """(A A^T + damping I)^-1 y, by conjugate gradients."""
        dim = tuple(range(1, y.ndim))
        return conjugate_gradients(lambda v: self.forward(self.adjoint(v)) + damping * v, y, dim=dim)


@dataclass(frozen=True, eq=False)
class FunctionOperator(IterativeOperator):
    """The operator of `linear_operator`.

    Attributes:
        function: x (N, C, H, W) -> A x (N, ...).
        transposed: y (N, ...) -> A^T y; None for the vector-Jacobian product of `function`.
        shape: (C, H, W) of x; None if `transposed` is given.
    """

    function: Callable[[Tensor], Tensor]
    transposed: Callable[[Tensor], Tensor] | None = None
    shape: tuple[int, int, int] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """A x; its gradient is the adjoint, also if `function` has none."""
        if self.transposed is not None and x.requires_grad and torch.is_grad_enabled():
            result: Tensor = _Differentiable.apply(x, self)
            return result
        return _result("forward", self.function, x)

    def adjoint(self, y: Tensor) -> Tensor:
        """A^T y."""
        if self.transposed is not None:
            return _result("adjoint", self.transposed, y)
        assert self.shape is not None
        zeros = torch.zeros(len(y), *self.shape, dtype=y.dtype, device=y.device)
        product: Tensor = torch.func.vjp(self.forward, zeros)[1](y)[0]
        return product


class _Differentiable(torch.autograd.Function):
    """A x, whose vector-Jacobian product is the adjoint."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, operator: FunctionOperator) -> Tensor:
        ctx.operator = operator
        return operator.forward(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None]:
        return ctx.operator.adjoint(*gradients), None


def _result(name: str, function: Callable[[Tensor], Any], x: Tensor) -> Tensor:
    """Return the function of a copy of x, which it may modify, in the dtype of x.

    Raises OptionError if the result is not a tensor (N, ...) of floats.
    """
    result = function(x.clone())
    if not isinstance(result, Tensor):
        found = type(result).__name__
    elif result.is_complex():
        raise OptionError(f"linear_operator: {name} returned complex numbers, allowed: torch.view_as_real(result)")
    elif not result.is_floating_point():
        found = f"a tensor of {result.dtype}"
    elif result.ndim < 2 or len(result) != len(x):
        found = f"a tensor {tuple(result.shape)}"
    else:
        return result.to(x.dtype)
    allowed = f"a tensor (N, ...) of floats, at least 2-D, N = {len(x)}"
    raise OptionError(f"linear_operator: {name} returned {found}, allowed: {allowed}")


def linear_operator(
    forward: Callable[[Tensor], Tensor],
    adjoint: Callable[[Tensor], Tensor] | None = None,
    *,
    shape: Sequence[int] | None = None,
) -> FunctionOperator:
    """Return the linear operator A of two functions, or of `forward` alone, which every solver accepts.

    Without `adjoint`, A^T y is the vector-Jacobian product of `forward` by autograd. Pseudo-inverse and damped inverse
    are computed by conjugate gradients, which evaluate both functions up to 200 times per step of a solver.

    Arguments:
        forward: x (N, C, H, W) -> A x (N, ...), each image separately. It receives a copy of x, which it may modify.
            Without `adjoint`, it must consist of torch operations.
        adjoint: y (N, ...) -> A^T y (N, C, H, W).
        shape: (C, H, W) of x; required without `adjoint`. If it is given, linearity, adjoint and independence of the
            images are checked with two random images on the CPU.

    Raises OptionError if `forward` is not linear or mixes images, `adjoint` is not its adjoint, or both `adjoint` and
    `shape` are missing.
    """
    for name, function in (("forward", forward), ("adjoint", forward if adjoint is None else adjoint)):
        if not callable(function):
            kind = type(function).__name__
            raise OptionError(f"linear_operator: {name}: found {kind}, allowed: a function of a tensor")
    if shape is None:
        if adjoint is None:
            raise OptionError("linear_operator: adjoint and shape are missing; allowed: adjoint, or shape=(C, H, W)")
        return FunctionOperator(forward, adjoint)
    if not isinstance(shape, Sequence) or len(shape) != 3 or not all(isinstance(n, Integral) and n > 0 for n in shape):
        found = tuple(shape) if isinstance(shape, Sequence) else shape
        raise OptionError(f"linear_operator: found shape {shortened(repr(found))}, allowed: (C, H, W)")
    channels, height, width = map(int, shape)
    operator = FunctionOperator(forward, adjoint, (channels, height, width))
    _check(operator, (1, channels, height, width))
    return operator


def _check(operator: FunctionOperator, shape: tuple[int, ...]) -> None:
    """Raise OptionError if the operator is not linear or mixes images, or its adjoint is wrong, for random images."""
    generator = torch.Generator().manual_seed(0)
    u, v = (torch.randn(shape, generator=generator) for _ in range(2))
    au, av, both, pair = (_called("forward", operator.forward, x) for x in (u, v, 2 * u + v, torch.cat([u, v])))
    y = torch.randn(au.shape, generator=generator)
    if (both - (2 * au + av)).norm() > TOLERANCE * (2 * au.norm() + av.norm()):
        raise OptionError("linear_operator: forward is not linear: A (2 u + v) differs from 2 A u + A v")
    apart = torch.cat([au, av])
    if pair.shape != apart.shape or (pair - apart).norm() > TOLERANCE * apart.norm():
        raise OptionError(
            "linear_operator: forward mixes the images of a batch: A x of two images differs from A x of each alone; "
            "allowed: operations on the dimensions after the first"
        )
    back = _called(BY_AUTOGRAD if operator.transposed is None else "adjoint", operator.adjoint, y)
    if back.shape != u.shape:
        raise OptionError(f"linear_operator: A^T y has the shape {tuple(back.shape)}, allowed: {tuple(u.shape)}")
    left, right = float((au * y).sum()), float((u * back).sum())
    if abs(left - right) > TOLERANCE * float(au.norm() * y.norm()):
        found = f"adjoint is wrong: <A u, y> = {left:.4g}, but <u, A^T y> = {right:.4g}"
        raise OptionError(f"linear_operator: {found}" + (f"; {TORCH_ONLY}" if operator.transposed is None else ""))


def _called(name: str, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return the result of a function of a caller; raise OptionError if it fails or is not finite."""
    try:
        result = function(x)
    except (RestorekitError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {shortened(str(error).partition('.')[0].partition(chr(10))[0])}"
        hint = f"; {TORCH_ONLY}" if name == BY_AUTOGRAD else ""
        raise OptionError(f"linear_operator: {name} failed for {tuple(x.shape)} ({reason}){hint}") from error
    if not result.isfinite().all():
        raise OptionError(f"linear_operator: {name} returned values that are not finite; allowed: finite numbers")
    return result
