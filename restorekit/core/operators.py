"""Linear operators A of inverse problems y = A x + noise. They are immutable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from restorekit.core.arguments import check_finite, check_operator, check_tensor
from restorekit.core.linear_operator import IterativeOperator
from restorekit.core.svd import SVD, padded
from restorekit.errors import OptionError, shortened


@runtime_checkable
class LinearOperator(Protocol):
    """A, its adjoint and its pseudo-inverse, for batches of images (N, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """A x."""
        ...

    def adjoint(self, y: Tensor) -> Tensor:
        """A^T y, such that <A x, y> = <x, A^T y>."""
        ...

    def pinv(self, y: Tensor) -> Tensor:
        """A^+ y, such that A A^+ A = A."""
        ...

    def solve(self, y: Tensor, damping: float) -> Tensor:
        """(A A^T + damping I)^-1 y, damping > 0: the core of every solver for noisy measurements, because
        argmin |A x - y|^2 + damping |x - z|^2 = z + A^T (A A^T + damping I)^-1 (y - A z)."""
        ...


@runtime_checkable
class SVDOperator(LinearOperator, Protocol):
    """A linear operator whose singular value decomposition has a closed form."""

    def svd(self, x: Tensor) -> SVD | None:
        """The decomposition for images of the shape, dtype and device of x (N, C, H, W); None if there is no closed
        form with these settings of the operator."""
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

    def svd(self, x: Tensor) -> SVD:
        """All singular values are 1, in the pixel basis."""
        return SVD(x.new_ones(1, 1, 1, 1), _same, _same, _same)


@dataclass(frozen=True, eq=False)
class Masking:
    """A x = known * x: inpainting.

    Arguments:
        known: (N or 1, 1, H, W), True (or 1) where the pixel is known.

    Raises OptionError if `known` has another number of dimensions or other values.
    """

    known: Tensor

    def __post_init__(self) -> None:
        allowed = "(N or 1, 1, H, W), True or 1 where the pixel is known"
        check_tensor(self.known, "Masking", f"a tensor {allowed}")
        if self.known.ndim != 4:
            hint = "; known[None, None] adds dimensions" if self.known.ndim == 2 else ""
            raise OptionError(f"Masking: found a tensor {tuple(self.known.shape)}, allowed: {allowed}{hint}")
        if self.known.dtype != torch.bool and not ((self.known == 0) | (self.known == 1)).all():
            low, high = self.known.min().item(), self.known.max().item()
            raise OptionError(f"Masking: found values from {low:.4g} to {high:.4g}, allowed: only 0 and 1, or bool")

    def forward(self, x: Tensor) -> Tensor:
        """x for known pixels, 0 elsewhere."""
        return x * self.known.to(x)

    def adjoint(self, y: Tensor) -> Tensor:
        """The same as `forward`: a projection is its own adjoint."""
        return self.forward(y)

    def pinv(self, y: Tensor) -> Tensor:
        """The same as `forward`: a projection is its own pseudo-inverse."""
        return self.forward(y)

    def solve(self, y: Tensor, damping: float) -> Tensor:
        """y / (1 + damping) for known pixels, y / damping elsewhere."""
        known = self.known.to(y)
        return y / (known + damping)

    def svd(self, x: Tensor) -> SVD:
        """1 for known pixels, 0 for the others, in the pixel basis."""
        return SVD(self.known.to(x), _same, _same, self.forward)


@dataclass(frozen=True, eq=False)
class ColourMatrix:
    """A x = M x, applied to the channels of every pixel.

    Arguments:
        matrix: (K, C), of rank K.

    Raises OptionError if it is not a matrix, and in use if the images do not have C channels.
    """

    matrix: Tensor

    def __post_init__(self) -> None:
        check_tensor(self.matrix, "ColourMatrix", "a tensor (K, C)")
        if self.matrix.ndim != 2 or not self.matrix.numel():
            raise OptionError(f"ColourMatrix: found a tensor {tuple(self.matrix.shape)}, allowed: (K, C)")
        check_finite(self.matrix, "ColourMatrix")

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

    def svd(self, x: Tensor) -> SVD:
        """The decomposition of M, applied to every pixel."""
        u, values, v_transposed = torch.linalg.svd(self.matrix.double())
        inputs, rank = len(v_transposed), len(values)
        return SVD(
            padded(values, inputs, -1).to(x)[:, None, None],
            lambda image: _mix(v_transposed, image),
            lambda coefficients: _mix(v_transposed.T, coefficients),
            lambda y: padded(_mix(u.T[:rank], y), inputs, -3),
        )


def _same(x: Tensor) -> Tensor:
    return x


def _mix(matrix: Tensor, x: Tensor) -> Tensor:
    if x.ndim != 4 or x.shape[1] != matrix.shape[1]:
        raise OptionError(f"ColourMatrix: found {tuple(x.shape)}, allowed: (N, {matrix.shape[1]}, H, W)")
    return torch.einsum("kc,nchw->nkhw", matrix.to(x), x)


def grayscale() -> ColourMatrix:
    """Conversion to grey by the luma of ITU-R BT.601, like Pillow's mode "L" and most cameras."""
    return ColourMatrix(torch.tensor([[0.299, 0.587, 0.114]], dtype=torch.float64))


@dataclass(frozen=True)
class Mosaic:
    """Bayer sensor, which measures one colour per pixel: (N, 3, H, W) -> (N, 1, H, W).

    Arguments:
        pattern: colours of the upper left 2 x 2 pixels, row by row.
    """

    pattern: str = "RGGB"

    def __post_init__(self) -> None:
        if not isinstance(self.pattern, str) or len(self.pattern) != 4 or set(self.pattern) != set("RGB"):
            found = shortened(repr(self.pattern))
            raise OptionError(f"Mosaic: pattern {found}, allowed: four letters of R, G and B, such as 'RGGB'")

    def pattern_mask(self, x: Tensor) -> Tensor:
        """Return where each colour is measured in images (N, C, H, W), any C: (3, H, W) like x, 1 or 0."""
        height, width = x.shape[-2:]
        index = torch.tensor(["RGB".index(colour) for colour in self.pattern], device=x.device).reshape(2, 2)
        tiled = index.repeat((height + 1) // 2, (width + 1) // 2)[:height, :width]
        return torch.stack([tiled == colour for colour in range(3)]).to(x)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 1, H, W)."""
        return (x * self.pattern_mask(x)).sum(1, keepdim=True)

    def adjoint(self, y: Tensor) -> Tensor:
        """(N, 1, H, W) -> (N, 3, H, W), 0 for the colours that are not measured."""
        return y * self.pattern_mask(y)

    def pinv(self, y: Tensor) -> Tensor:
        """The same as `adjoint`, because A A^T = I."""
        return self.adjoint(y)

    def solve(self, y: Tensor, damping: float) -> Tensor:
        """y / (1 + damping)."""
        return y / (1 + damping)

    def svd(self, x: Tensor) -> SVD:
        """1 for the measured colour of a pixel, 0 for the two others, in the pixel basis."""
        return SVD(self.pattern_mask(x), _same, _same, self.adjoint)


@dataclass(frozen=True)
class Composition(IterativeOperator):
    """A x = outer(inner(x)).

    Raises OptionError if one of them is not an operator.
    """

    outer: LinearOperator
    inner: LinearOperator

    def __post_init__(self) -> None:
        check_operator(self.outer, "Composition: outer")
        check_operator(self.inner, "Composition: inner")

    def forward(self, x: Tensor) -> Tensor:
        """outer(inner(x))."""
        return self.outer.forward(self.inner.forward(x))

    def adjoint(self, y: Tensor) -> Tensor:
        """inner^T(outer^T(y))."""
        return self.inner.adjoint(self.outer.adjoint(y))
