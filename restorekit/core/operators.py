"""Linear operators A of inverse problems y = A x + noise. They are values: no call changes its receiver."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from restorekit.core.spectrum import Spectrum, padded

# Conjugate gradients of operators whose gram matrix has no closed inverse: most steps, and relative residual that is
# enough: this, or as many roundings of the dtype, below which what is left is no longer in the range of the map.
SOLVER_STEPS, ENOUGH, ROUNDINGS = 200, 1e-7, 16


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

    def solve(self, y: Tensor, damping: float) -> Tensor:
        """(A A^T + damping I)^-1 y, damping > 0: what noisy measurements ask of every solver, since
        argmin |A x - y|^2 + damping |x - z|^2 = z + A^T (A A^T + damping I)^-1 (y - A z)."""
        ...


@runtime_checkable
class SpectralOperator(LinearOperator, Protocol):
    """A linear operator whose singular value decomposition has a closed form."""

    def svd(self, x: Tensor) -> Spectrum | None:
        """The decomposition for images of the shape, dtype and device of x (N, C, H, W); None where these settings of
        the operator leave it without one."""
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

    def solve(self, y: Tensor, damping: float) -> Tensor:
        """y / (1 + damping)."""
        return y / (1 + damping)

    def svd(self, x: Tensor) -> Spectrum:
        """All singular values are 1, the basis is that of the pixels."""
        return Spectrum(x.new_ones(1, 1, 1, 1), _same, _same, _same)


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

    def solve(self, y: Tensor, damping: float) -> Tensor:
        """y / (1 + damping) where it is known, y / damping elsewhere."""
        known = self.known.to(y)
        return y / (known + damping)

    def svd(self, x: Tensor) -> Spectrum:
        """1 for known pixels, 0 for the others, in the basis of the pixels."""
        return Spectrum(self.known.to(x), _same, _same, self.forward)


@dataclass(frozen=True, eq=False)
class ColourMatrix:
    """A x = M x for the channels of every pixel.

    Arguments:
        matrix: (K, C), of rank K.
    """

    matrix: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, K, H, W)."""
        return _mix(self.matrix, x)

    def adjoint(self, y: Tensor) -> Tensor:
        """(N, K, H, W) -> (N, C, H, W)."""
        return _mix(self.matrix.T, y)

    def pinv(self, y: Tensor) -> Tensor:
        """M^+ y."""
        return _mix(torch.linalg.pinv(self.matrix.double()), y)

    def solve(self, y: Tensor, damping: float) -> Tensor:
        """(M M^T + damping I)^-1 y."""
        gram = self.matrix.double() @ self.matrix.double().T
        return _mix(torch.linalg.inv(gram + damping * torch.eye(len(gram)).to(gram)), y)

    def svd(self, x: Tensor) -> Spectrum:
        """The decomposition of M, for every pixel."""
        u, values, v_transposed = torch.linalg.svd(self.matrix.double())
        inputs, rank = len(v_transposed), len(values)
        return Spectrum(
            padded(values, inputs, -1).to(x)[:, None, None],
            lambda image: _mix(v_transposed, image),
            lambda coefficients: _mix(v_transposed.T, coefficients),
            lambda y: padded(_mix(u.T[:rank], y), inputs, -3),
        )


def _same(x: Tensor) -> Tensor:
    return x


def _mix(matrix: Tensor, x: Tensor) -> Tensor:
    return torch.einsum("kc,nchw->nkhw", matrix.to(x), x)


def grayscale() -> ColourMatrix:
    """Colour to grey by the luma of ITU-R BT.601, which Pillow's "L" and most cameras use."""
    return ColourMatrix(torch.tensor([[0.299, 0.587, 0.114]], dtype=torch.float64))


