"""Operators that look at neighbourhoods: blur and down-sampling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from restorekit.core.operators import conjugate_gradients
from restorekit.core.spectrum import Spectrum, hartley, padded

# Singular values below this share of the largest count as zero in a pseudo-inverse.
RANK = 1e-6
# Relative residual at which the damped solution of a valid blur is good enough: far below any noise.
NEAR_ENOUGH = 1e-5


@dataclass(frozen=True, eq=False)
class Blur:
    """A x = kernel * x, the convolution of every channel.

    Arguments:
        kernel: (h, w), both odd; its middle stays in place.
        boundary: circular: the image goes on at its other side, and the Fourier transform makes everything exact and
            fast; zero: beyond the border there is nothing, convolved directly, solved by conjugate gradients; valid:
            y is the inner part of the blurred image, (H - h + 1, W - w + 1), to which nothing beyond the border
            contributes: the photo of a scene that goes on outside (Almeida and Figueiredo 2013, IEEE TIP 22(8)).
    """

    kernel: Tensor
    boundary: Literal["circular", "zero", "valid"] = "circular"

    def __post_init__(self) -> None:
        if self.kernel.ndim != 2 or not all(side % 2 for side in self.kernel.shape):
            raise ValueError(f"Blur: the kernel is {tuple(self.kernel.shape)}, allowed: two odd sides")

    def _spectrum(self, x: Tensor) -> Tensor:
        """Fourier transform (H, W / 2 + 1) of the kernel at the size of x."""
        height, width = x.shape[-2:]
        placed = x.new_zeros(height, width)
        rows = (torch.arange(self.kernel.shape[0]) - self.kernel.shape[0] // 2) % height
        columns = (torch.arange(self.kernel.shape[1]) - self.kernel.shape[1] // 2) % width
        place = rows[:, None].expand(self.kernel.shape), columns.expand(self.kernel.shape)
        spectrum: Tensor = torch.fft.rfft2(placed.index_put(place, self.kernel.to(x), accumulate=True))
        return spectrum

    def _filtered(self, x: Tensor, spectrum: Tensor) -> Tensor:
        filtered: Tensor = torch.fft.irfft2(torch.fft.rfft2(x) * spectrum, x.shape[-2:])
        return filtered

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W), of a valid boundary (N, C, H - h + 1, W - w + 1)."""
        if self.boundary == "zero":
            return self._convolved(x, self.kernel.flip(0, 1))
        blurred = self._filtered(x, self._spectrum(x))
        return blurred if self.boundary == "circular" else self._inner(blurred)

    def adjoint(self, y: Tensor) -> Tensor:
        """Correlation with the kernel."""
        if self.boundary == "zero":
            return self._convolved(y, self.kernel)
        whole = y if self.boundary == "circular" else F.pad(y, self.reach)
        return self._filtered(whole, self._spectrum(whole).conj())

    @property
    def reach(self) -> tuple[int, int, int, int]:
        """Pixels that the kernel reaches to the left, right, top and bottom, as `F.pad` takes them."""
        tall, wide = (side // 2 for side in self.kernel.shape)
        return wide, wide, tall, tall

    def _inner(self, x: Tensor) -> Tensor:
        if any(side < least for side, least in zip(x.shape[-2:], self.kernel.shape, strict=True)):
            raise ValueError(
                f"Blur: {tuple(x.shape[-2:])} pixels, allowed: the kernel's {tuple(self.kernel.shape)} or more"
            )
        return F.pad(x, tuple(-side for side in self.reach))

    def _convolved(self, x: Tensor, weight: Tensor) -> Tensor:
        channels = x.shape[1]
        repeated = weight.to(x).expand(channels, 1, *weight.shape)
        return F.conv2d(x, repeated, padding=tuple(side // 2 for side in weight.shape), groups=channels)

    def pinv(self, y: Tensor) -> Tensor:
        """A^+ y; frequencies that the kernel takes away stay 0."""
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
        whole = y if self.boundary == "circular" else F.pad(y, self.reach)
        inverse = 1 / (self._spectrum(whole).abs() ** 2 + damping)
        if self.boundary == "circular":
            return self._filtered(y, inverse)
        return conjugate_gradients(
            lambda v: self.forward(self.adjoint(v)) + damping * v,
            y,
            precondition=lambda v: self._inner(self._filtered(F.pad(v, self.reach), inverse)),
            enough=NEAR_ENOUGH,
        )

    def svd(self, x: Tensor) -> Spectrum | None:
        """Of the circular blur, in the basis of Hartley's transform; None for other boundaries.

        With the kernel's Fourier transform k = |k| exp(i phase), A = P H |k| H, where H is Hartley's transform, which
        diagonalises the symmetric part |k|, and P the convolution with exp(i phase), which is real and orthogonal. So
        V = H, S = |k| and U = P H.
        """
        if self.boundary != "circular":
            return None
        half, shape = self._spectrum(x), x.shape[-2:]
        whole = torch.fft.fft2(torch.fft.irfft2(half, shape)).abs()
        size = half.abs()
        phase = torch.where(size > 0, half / size.clamp(min=1e-30), 1)
        seen = whole > 0
        return Spectrum(whole, hartley, hartley, lambda y: seen * hartley(self._filtered(y, phase.conj())))


@dataclass(frozen=True)
class Downsample:
    """A x = x at 1 / factor of the size, which must divide height and width.

    Arguments:
        factor: 2 or more.
        kind: bicubic, anti-aliased as Pillow and torch have it; box: the mean of factor x factor pixels.
    """

    factor: int
    kind: Literal["bicubic", "box"] = "bicubic"

    def __post_init__(self) -> None:
        if self.factor < 2:
            raise ValueError(f"Downsample: factor {self.factor}, allowed: 2 or more")

    def _along(self, length: int, x: Tensor) -> Tensor:
        """The matrix (length / factor, length) of one direction."""
        if length % self.factor:
            raise ValueError(f"Downsample: a side of {length}, allowed: multiples of {self.factor}")
        eye = torch.eye(length, dtype=torch.float64)[:, None, None]
        if self.kind == "box":
            small = F.avg_pool2d(eye, (1, self.factor))
        else:
            small = F.interpolate(eye, (1, length // self.factor), mode="bicubic", antialias=True, align_corners=False)
        return small[:, 0, 0].T.to(x)

    def _both(self, x: Tensor, scale: int) -> tuple[Tensor, Tensor]:
        return self._along(x.shape[-2] * scale, x), self._along(x.shape[-1] * scale, x)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H / factor, W / factor)."""
        rows, columns = self._both(x, 1)
        return rows @ x @ columns.T

    def adjoint(self, y: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C, factor h, factor w)."""
        rows, columns = self._both(y, self.factor)
        return rows.T @ y @ columns

    def pinv(self, y: Tensor) -> Tensor:
        """A^+ y."""
        rows, columns = (torch.linalg.pinv(side.double()).to(y) for side in self._both(y, self.factor))
        result: Tensor = rows @ y @ columns.T
        return result

    def solve(self, y: Tensor, damping: float) -> Tensor:
        """(A A^T + damping I)^-1 y, by the eigenvectors of both directions."""
        grams = [side.double() @ side.double().T for side in self._both(y, self.factor)]
        (a, u), (b, v) = (torch.linalg.eigh(gram) for gram in grams)
        result: Tensor = u @ (u.T @ y.double() @ v / (a[:, None] * b + damping)) @ v.T
        return result.to(y)

    def svd(self, x: Tensor) -> Spectrum:
        """The products of the decompositions of both directions."""
        (u, rows, v), (s, columns, w) = (torch.linalg.svd(side.double()) for side in self._both(x, 1))
        u, v, s, w = (side.to(x) for side in (u, v, s, w))
        height, width = x.shape[-2:]
        return Spectrum(
            torch.outer(padded(rows, height, -1), padded(columns, width, -1)).to(x),
            lambda image: v @ image @ w.T,
            lambda coefficients: v.T @ coefficients @ w,
            lambda y: padded(padded(u.T @ y @ s, height, -2), width, -1),
        )


def laplacian(x: Tensor) -> Tensor:
    """Differences to the four neighbours, mirrored at the border: symmetric, (N, C, H, W)."""
    down, right = x.diff(dim=-2), x.diff(dim=-1)
    return F.pad(down, (0, 0, 0, 1)) - F.pad(down, (0, 0, 1, 0)) + F.pad(right, (0, 1)) - F.pad(right, (1, 0))


def gaussian_kernel(sigma: float) -> Tensor:
    """Gaussian of standard deviation sigma pixels, cut at 3 sigma, of sum 1: (2 r + 1, 2 r + 1), float64."""
    if not sigma > 0:
        raise ValueError(f"gaussian_kernel: sigma is {sigma}, allowed: above 0")
    reach = max(1, round(3 * sigma))
    line = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=torch.float64) / sigma) ** 2)
    return torch.outer(line, line) / line.sum() ** 2


def motion_kernel(length: int, degrees: float) -> Tensor:
    """A line of `length` pixels through the middle, at an angle from the x axis upwards: odd sides, sum 1, float64."""
    if length < 1:
        raise ValueError(f"motion_kernel: length is {length}, allowed: 1 or more")
    side = length + 1 - length % 2
    reach = torch.linspace(-(length - 1) / 2, (length - 1) / 2, 16 * length, dtype=torch.float64)
    angle = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    columns, rows = side // 2 + reach * angle.cos(), side // 2 - reach * angle.sin()
    kernel = torch.zeros(side, side, dtype=torch.float64)
    for row, column in (
        (rows.floor(), columns.floor()),
        (rows.floor() + 1, columns.floor()),
        (rows.floor(), columns.floor() + 1),
        (rows.floor() + 1, columns.floor() + 1),
    ):
        weight = (1 - (rows - row).abs()) * (1 - (columns - column).abs())
        inside = (row >= 0) & (row < side) & (column >= 0) & (column < side)
        place = row[inside].long(), column[inside].long()
        kernel.index_put_(place, weight[inside], accumulate=True)
    return kernel / kernel.sum()
