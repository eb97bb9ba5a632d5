"""Singular value decompositions of operators, for solvers that treat every singular value separately."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

# Singular values below this fraction of the largest are treated as 0: in float32, such a coefficient of y is only
# rounding error.
MIN_FRACTION = 1e-4


@dataclass(frozen=True, eq=False)
class SVD:
    """A = U S V^T for images of one shape (N, C, H, W), all real. Coefficients have the layout of V^T x: (N, ...).

    Attributes:
        S: the singular values, broadcastable to V^T x; 0 on the null space of A.
        Vt: x -> V^T x, an orthogonal change of basis of the image space.
        V: c -> V c, its inverse.
        Ut: y -> U^T y, with the layout of V^T x, and 0 where S is 0, so that Ut(A x) = S * Vt(x).
    """

    S: Tensor
    Vt: Callable[[Tensor], Tensor]
    V: Callable[[Tensor], Tensor]
    Ut: Callable[[Tensor], Tensor]

    @property
    def observed(self) -> Tensor:
        """True where the singular value is large enough for the coefficient to be more than rounding error."""
        return self.S.gt(MIN_FRACTION * self.S.max())


def hartley(x: Tensor) -> Tensor:
    """The two-dimensional Hartley transform of (..., H, W): real, orthogonal, its own inverse.

    It is Re F - Im F of the unitary Fourier transform F, and diagonalizes every convolution with a symmetric kernel.
    """
    transformed = torch.fft.fft2(x, norm="ortho")
    real: Tensor = transformed.real - transformed.imag
    return real


def padded(x: Tensor, length: int, dim: int) -> Tensor:
    """Append zeros to x along `dim` (negative), up to `length` entries."""
    return F.pad(x, (0, 0) * (-dim - 1) + (0, length - x.shape[dim]))
