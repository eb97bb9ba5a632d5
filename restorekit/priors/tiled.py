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
        where: (N, 1, H, W) or (1, 1, H, W), non-zero where D is required; windows without such a pixel are not
            evaluated, and D is x there.
        on_windows: called with the number of windows that are done and their total, in every evaluation of D.
    """

    def __init__(
        self,
        prior: Denoiser,
        *,
        window: int | None = None,
        overlap: int | None = None,
        batch: int | None = None,
        where: Tensor | None = None,
        on_windows: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        super().__init__(prior, size=None)
        self.where, self.on_windows = where, on_windows
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

    def with_inner(self, prior: Denoiser) -> Tiled:
        """Return another prior evaluated on the same windows."""
        return self._with(prior, self.where)

    def only_where(self, where: Tensor) -> Tiled:
        """Return the same prior evaluated only where `where` is not zero."""
        return self._with(self.inner, where)

    def _with(self, prior: Denoiser, where: Tensor | None) -> Tiled:
        size = {"window": self.window, "overlap": self.overlap, "batch": self.batch}
        return Tiled(prior, where=where, on_windows=self.on_windows, **size)

    def _evaluate(self, inner: Callable[..., Estimate], x: Tensor, sigma: Tensor, label: Tensor | None) -> Estimate:
        if max(x.shape[-2:]) <= self.window and self.where is None:
            result = inner(x, sigma, label)
            self.on_windows(1, 1)
            return result
        height, width = x.shape[-2:]
        padded = pad_to_multiple(x, self._grid)
        sigma = sigma if sigma.ndim == 1 else pad_to_multiple(sigma, self._grid)
        blend = _Blend(padded, *(self._ramps(length, x) for length in padded.shape[-2:]))
        positions = [position for position in blend.positions() if self._is_required(position, blend.sides)]
        for start in range(0, len(positions), self.batch):
            group = positions[start : start + self.batch]
            images = torch.tensor([n for n, _, _ in group], device=x.device)
            levels = sigma[images] if sigma.ndim == 1 else _crop(sigma, group, blend.sides)
            labels = None if label is None else label[images]
            blend.add(group, *inner(_crop(padded, group, blend.sides), levels, labels))
            self.on_windows(start + len(group), len(positions))
        mean, weight = blend.results()
        return mean[..., :height, :width], None if weight is None else weight[..., :height, :width]

    @property
    def _grid(self) -> int:
        return GRID if self.window % GRID == 0 else 1

    def _ramps(self, length: int, x: Tensor) -> dict[int, Tensor]:
        """Return the weights (side,) of the windows along one axis of images x, by their first pixel."""
        if length <= self.window:
            return {0: x.new_ones(length)}
        count, side = math.ceil((length - self.overlap) / (self.window - self.overlap)), self.window
        if self.inner.info.size is None and x.device.type == "cpu":
            side = math.ceil((length + (count - 1) * self.overlap) / (count * self._grid)) * self._grid
        starts = [i * (length - side) // (count - 1) // self._grid * self._grid for i in range(count)]
        return {start: self._ramp(start, side, length).to(x) for start in starts}

    def _ramp(self, start: int, side: int, length: int) -> Tensor:
        """Return the weights (side,) of a window along one axis."""
        position = torch.arange(side, dtype=torch.float64) + 0.5
        overlap = max(self.overlap, 1)
        flat = torch.ones(side, dtype=torch.float64)
        rise = flat if start == 0 else (position / overlap).clamp(max=1)
        fall = flat if start + side == length else ((side - position) / overlap).clamp(max=1)
        return torch.sin(torch.minimum(rise, fall) * math.pi / 2) ** 2

    def _is_required(self, position: Position, sides: tuple[int, int]) -> bool:
        if self.where is None:
            return True
        n = position[0] if self.where.shape[0] > 1 else 0
        return bool(_window(self.where, (n, *position[1:]), sides).any())


class _Blend:
    """The weighted mean of windows of images x (N, C, H, W).

    Arguments:
        x: the images.
        rows, columns: weights of the windows along both axes, by their first pixel.
    """

    def __init__(self, x: Tensor, rows: dict[int, Tensor], columns: dict[int, Tensor]) -> None:
        self.x, self.rows, self.columns = x, rows, columns
        self.sides = len(next(iter(rows.values()))), len(next(iter(columns.values())))
        self.total, self.ramps = torch.zeros_like(x), torch.zeros_like(x[:, :1])
        self.total_weight: Tensor | None = None

    def positions(self) -> list[Position]:
        """Return the positions of all windows."""
        return [(n, top, left) for n in range(len(self.total)) for top in self.rows for left in self.columns]

    def add(self, group: list[Position], results: Tensor, weights: Tensor | None) -> None:
        """Add D, and the interpolation weight or None, of windows (n, C, height, width)."""
        if weights is not None and self.total_weight is None:
            self.total_weight = torch.zeros_like(self.total)
        for k, position in enumerate(group):
            ramp = self.rows[position[1]][:, None] * self.columns[position[2]]
            _window(self.total, position, self.sides).addcmul_(ramp, results[k])
            _window(self.ramps, position, self.sides).add_(ramp)
            if weights is not None and self.total_weight is not None:
                _window(self.total_weight, position, self.sides).addcmul_(ramp, weights[k])

    def results(self) -> Estimate:
        """Return the means of D and of the interpolation weight, x and 0 where no window is; overwrites the sums."""
        empty = (self.ramps == 0).to(self.ramps)
        norm = self.ramps.add_(empty)
        weight = None if self.total_weight is None else self.total_weight.div_(norm)
        return self.total.addcmul_(empty, self.x).div_(norm), weight


def _window(x: Tensor, position: Position, sides: tuple[int, int]) -> Tensor:
    n, top, left = position
    return x[n, :, top : top + sides[0], left : left + sides[1]]


def _crop(x: Tensor, group: list[Position], sides: tuple[int, int]) -> Tensor:
    return torch.stack([_window(x, position, sides) for position in group])


def only_where(prior: Denoiser, where: Tensor) -> Denoiser:
    """Return the prior evaluated only where `where` is not zero; a prior that is not tiled is returned unchanged."""
    return prior.only_where(where) if isinstance(prior, Tiled) else prior
