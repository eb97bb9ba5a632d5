"""Identities that every linear operator keeps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from restorekit.core.operators import LinearOperator
from restorekit.testing.checks import Check, require, require_close, run_all

# Relative to the size of what is compared, in float64.
EXACT, NEARLY = 1e-6, 1e-3
DAMPINGS = (0.01, 2.0)


def check_operator(operator: LinearOperator, shape: Sequence[int]) -> None:
    """<A x, y> = <x, A^T y>, A A^+ A = A, A^+ A A^+ = A^+, (A A^T + d) solve(y, d) = y, and A is linear.

    shape: of an image batch (N, C, H, W) that the operator takes.
    """
    run_all(operator_checks(operator, shape))


def operator_checks(operator: LinearOperator, shape: Sequence[int]) -> list[Check]:
    """The checks of `check_operator`, one by one."""
    where = f"operator {type(operator).__name__}"
    require(isinstance(operator, LinearOperator), f"{where}: allowed: forward, adjoint, pinv and solve")
    draw = torch.Generator().manual_seed(1)

    def random(size: Sequence[int]) -> Tensor:
        return torch.randn(tuple(size), generator=draw, dtype=torch.float64)

    x = random(shape)
    y = random(operator.forward(x).shape)

    def linear() -> None:
        other = random(shape)
        found, wanted = operator.forward(2 * x + 3 * other), 2 * operator.forward(x) + 3 * operator.forward(other)
        _alike(found, wanted, f"{where}: A (2 u + 3 v) beside 2 A u + 3 A v", EXACT)

    def adjoint() -> None:
        back = operator.adjoint(y)
        require(back.shape == x.shape, f"{where}: A^T y has shape {tuple(back.shape)}, allowed: {tuple(x.shape)}")
        found, wanted = float((x * back).sum()), float((operator.forward(x) * y).sum())
        scale = float(operator.forward(x).norm() * y.norm())
        require(
            abs(found - wanted) <= EXACT * max(scale, 1), f"{where}: <x, A^T y> = {found:.6g}, <A x, y> = {wanted:.6g}"
        )

    def pseudo_inverse() -> None:
        ax, back = operator.forward(x), operator.pinv(y)
        _alike(operator.forward(operator.pinv(ax)), ax, f"{where}: A A^+ A x beside A x", NEARLY)
        _alike(operator.pinv(operator.forward(back)), back, f"{where}: A^+ A A^+ y beside A^+ y", NEARLY)

    def damped() -> None:
        for damping in DAMPINGS:
            solved = operator.solve(y, damping)
            again = operator.forward(operator.adjoint(solved)) + damping * solved
            _alike(again, y, f"{where}: (A A^T + d) solve(y, d) beside y, d = {damping}", NEARLY)

    return [
        Check("A is linear", linear),
        Check("adjoint is A^T", adjoint),
        Check("pinv is A^+", pseudo_inverse),
        Check("solve inverts A A^T + d", damped),
    ]


def _alike(found: Tensor, wanted: Tensor, text: str, share: float) -> None:
    require_close(found, wanted, text, atol=share * max(1.0, float(wanted.abs().max())))
