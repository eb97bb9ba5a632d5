"""Linear operators A of inverse problems y = A x + noise. They are values: no call changes its receiver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class LinearOperator(Protocol):
    """A, its adjoint, and its pseudo-inverse, on batches of images (N, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """A x."""
        ...

    def adjoint(self, y: Tensor) -> Tensor:
        """A^T y, with <A x, y> = <x, A^T y>."""
        ...

    def pinv(self, y: Tensor) -> Tensor:
        """A^+ y, with A A^+ A = A."""
        ...


@dataclass(frozen=True)
class Identity:
    """A x = x: denoising."""

    def forward(self, x: Tensor) -> Tensor:
        """x."""
        return x

    def adjoint(self, y: Tensor) -> Tensor:
        """y."""
        return y

    def pinv(self, y: Tensor) -> Tensor:
        """y."""
        return y


@dataclass(frozen=True, eq=False)
class Masking:
    """A x = known * x: inpainting.

    Arguments:
        known: (N or 1, 1, H, W), true (or 1) where the pixel is observed.
    """

    known: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """x where it is known, 0 elsewhere."""
        return x * self.known.to(x)

    def adjoint(self, y: Tensor) -> Tensor:
        """The same as `forward`: a projection is its own adjoint."""
        return self.forward(y)

    def pinv(self, y: Tensor) -> Tensor:
        """The same as `forward`: a projection is its own pseudo-inverse."""
        return self.forward(y)
