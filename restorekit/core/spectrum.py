"""Singular value decompositions of operators, as solvers that work on single singular values ask for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

# Singular values below this share of the largest are taken for 0: what float32 leaves of such a coefficient of y is
# rounding.
LEAST_SHARE = 1e-4


@dataclass(frozen=True, eq=False)
class Spectrum:
    """A = U S V^T for images of one shape (N, C, H, W), all real. Coefficients are laid out as V^T x: (N, ...).

    Attributes:
        values: the singular values, which broadcast with V^T x; 0 where A sees nothing.
        analyse: V^T x, an orthogonal change of basis of the whole image space.
        synthesise: V c, its inverse.
        measure: U^T y, laid out as V^T x and 0 where `values` is 0, so that measure(A x) = values * analyse(x).
    """

    values: Tensor
    analyse: Callable[[Tensor], Tensor]
    synthesise: Callable[[Tensor], Tensor]
    measure: Callable[[Tensor], Tensor]

    @property
    def seen(self) -> Tensor:
        """Where the singular value is no 0, and not so small that only rounding is left."""
        return self.values > LEAST_SHARE * self.values.max()


def hartley(x: Tensor) -> Tensor:
    """The two-dimensional Hartley transform of (..., H, W): real, orthogonal, its own inverse.

    It is Re F - Im F of the unitary Fourier transform F, and diagonalises every convolution with a symmetric kernel.
    """
    transformed = torch.fft.fft2(x, norm="ortho")
    real: Tensor = transformed.real - transformed.imag
    return real


def padded(x: Tensor, length: int, dim: int) -> Tensor:
    """x with zeros behind it, so that its side `dim` (negative) has `length` entries."""
    return F.pad(x, (0, 0) * (-dim - 1) + (0, length - x.shape[dim]))
