"""Images of any size through a prior that is evaluated on overlapping windows."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from restorekit.core.denoiser import Denoiser, Estimate, Wrapper
from restorekit.priors.epsilon import pad_to_multiple

# Windows for priors that accept any size; benchmarks/windows.py measures others.
ANY_SIZE_WINDOW = 512
ANY_SIZE_OVERLAP = 24
# Windows start at multiples of this, so that networks with strides process every window on the same grid.
GRID = 8


Position = tuple[int, int, int]
"""Number of an image in the batch, first row and first column of a window in it."""


class Tiled(Wrapper):
    """D(x, sigma) of a large image, blended from overlapping windows of a prior.

    All windows have the same size and are spaced evenly. Their weights are 1 in the center and decrease toward the
    sides that lie inside the image, so that there are no seams. The noise of x is one field for the whole image.

    On a CPU, windows of a prior that accepts any size are only as large as their number and the overlap require.
    Elsewhere they have the same size for all images, so that windows of several images can form one batch.

    Arguments:
        prior: the denoiser of one window.
        window: largest side of the windows; by default the size of the prior, or 512 for a prior that accepts any size.
        overlap: minimum overlap of neighbouring windows; by default a quarter of the window (24 for a prior that
            accepts any size).
        batch: number of windows evaluated at once; by default as many as cover the area of one window of 512 x 512.
        margin: number of pixels at the sides of a window that do not contribute where another window covers them; D of
            a network that sees at most as many pixels around a pixel then equals that of the whole image.
        multiple: for networks that pad what they receive: windows that are smaller than the image have sides that are
            multiples of it, if `window` is one, and the image is not padded; None to pad the image to multiples of 8.
        scale: factor by which D is higher and wider than x, for networks that are not denoisers.
        where: (N, 1, H, W) or (1, 1, H, W), non-zero where D is required; windows without such a pixel are not
            evaluated, and D is x there.
        on_windows: called with the number of windows that are done and their total, in every evaluation of D.
        on_estimate: called with sigma and D, detached, after every evaluation of D; must not modify them.
    """

    def __init__(
        self,
        prior: Denoiser,
        *,
        window: int | None = None,
        overlap: int | None = None,
        batch: int | None = None,
        margin: int = 0,
        multiple: int | None = None,
        scale: int = 1,
        where: Tensor | None = None,
        on_windows: Callable[[int, int], None] = lambda done, total: None,
        on_estimate: Callable[[Tensor, Tensor], None] = lambda sigma, denoised: None,
    ) -> None:
        super().__init__(prior, size=None)
        self.where, self.on_windows, self.on_estimate = where, on_windows, on_estimate
        size = prior.info.size
        self.window = window or size or ANY_SIZE_WINDOW
        self.batch = max(1, (ANY_SIZE_WINDOW // self.window) ** 2) if batch is None else batch
        default = ANY_SIZE_OVERLAP if size is None and window is None else self.window // 4
        self.overlap = default if overlap is None else overlap
        if not 0 <= self.overlap < self.window or self.batch < 1:
            raise ValueError(
                f"Tiled: window {self.window}, overlap {self.overlap}, batch {self.batch}; "
                "allowed: 0 <= overlap < window, batch >= 1"
            )
        # The starts of windows are rounded, which reduces their overlap by less than GRID.
        if margin and self.overlap < 2 * margin + GRID:
            raise ValueError(f"Tiled: margin {margin}, overlap {self.overlap}; allowed: overlap >= 2 margin + {GRID}")
        if scale != 1 and where is not None:
            raise ValueError(f"Tiled: scale {scale} with `where`, allowed: scale 1")
        self.margin, self.multiple, self.scale = margin, multiple, scale

    def with_inner(self, prior: Denoiser) -> Tiled:
        """Return another prior evaluated on the same windows."""
        return self._with(prior, self.where)

    def only_where(self, where: Tensor) -> Tiled:
        """Return the same prior evaluated only where `where` is not zero."""
        return self._with(self.inner, where)

    def _with(self, prior: Denoiser, where: Tensor | None) -> Tiled:
        return Tiled(
            prior,
            window=self.window,
            overlap=self.overlap,
            batch=self.batch,
            margin=self.margin,
            multiple=self.multiple,
            scale=self.scale,
            where=where,
            on_windows=self.on_windows,
            on_estimate=self.on_estimate,
        )

    def _evaluate(self, inner: Callable[..., Estimate], x: Tensor, sigma: Tensor, label: Tensor | None) -> Estimate:
        if max(x.shape[-2:]) <= self.window and self.where is None:
            mean, weight = inner(x, sigma, label)
            self.on_windows(1, 1)
            self.on_estimate(sigma.detach(), mean.detach())
            return mean, weight
        height, width = x.shape[-2:]
        pad = self._grid if self.multiple is None else 1
        padded = pad_to_multiple(x, pad)
        padded_sigma = sigma if sigma.ndim == 1 else pad_to_multiple(sigma, pad)
        rows, columns = (self._ramps(length, x) for length in padded.shape[-2:])
        blend = _Blend(padded, rows, columns, self.scale)
        positions = [position for position in blend.positions() if self._is_required(position, blend.sides)]
        for start in range(0, len(positions), self.batch):
            group = positions[start : start + self.batch]
            images = torch.tensor([n for n, _, _ in group], device=x.device)
            levels = padded_sigma[images] if sigma.ndim == 1 else _crop(padded_sigma, group, blend.sides)
            labels = None if label is None else label[images]
            blend.add(group, *inner(_crop(padded, group, blend.sides), levels, labels))
            self.on_windows(start + len(group), len(positions))
        mean, weight = blend.results(None if self.where is None else padded)
        inside = (..., slice(self.scale * height), slice(self.scale * width))
        mean, weight = mean[inside], None if weight is None else weight[inside]
        self.on_estimate(sigma.detach(), mean.detach())
        return mean, weight

    @property
    def _grid(self) -> int:
        return GRID if self.window % GRID == 0 else 1

    def _ramps(self, length: int, x: Tensor) -> dict[int, Tensor]:
        """Return the weights (scale * side,) of the windows along one axis of images x, by their first pixel."""
        if length <= self.window:
            return {0: x.new_ones(self.scale * length)}
        count, side = math.ceil((length - self.overlap) / (self.window - self.overlap)), self.window
        if self.inner.info.size is None and x.device.type == "cpu":
            step = self._grid if self.multiple is None or self.window % self.multiple else self.multiple
            side = math.ceil((length + (count - 1) * self.overlap) / (count * step)) * step
        starts = [i * (length - side) // (count - 1) // self._grid * self._grid for i in range(count - 1)]
        return {start: self._ramp(start, side, length).to(x) for start in (*starts, length - side)}

    def _ramp(self, start: int, side: int, length: int) -> Tensor:
        """Return the weights (scale * side,) of a window along one axis."""
        position = (torch.arange(self.scale * side, dtype=torch.float64) + 0.5) / self.scale
        width = max(self.overlap - 2 * self.margin, 1)
        flat = torch.ones(self.scale * side, dtype=torch.float64)
        rise = flat if start == 0 else ((position - self.margin) / width).clamp(0, 1)
        fall = flat if start + side == length else ((side - self.margin - position) / width).clamp(0, 1)
        return torch.sin(torch.minimum(rise, fall) * math.pi / 2) ** 2

    def _is_required(self, position: Position, sides: tuple[int, int]) -> bool:
        if self.where is None:
            return True
        n = position[0] if self.where.shape[0] > 1 else 0
        return bool(_window(self.where, (n, *position[1:]), sides).any())


class _Blend:
    """The weighted mean of D of windows of images x (N, C, H, W).

    Arguments:
        x: the images.
        rows, columns: weights of D of the windows along both axes, by the first pixel of the window.
        scale: factor by which D is higher and wider.
    """

    def __init__(self, x: Tensor, rows: dict[int, Tensor], columns: dict[int, Tensor], scale: int) -> None:
        self.x, self.rows, self.columns, self.scale = x, rows, columns, scale
        self.sides = len(next(iter(rows.values()))) // scale, len(next(iter(columns.values()))) // scale
        self.ramps = x.new_zeros(len(x), 1, *(scale * side for side in x.shape[-2:]))
        self.total: Tensor | None = None
        self.total_weight: Tensor | None = None

    def positions(self) -> list[Position]:
        """Return the positions of all windows."""
        return [(n, top, left) for n in range(len(self.x)) for top in self.rows for left in self.columns]

    def add(self, group: list[Position], results: Tensor, weights: Tensor | None) -> None:
        """Add D (n, C, scale * height, scale * width) of windows, and the interpolation weight (like D) or None."""
        if self.total is None:
            self.total = self._zeros(results)
        if weights is not None and self.total_weight is None:
            self.total_weight = self._zeros(weights)
        sides = self.scale * self.sides[0], self.scale * self.sides[1]
        for k, (n, top, left) in enumerate(group):
            position, ramp = (n, self.scale * top, self.scale * left), self.rows[top][:, None] * self.columns[left]
            _window(self.total, position, sides).addcmul_(ramp, results[k])
            _window(self.ramps, position, sides).add_(ramp)
            if weights is not None and self.total_weight is not None:
                _window(self.total_weight, position, sides).addcmul_(ramp, weights[k])

    def results(self, fill: Tensor | None) -> Estimate:
        """Return the means of D and of the interpolation weight; overwrites the sums.

        fill: D, with an interpolation weight of 0, where no window is; None if windows cover everything.
        """
        if self.total is None:
            assert fill is not None
            return fill, None
        norm = self.ramps
        if fill is not None:
            empty = (norm == 0).to(norm)
            self.total.addcmul_(empty, fill)
            norm = norm.add_(empty)
        weight = None if self.total_weight is None else self.total_weight.div_(norm)
        return self.total.div_(norm), weight

    def _zeros(self, results: Tensor) -> Tensor:
        return self.x.new_zeros(len(self.x), results.shape[1], *self.ramps.shape[-2:])


def _window(x: Tensor, position: Position, sides: tuple[int, int]) -> Tensor:
    n, top, left = position
    return x[n, :, top : top + sides[0], left : left + sides[1]]


def _crop(x: Tensor, group: list[Position], sides: tuple[int, int]) -> Tensor:
    return torch.stack([_window(x, position, sides) for position in group])


def only_where(prior: Denoiser, where: Tensor) -> Denoiser:
    """Return the prior evaluated only where `where` is not zero; a prior that is not tiled is returned unchanged."""
    return prior.only_where(where) if isinstance(prior, Tiled) else prior
