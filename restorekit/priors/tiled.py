"""Any height and width from a prior that is evaluated on windows."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from restorekit.core.denoiser import Denoiser
from restorekit.priors.epsilon import pad_to_multiple

# Windows for priors that are natural at any size; benchmarks/windows.py measures others.
ANY_SIZE_WINDOW = 512
ANY_SIZE_OVERLAP = 32
# Windows start at multiples of this, so that strided networks see every window on the same grid.
GRID = 8


class Tiled:
    """D(x, sigma) of a large image, blended from overlapping windows of a prior.

    Windows all have one size, are spread evenly, and are weighted by a ramp that is 1 in the middle and falls to the
    sides that lie inside the image, so that no seam is left. The noise of x is one field for the whole image.

    Arguments:
        prior: the denoiser of one window.
        window: side of the windows; by default the prior's size, or 512 for a prior that is natural at any size.
        overlap: least overlap of neighbours; by default a quarter of the window (32 for a prior of any size).
        batch: windows evaluated at once; by default as many as have the pixels of one window of 512.
        where: (N, 1, H, W) or (1, 1, H, W), non-zero where D is wanted; windows without any such pixel are not
            evaluated, and D is x there.
    """

    size = None

    def __init__(
        self,
        prior: Denoiser,
        *,
        window: int | None = None,
        overlap: int | None = None,
        batch: int | None = None,
        where: Tensor | None = None,
    ) -> None:
        self.prior, self.where = prior, where
        natural = prior.size is None
        self.window = window or prior.size or ANY_SIZE_WINDOW
        self.batch = max(1, (ANY_SIZE_WINDOW // self.window) ** 2) if batch is None else batch
        default = ANY_SIZE_OVERLAP if natural and window is None else self.window // 4
        self.overlap = default if overlap is None else overlap
        if not 0 <= self.overlap < self.window or self.batch < 1:
            raise ValueError(
                f"Tiled: window {self.window}, overlap {self.overlap}, batch {batch}; "
                "allowed: 0 <= overlap < window, batch >= 1"
            )
        self.channels, self.levels, self.classes = prior.channels, prior.levels, prior.classes
        self.no_label = getattr(prior, "no_label", None)
        self.sigma_min, self.sigma_max = prior.sigma_min, prior.sigma_max
        self.partial_noise, self.fills = prior.partial_noise, prior.fills

    def over(self, prior: Denoiser) -> Tiled:
        """The same windows of another prior."""
        return Tiled(prior, window=self.window, overlap=self.overlap, batch=self.batch, where=self.where)

    def only_where(self, where: Tensor) -> Tiled:
        """The same, evaluated only where `where` is not zero."""
        return Tiled(self.prior, window=self.window, overlap=self.overlap, batch=self.batch, where=where)

    def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        """x (N, C, H, W) of any size, sigma (N,), label (N,) or None."""
        if max(x.shape[-2:]) <= self.window and self.where is None:
            return self.prior(x, sigma, label)
        original, x = x, pad_to_multiple(x, self._grid)
        sigma = sigma if sigma.ndim == 1 else pad_to_multiple(sigma, self._grid)
        height, width = x.shape[-2:]
        rows, columns = self._starts(height), self._starts(width)
        tall, wide = min(self.window, height), min(self.window, width)
        total, weights = torch.zeros_like(x), x.new_zeros(x.shape[0], 1, height, width)
        places = [(n, top, left) for n in range(x.shape[0]) for top in rows for left in columns]
        wanted = [place for place in places if self._is_wanted(*place, tall, wide)]
        for start in range(0, len(wanted), self.batch):
            group = wanted[start : start + self.batch]
            images = torch.tensor([n for n, _, _ in group], device=x.device)
            crops = _cut(x, group, tall, wide)
            levels = sigma[images] if sigma.ndim == 1 else _cut(sigma, group, tall, wide)
            results = self.prior(crops, levels, None if label is None else label[images])
            for (n, top, left), result in zip(group, results, strict=True):
                ramp = self._ramp(top, tall, height).to(x)[:, None] * self._ramp(left, wide, width).to(x)
                total[n, :, top : top + tall, left : left + wide] += ramp * result
                weights[n, :, top : top + tall, left : left + wide] += ramp
        blended = torch.where(weights > 0, total / weights.clamp(min=1e-12), x)
        return blended[..., : original.shape[-2], : original.shape[-1]]

    @property
    def _grid(self) -> int:
        return GRID if self.window % GRID == 0 else 1

    def _starts(self, length: int) -> list[int]:
        """First pixels of the windows along a side of the image."""
        if length <= self.window:
            return [0]
        count = math.ceil((length - self.overlap) / (self.window - self.overlap))
        return [i * (length - self.window) // (count - 1) // self._grid * self._grid for i in range(count)]

    def _ramp(self, start: int, side: int, length: int) -> Tensor:
        """Weights (side,) of a window along one axis: 1 inside, falling towards sides that lie inside the image."""
        place = torch.arange(side, dtype=torch.float64) + 0.5
        reach = max(self.overlap, 1)
        rise = torch.ones(side, dtype=torch.float64) if start == 0 else (place / reach).clamp(max=1)
        fall = (
            torch.ones(side, dtype=torch.float64) if start + side == length else ((side - place) / reach).clamp(max=1)
        )
        return torch.sin(torch.minimum(rise, fall) * math.pi / 2) ** 2

    def _is_wanted(self, n: int, top: int, left: int, tall: int, wide: int) -> bool:
        if self.where is None:
            return True
        image = self.where[n if self.where.shape[0] > 1 else 0]
        return bool(image[:, top : top + tall, left : left + wide].any())


def _cut(x: Tensor, group: list[tuple[int, int, int]], tall: int, wide: int) -> Tensor:
    return torch.stack([x[n, :, top : top + tall, left : left + wide] for n, top, left in group])


def only_where(prior: Denoiser, where: Tensor) -> Denoiser:
    """A prior that need not be evaluated away from `where`; one that is not tiled is returned as it is."""
    return prior.only_where(where) if isinstance(prior, Tiled) else prior