@dataclass(frozen=True)
class Mosaic:
    """A x = the one colour of every pixel that a Bayer sensor sees: (N, 3, H, W) -> (N, 1, H, W).

    Arguments:
        pattern: the colours of the upper left 2 x 2 pixels, row by row.
    """

    pattern: str = "RGGB"

    def __post_init__(self) -> None:
        if len(self.pattern) != 4 or set(self.pattern) != set("RGB"):
            raise ValueError(f"Mosaic: pattern {self.pattern!r}, allowed: four letters of R, G and B, such as 'RGGB'")

    def _seen(self, x: Tensor) -> Tensor:
        """(3, H, W), 1 where a colour is seen."""
        height, width = x.shape[-2:]
        index = torch.tensor(["RGB".index(colour) for colour in self.pattern], device=x.device).reshape(2, 2)
        tiled = index.repeat((height + 1) // 2, (width + 1) // 2)[:height, :width]
        return torch.stack([tiled == colour for colour in range(3)]).to(x)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 1, H, W)."""
        return (x * self._seen(x)).sum(1, keepdim=True)

    def adjoint(self, y: Tensor) -> Tensor:
        """(N, 1, H, W) -> (N, 3, H, W), 0 for the colours that are not seen."""
        return y * self._seen(y)

    def pinv(self, y: Tensor) -> Tensor:
        """The same as `adjoint`: every pixel is seen once."""
        return self.adjoint(y)

    def solve(self, y: Tensor, damping: float) -> Tensor:
        """y / (1 + damping)."""
        return y / (1 + damping)

    def svd(self, x: Tensor) -> Spectrum:
        """1 for the colour that is seen, 0 for the two others, in the basis of the pixels."""
        return Spectrum(self._seen(x), _same, _same, self.adjoint)


@dataclass(frozen=True)
class Composition:
    """A x = outer(inner(x))."""

    outer: LinearOperator
    inner: LinearOperator

    def forward(self, x: Tensor) -> Tensor:
        """outer(inner(x))."""
        return self.outer.forward(self.inner.forward(x))

    def adjoint(self, y: Tensor) -> Tensor:
        """inner^T(outer^T(y))."""
        return self.inner.adjoint(self.outer.adjoint(y))

    def pinv(self, y: Tensor) -> Tensor:
        """(A^T A)^+ A^T y, by conjugate gradients, which stay in the range of A^T and so need no full rank."""
        return conjugate_gradients(lambda v: self.adjoint(self.forward(v)), self.adjoint(y))

    def solve(self, y: Tensor, damping: float) -> Tensor:
        """(A A^T + damping I)^-1 y, by conjugate gradients."""
        return conjugate_gradients(lambda v: self.forward(self.adjoint(v)) + damping * v, y)


def conjugate_gradients(
    apply: Callable[[Tensor], Tensor],
    y: Tensor,
    steps: int = SOLVER_STEPS,
    *,
    precondition: Callable[[Tensor], Tensor] = torch.clone,
    enough: float = ENOUGH,
) -> Tensor:
    """x with apply(x) = y for a symmetric, positive semi-definite map on images (N, C, H, W), each on its own: one that
    is solved stands still while others go on.

    y must be in the range of the map. precondition: a symmetric, positive definite map near the inverse of `apply`.
    enough: the share of y's length at which the length of what is left is small enough.
    """
    x, residual = torch.zeros_like(y), y.clone()
    direction = ahead = precondition(residual)
    energy, least = _dot(residual, ahead), max(enough, ROUNDINGS * torch.finfo(y.dtype).eps) ** 2 * _dot(y, y)
    for _ in range(steps):
        unsolved = _dot(residual, residual) > least
        if not unsolved.any():
            break
        ahead = apply(direction)
        step = unsolved * energy / _dot(direction, ahead).clamp(min=1e-30)
        x, residual = x + step * direction, residual - step * ahead
        near = precondition(residual)
        before, energy = energy, _dot(residual, near)
        direction = near + energy / before.clamp(min=1e-30) * direction
    return x


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner product of every image, (N, 1, 1, 1)."""
    return (a * b).sum((1, 2, 3), keepdim=True)
