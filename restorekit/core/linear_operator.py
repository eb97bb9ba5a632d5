"""Linear operators from functions, with pseudo-inverse and damped inverse by conjugate gradients."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from restorekit.core.conjugate_gradients import conjugate_gradients
from restorekit.errors import OptionError

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
        """A x."""
        return self.function(x)

    def adjoint(self, y: Tensor) -> Tensor:
        """A^T y."""
        if self.transposed is not None:
            return self.transposed(y)
        assert self.shape is not None
        zeros = torch.zeros(len(y), *self.shape, dtype=y.dtype, device=y.device)
        product: Tensor = torch.func.vjp(self.function, zeros)[1](y)[0]
        return product


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
        forward: x (N, C, H, W) -> A x (N, ...), of torch operations, each image separately.
        adjoint: y (N, ...) -> A^T y (N, C, H, W).
        shape: (C, H, W) of x; required without `adjoint`. If it is given, linearity and adjoint are checked with
            random images.

    Raises OptionError if `forward` is not linear, `adjoint` is not its adjoint, or both `adjoint` and `shape` are
    missing.
    """
    if shape is None:
        if adjoint is None:
            raise OptionError("linear_operator: adjoint and shape are missing; allowed: adjoint, or shape=(C, H, W)")
        return FunctionOperator(forward, adjoint)
    if len(shape) != 3 or min(shape) < 1:
        raise OptionError(f"linear_operator: found shape {tuple(shape)}, allowed: (C, H, W)")
    channels, height, width = map(int, shape)
    operator = FunctionOperator(forward, adjoint, (channels, height, width))
    _check(operator, (1, channels, height, width))
    return operator


def _check(operator: FunctionOperator, shape: tuple[int, ...]) -> None:
    """Raise OptionError if the operator is not linear, or its adjoint is wrong, for random images of a shape."""
    generator = torch.Generator().manual_seed(0)
    u, v = (torch.randn(shape, generator=generator) for _ in range(2))
    au, av, both = operator.forward(u), operator.forward(v), operator.forward(2 * u + v)
    y = torch.randn(au.shape, generator=generator)
    back = operator.adjoint(y)
    if (both - (2 * au + av)).norm() > TOLERANCE * (2 * au.norm() + av.norm()):
        raise OptionError("linear_operator: forward is not linear: A (2 u + v) differs from 2 A u + A v")
    if back.shape != u.shape:
        raise OptionError(f"linear_operator: A^T y has the shape {tuple(back.shape)}, allowed: {tuple(u.shape)}")
    left, right = float((au * y).sum()), float((u * back).sum())
    if abs(left - right) > TOLERANCE * float(au.norm() * y.norm()):
        raise OptionError(f"linear_operator: adjoint is wrong: <A u, y> = {left:.4g}, but <u, A^T y> = {right:.4g}")
