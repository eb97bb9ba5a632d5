"""A prior that sees the image turned or mirrored."""

from __future__ import annotations

import torch
from torch import Tensor

from restorekit.core.denoiser import Denoiser
from restorekit.priors.tiled import Tiled

# Quarter turns, mirrored or not.
TURNS = 8


class Turned:
    """D of the turned image, turned back: way 0 to 3 are quarter turns, 4 to 7 come after a mirror.

    A trained network prefers some directions by accident; iterations that see the image another way each time let
    these errors cancel.
    """

    def __init__(self, prior: Denoiser, way: int) -> None:
        if not 0 <= way < TURNS:
            raise ValueError(f"Turned: way {way}, allowed: 0 to {TURNS - 1}")
        self.prior, self.way = prior, way
        self.channels, self.size, self.levels, self.classes = prior.channels, prior.size, prior.levels, prior.classes
        self.sigma_min, self.sigma_max = prior.sigma_min, prior.sigma_max
        self.partial_noise, self.fills = prior.partial_noise, prior.fills

    def _turn(self, x: Tensor) -> Tensor:
        return torch.rot90(x.flip(-1) if self.way >= TURNS // 2 else x, self.way % 4, (-2, -1))

    def _back(self, x: Tensor) -> Tensor:
        x = torch.rot90(x, -(self.way % 4), (-2, -1))
        return x.flip(-1) if self.way >= TURNS // 2 else x

    def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        """x (N, C, H, W), sigma (N,) or a map, label (N,) or None."""
        level = sigma if sigma.ndim == 1 else self._turn(sigma)
        return self._back(self.prior(self._turn(x), level, label))


def turned(prior: Denoiser, way: int) -> Denoiser:
    """The prior that sees the image turned; of one that is tiled, every window."""
    return prior.over(Turned(prior.prior, way)) if isinstance(prior, Tiled) else Turned(prior, way)
