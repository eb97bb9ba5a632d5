"""Checks of linear operators: identities that hold for each of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from restorekit.checks.checks import Check, require, require_close, run_all
from restorekit.core.operators import LinearOperator

# Tolerances relative to the compared values, in float64: for exact and for iterative methods.
EXACT, APPROXIMATE = 1e-6, 1e-3
DAMPINGS = (0.01, 2.0)


def check_operator(operator: LinearOperator, shape: Sequence[int]) -> None:
    """Check that A is linear, <A x, y> = <x, A^T y>, A A^+ A = A, A^+ A A^+ = A^+, and (A A^T + d) solve(y, d) = y.

    shape: shape (N, C, H, W) of an image batch that the operator accepts.
    """
    run_all(operator_checks(operator, shape))


def operator_checks(operator: LinearOperator, shape: Sequence[int]) -> list[Check]:
    """Return the individual checks of `check_operator`."""
    where = f"operator {type(operator).__name__}"
    require(
        isinstance(operator, LinearOperator), f"{where}: not a LinearOperator; allowed: forward, adjoint, pinv, solve"
    )
    generator = torch.Generator().manual_seed(1)

    def random(size: Sequence[int]) -> Tensor:
        return torch.randn(tuple(size), generator=generator, dtype=torch.float64)

    x = random(shape)
    y = random(operator.forward(x).shape)

    def linear() -> None:
        other = random(shape)
        found, expected = operator.forward(2 * x + 3 * other), 2 * operator.forward(x) + 3 * operator.forward(other)
        _require_equal(found, expected, f"{where}: A (2 u + 3 v) and 2 A u + 3 A v", EXACT)

    def adjoint() -> None:
        back = operator.adjoint(y)
        require(back.shape == x.shape, f"{where}: A^T y has shape {tuple(back.shape)}, allowed: {tuple(x.shape)}")
        left, right = float((x * back).sum()), float((operator.forward(x) * y).sum())
        tolerance = EXACT * max(float(operator.forward(x).norm() * y.norm()), 1)
        require(abs(left - right) <= tolerance, f"{where}: <x, A^T y> = {left:.6g}, <A x, y> = {right:.6g}")

    def pseudo_inverse() -> None:
        ax, back = operator.forward(x), operator.pinv(y)
        _require_equal(operator.forward(operator.pinv(ax)), ax, f"{where}: A A^+ A x and A x", APPROXIMATE)
        _require_equal(operator.pinv(operator.forward(back)), back, f"{where}: A^+ A A^+ y and A^+ y", APPROXIMATE)

    def damped() -> None:
        for damping in DAMPINGS:
            solved = operator.solve(y, damping)
            product = operator.forward(operator.adjoint(solved)) + damping * solved
            _require_equal(product, y, f"{where}: (A A^T + d) solve(y, d) and y, d = {damping}", APPROXIMATE)

    return [
        Check("A is linear", linear),
        Check("adjoint is A^T", adjoint),
        Check("pinv is A^+", pseudo_inverse),
        Check("solve inverts A A^T + d", damped),
    ]


def _require_equal(found: Tensor, expected: Tensor, text: str, rtol: float) -> None:
    require_close(found, expected, text, atol=rtol * max(1.0, float(expected.abs().max())))
