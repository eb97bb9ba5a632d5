"""Operators on neighbourhoods of pixels: blur and downsampling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from restorekit.core.arguments import check_finite, check_tensor, is_integer, is_number
from restorekit.core.conjugate_gradients import conjugate_gradients
from restorekit.core.svd import SVD, hartley, padded
from restorekit.errors import OptionError, shortened

Boundary = Literal["circular", "zero", "valid"]
Kind = Literal["bicubic", "box"]

# Singular values below this fraction of the largest are treated as 0 in a pseudo-inverse.
RANK = 1e-6
# Relative residual of the damped solution of a valid blur; far below any noise.
VALID_TOLERANCE = 1e-5


@dataclass(frozen=True, eq=False)
class Blur:
    """A x = kernel * x, the convolution of every channel with a kernel.

    Arguments:
        kernel: (h, w), both odd; its center is the origin.
        boundary: "circular": periodic, exact and fast by FFT. "zero": zero padding, by direct convolution, inverted by
            conjugate gradients. "valid": y is the inner part of the blurred image, (H - h + 1, W - w + 1), to which no
            pixel outside x contributes: the photo of a scene that extends beyond it (Almeida and Figueiredo 2013, IEEE
            TIP 22(8)).

    Raises OptionError if an argument is not allowed.
    """

    kernel: Tensor
    boundary: Boundary = "circular"

    def __post_init__(self) -> None:
        check_tensor(self.kernel, "Blur: kernel", "a tensor (h, w), such as rk.gaussian_kernel(1.6)")
        if self.kernel.ndim != 2 or not all(side % 2 for side in self.kernel.shape):
            found = tuple(self.kernel.shape)
            raise OptionError(f"Blur: found a kernel of {found}, allowed: a tensor (h, w) of odd height and width")
        check_finite(self.kernel, "Blur: kernel")
        _check_word(self.boundary, "Blur: boundary", get_args(Boundary))

    def _spectrum(self, x: Tensor) -> Tensor:
        """Fourier transform (H, W / 2 + 1) of the kernel at the size of x."""
        height, width = x.shape[-2:]
        padded_kernel = x.new_zeros(height, width)
        rows = (torch.arange(self.kernel.shape[0]) - self.kernel.shape[0] // 2) % height
        columns = (torch.arange(self.kernel.shape[1]) - self.kernel.shape[1] // 2) % width
        index = rows[:, None].expand(self.kernel.shape), columns.expand(self.kernel.shape)
        spectrum: Tensor = torch.fft.rfft2(padded_kernel.index_put(index, self.kernel.to(x), accumulate=True))
        return spectrum

    def _filtered(self, x: Tensor, spectrum: Tensor) -> Tensor:
        filtered: Tensor = torch.fft.irfft2(torch.fft.rfft2(x) * spectrum, x.shape[-2:])
        return filtered

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W); with a valid boundary (N, C, H - h + 1, W - w + 1)."""
        if self.boundary == "zero":
            return self._convolved(x, self.kernel.flip(0, 1))
        blurred = self._filtered(x, self._spectrum(x))
        return blurred if self.boundary == "circular" else self._inner(blurred)

    def adjoint(self, y: Tensor) -> Tensor:
        """Correlation with the kernel."""
        if self.boundary == "zero":
            return self._convolved(y, self.kernel)
        full = y if self.boundary == "circular" else F.pad(y, self.reach)
        return self._filtered(full, self._spectrum(full).conj())

    @property
    def reach(self) -> tuple[int, int, int, int]:
        """Extent of the kernel to the left, right, top and bottom of its center, in the order of `F.pad`."""
        vertical, horizontal = (side // 2 for side in self.kernel.shape)
        return horizontal, horizontal, vertical, vertical

    def _inner(self, x: Tensor) -> Tensor:
        if any(side < extent for side, extent in zip(x.shape[-2:], self.kernel.shape, strict=True)):
            found, allowed = tuple(x.shape[-2:]), tuple(self.kernel.shape)
            raise OptionError(f"Blur: found {found} pixels, allowed: the size of the kernel, {allowed}, or more")
        return F.pad(x, tuple(-margin for margin in self.reach))

    def _convolved(self, x: Tensor, weight: Tensor) -> Tensor:
        channels = x.shape[1]
        repeated = weight.to(x).expand(channels, 1, *weight.shape)
        return F.conv2d(x, repeated, padding=tuple(side // 2 for side in weight.shape), groups=channels)

    def pinv(self, y: Tensor) -> Tensor:
        """A^+ y; frequencies that the kernel removes stay 0."""
        if self.boundary != "circular":
            return conjugate_gradients(lambda v: self.adjoint(self.forward(v)), self.adjoint(y))
        spectrum = self._spectrum(y)
        power = spectrum.abs() ** 2
        kept = power > RANK**2 * power.max()
        return self._filtered(y, torch.where(kept, spectrum.conj() / power.clamp(min=1e-30), 0))

    def solve(self, y: Tensor, damping: float) -> Tensor:
        """(A A^T + damping I)^-1 y."""
        if self.boundary == "zero":
            return conjugate_gradients(lambda v: self.forward(self.adjoint(v)) + damping * v, y)
        full = y if self.boundary == "circular" else F.pad(y, self.reach)
        inverse = 1 / (self._spectrum(full).abs() ** 2 + damping)
        if self.boundary == "circular":
            return self._filtered(y, inverse)
        return conjugate_gradients(
            lambda v: self.forward(self.adjoint(v)) + damping * v,
            y,
            precondition=lambda v: self._inner(self._filtered(F.pad(v, self.reach), inverse)),
            tolerance=VALID_TOLERANCE,
        )

    def svd(self, x: Tensor) -> SVD | None:
        """The decomposition of a circular blur, in the basis of the Hartley transform; None for other boundaries.

        With the kernel's Fourier transform k = |k| exp(i phase), A = P H |k| H, where H is the Hartley transform, which
        diagonalizes the symmetric part |k|, and P is the convolution with exp(i phase), which is real and orthogonal.
        So V = H, S = |k| and U = P H.
        """
        if self.boundary != "circular":
            return None
        half, shape = self._spectrum(x), x.shape[-2:]
        values = torch.fft.fft2(torch.fft.irfft2(half, shape)).abs()
        magnitude = half.abs()
        phase = torch.where(magnitude > 0, half / magnitude.clamp(min=1e-30), 1)
        nonzero = values > 0
        return SVD(values, hartley, hartley, lambda y: nonzero * hartley(self._filtered(y, phase.conj())))


@dataclass(frozen=True)
class Downsample:
    """A x = x downsampled by an integer factor, which must divide height and width.

    Arguments:
        factor: 2 or more.
        kind: "bicubic": with antialiasing, like Pillow and torch; "box": the mean of factor x factor pixels.

    Raises OptionError if an argument is not allowed.
    """

    factor: int
    kind: Kind = "bicubic"

    def __post_init__(self) -> None:
        if not is_integer(self.factor) or self.factor < 2:
            raise OptionError(f"Downsample: found factor {shortened(self.factor)}, allowed: an integer, 2 or more")
        _check_word(self.kind, "Downsample: kind", get_args(Kind))

    def _matrix(self, length: int, x: Tensor) -> Tensor:
        """The resampling matrix (length / factor, length) of one dimension."""
        if length % self.factor:
            raise OptionError(f"Downsample: found a side of {length}, allowed: multiples of {self.factor}")
        eye = torch.eye(length, dtype=torch.float64)[:, None, None]
        if self.kind == "box":
            small = F.avg_pool2d(eye, (1, self.factor))
        else:
            small = F.interpolate(eye, (1, length // self.factor), mode="bicubic", antialias=True, align_corners=False)
        return small[:, 0, 0].T.to(x)

    def _matrices(self, x: Tensor, scale: int) -> tuple[Tensor, Tensor]:
        """The resampling matrices of rows and columns for images `scale` times the size of x."""
        return self._matrix(x.shape[-2] * scale, x), self._matrix(x.shape[-1] * scale, x)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H / factor, W / factor)."""
        rows, columns = self._matrices(x, 1)
        return rows @ x @ columns.T

    def adjoint(self, y: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C, factor h, factor w)."""
        rows, columns = self._matrices(y, self.factor)
        return rows.T @ y @ columns

    def pinv(self, y: Tensor) -> Tensor:
        """A^+ y."""
        rows, columns = (torch.linalg.pinv(side.double()).to(y) for side in self._matrices(y, self.factor))
        result: Tensor = rows @ y @ columns.T
        return result

    def solve(self, y: Tensor, damping: float) -> Tensor:
        """(A A^T + damping I)^-1 y, by the eigenvectors of both dimensions."""
        grams = [side.double() @ side.double().T for side in self._matrices(y, self.factor)]
        (a, u), (b, v) = (torch.linalg.eigh(gram) for gram in grams)
        result: Tensor = u @ (u.T @ y.double() @ v / (a[:, None] * b + damping)) @ v.T
        return result.to(y)

    def svd(self, x: Tensor) -> SVD:
        """The product of the decompositions of both dimensions."""
        (u, rows, v), (s, columns, w) = (torch.linalg.svd(side.double()) for side in self._matrices(x, 1))
        u, v, s, w = (side.to(x) for side in (u, v, s, w))
        height, width = x.shape[-2:]
        return SVD(
            torch.outer(padded(rows, height, -1), padded(columns, width, -1)).to(x),
            lambda image: v @ image @ w.T,
            lambda coefficients: v.T @ coefficients @ w,
            lambda y: padded(padded(u.T @ y @ s, height, -2), width, -1),
        )


def _check_word(word: object, where: str, allowed: tuple[str, ...]) -> None:
    """Raise OptionError if a word is not one of those that are allowed."""
    if word not in allowed:
        raise OptionError(f"{where}: found {shortened(repr(word))}, allowed: {', '.join(map(repr, allowed))}")


def laplacian(x: Tensor) -> Tensor:
    """Sum of the differences to the four neighbours, mirrored at the border; symmetric, (N, C, H, W)."""
    down, right = x.diff(dim=-2), x.diff(dim=-1)
    return F.pad(down, (0, 0, 0, 1)) - F.pad(down, (0, 0, 1, 0)) + F.pad(right, (0, 1)) - F.pad(right, (1, 0))


def gaussian_kernel(sigma: float) -> Tensor:
    """Gaussian kernel of standard deviation sigma pixels, truncated at 3 sigma: (2 r + 1, 2 r + 1), sum 1, float64."""
    if not is_number(sigma) or sigma <= 0:
        raise OptionError(f"gaussian_kernel: found sigma {shortened(sigma)}, allowed: a number above 0")
    radius = max(1, round(3 * sigma))
    profile = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, dtype=torch.float64) / sigma) ** 2)
    return torch.outer(profile, profile) / profile.sum() ** 2


def motion_kernel(length: int, degrees: float) -> Tensor:
    """Motion blur kernel: a centered line of `length` pixels, rotated counter-clockwise; odd sides, sum 1, float64."""
    if not is_integer(length) or length < 1 or not is_number(degrees):
        found = f"length {shortened(length)}, degrees {shortened(degrees)}"
        raise OptionError(f"motion_kernel: found {found}, allowed: an integer, 1 or more, and a number")
    side = length + 1 - length % 2
    position = torch.linspace(-(length - 1) / 2, (length - 1) / 2, 16 * length, dtype=torch.float64)
    angle = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    columns, rows = side // 2 + position * angle.cos(), side // 2 - position * angle.sin()
    kernel = torch.zeros(side, side, dtype=torch.float64)
    for row, column in (
        (rows.floor(), columns.floor()),
        (rows.floor() + 1, columns.floor()),
        (rows.floor(), columns.floor() + 1),
        (rows.floor() + 1, columns.floor() + 1),
    ):
        weight = (1 - (rows - row).abs()) * (1 - (columns - column).abs())
        inside = (row >= 0) & (row < side) & (column >= 0) & (column < side)
        index = row[inside].long(), column[inside].long()
        kernel.index_put_(index, weight[inside], accumulate=True)
    return kernel / kernel.sum()
