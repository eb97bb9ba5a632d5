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
ANY_SIZE_OVERLAP = 32
# Windows start at multiples of this, so that networks with strides process every window on the same grid.
GRID = 8


class Tiled(Wrapper):
    """D(x, sigma) of a large image, blended from overlapping windows of a prior.

    All windows have the same size and are spaced evenly. Their weights are 1 in the center and decrease toward the
    sides that lie inside the image, so that there are no seams. The noise of x is one field for the whole image.

    Arguments:
        prior: the denoiser of one window.
        window: side of the windows; by default the size of the prior, or 512 for a prior that accepts any size.
        overlap: minimum overlap of neighbouring windows; by default a quarter of the window (32 for a prior that
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
        shape, x = x.shape[-2:], pad_to_multiple(x, self._grid)
        sigma = sigma if sigma.ndim == 1 else pad_to_multiple(sigma, self._grid)
        height, width = x.shape[-2:]
        rows, columns = self._starts(height), self._starts(width)
        window_height, window_width = min(self.window, height), min(self.window, width)
        total, ramps = torch.zeros_like(x), x.new_zeros(x.shape[0], 1, height, width)
        total_weight: Tensor | None = None
        positions = [(n, top, left) for n in range(x.shape[0]) for top in rows for left in columns]
        positions = [position for position in positions if self._is_required(*position, window_height, window_width)]
        for start in range(0, len(positions), self.batch):
            group = positions[start : start + self.batch]
            images = torch.tensor([n for n, _, _ in group], device=x.device)
            crops = _crop(x, group, window_height, window_width)
            levels = sigma[images] if sigma.ndim == 1 else _crop(sigma, group, window_height, window_width)
            results, weight = inner(crops, levels, None if label is None else label[images])
            if weight is not None and total_weight is None:
                total_weight = torch.zeros_like(x)
            for k, (n, top, left) in enumerate(group):
                ramp = self._ramp(top, window_height, height).to(x)[:, None] * self._ramp(left, window_width, width).to(
                    x
                )
                region = (n, slice(None), slice(top, top + window_height), slice(left, left + window_width))
                total[region] += ramp * results[k]
                ramps[region] += ramp
                if weight is not None and total_weight is not None:
                    total_weight[region] += ramp * weight[k]
            self.on_windows(start + len(group), len(positions))
        norm = ramps.clamp(min=1e-12)
        blended = torch.where(ramps > 0, total / norm, x)[..., : shape[0], : shape[1]]
        return blended, None if total_weight is None else (total_weight / norm)[..., : shape[0], : shape[1]]

    @property
    def _grid(self) -> int:
        return GRID if self.window % GRID == 0 else 1

    def _starts(self, length: int) -> list[int]:
        """Return the first pixel of every window along one axis of the image."""
        if length <= self.window:
            return [0]
        count = math.ceil((length - self.overlap) / (self.window - self.overlap))
        return [i * (length - self.window) // (count - 1) // self._grid * self._grid for i in range(count)]

    def _ramp(self, start: int, side: int, length: int) -> Tensor:
        """Return the weights (side,) of a window along one axis."""
        position = torch.arange(side, dtype=torch.float64) + 0.5
        overlap = max(self.overlap, 1)
        flat = torch.ones(side, dtype=torch.float64)
        rise = flat if start == 0 else (position / overlap).clamp(max=1)
        fall = flat if start + side == length else ((side - position) / overlap).clamp(max=1)
        return torch.sin(torch.minimum(rise, fall) * math.pi / 2) ** 2

    def _is_required(self, n: int, top: int, left: int, height: int, width: int) -> bool:
        if self.where is None:
            return True
        image = self.where[n if self.where.shape[0] > 1 else 0]
        return bool(image[:, top : top + height, left : left + width].any())


def _crop(x: Tensor, group: list[tuple[int, int, int]], height: int, width: int) -> Tensor:
    return torch.stack([x[n, :, top : top + height, left : left + width] for n, top, left in group])


def only_where(prior: Denoiser, where: Tensor) -> Denoiser:
    """Return the prior evaluated only where `where` is not zero; a prior that is not tiled is returned unchanged."""
    return prior.only_where(where) if isinstance(prior, Tiled) else prior
