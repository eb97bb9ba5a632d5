"""Networks that map images to images, for images of any size and number of channels."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from restorekit.core.denoiser import Denoiser, PriorInfo
from restorekit.core.network import ImageNetwork, NetworkInfo
from restorekit.errors import ModelError, RestorekitWarning
from restorekit.priors.tiled import GRID, Tiled

# Default side of the tiles, and of those for networks for which tiles are discouraged.
WINDOW, LARGE_WINDOW = 512, 1024
# Largest overlap of neighbouring tiles.
MAX_OVERLAP = 64


class NetworkDenoiser(nn.Module):
    """A network in the form of a blind denoiser that ignores sigma, so that wrappers of denoisers apply to it.

    Its result has the number of channels and the size that the network determines.

    Arguments:
        network: an `ImageNetwork`.
    """

    def __init__(self, network: ImageNetwork) -> None:
        super().__init__()
        self.network = network
        self.info = PriorInfo(network.info.channels, None, 1.0, 1.0, blind=True)

    def forward(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the result of the network for x (N, C, H, W); sigma and label are ignored."""
        return self.network(x).float()


def _ignore_windows(done: int, total: int) -> None:
    """Do nothing; the default of `on_windows`."""


@dataclass(frozen=True)
class TiledNetwork:
    """A network for images of any size and number of channels, evaluated on overlapping windows.

    The windows are blended, so that there are no seams; the memory for the network is that of one window. A colour
    network receives three equal channels of a grey image, and the mean over the channels of its result is returned; a
    network of one channel receives the channels of a colour image one by one.

    Attributes:
        denoiser: a `NetworkDenoiser`, or a wrapper around one.
        info: the facts about the network.
        tile: side of the windows; None for the default (see `NetworkInfo.tiles`).
        batch: (side of the windows) -> number of windows that are evaluated at once.
        on_windows: called with the number of windows that are done and their total, in every evaluation.
    """

    denoiser: Denoiser
    info: NetworkInfo
    tile: int | None = None
    batch: Callable[[int], int] = field(default=lambda side: 1)
    on_windows: Callable[[int, int], None] = _ignore_windows

    def reporting(self, on_windows: Callable[[int, int], None]) -> TiledNetwork:
        """Return the same network with another `on_windows`."""
        return replace(self, on_windows=on_windows)

    @property
    def window(self) -> int | None:
        """Side of the windows; None if images are not split."""
        default = {"allowed": WINDOW, "discouraged": LARGE_WINDOW, "never": None}[self.info.tiles]
        return default if self.tile is None else self.tile

    def __call__(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return images (N, C, scale * H, scale * W) in [-1, 1].

        x: (N, C, H, W) in [-1, 1], C = 1 or 3. mask: (N or 1, 1, H, W), 1 at the pixels to fill and 0 elsewhere, for a
        network that receives one.
        """
        count, channels, info = len(x), x.shape[1], self.info
        if info.receives_mask != (mask is not None):
            raise ModelError(f"{info.name} receives {'a' if info.receives_mask else 'no'} mask")
        masks = None if mask is None else mask.expand(count, -1, -1, -1)
        if channels < info.channels:
            x = x.expand(-1, info.channels, -1, -1)
        elif channels > info.channels:
            x = x.reshape(count * channels, 1, *x.shape[-2:])
            masks = None if masks is None else masks.repeat_interleave(channels, 0)
        result = self._tiled(x if masks is None else torch.cat([x, masks.to(x)], 1))
        if channels < info.channels:
            return result.mean(1, keepdim=True)
        return result.reshape(count, channels, *result.shape[-2:])

    def _tiled(self, x: Tensor) -> Tensor:
        """Return the results for images with the channels of the network, evaluated on windows."""
        info, longest = self.info, max(x.shape[-2:])
        side = self.window or longest
        if info.tiles != "allowed" and longest > side:
            text = f"tiles of {side} pixels, which are discouraged for {info.name}: it uses remote pixels"
            warnings.warn(RestorekitWarning(f"evaluated in {text} (--tile sets their side)"), stacklevel=3)
        overlap = min(side // 4, MAX_OVERLAP)
        tiled = Tiled(
            self.denoiser,
            window=side,
            overlap=overlap,
            batch=self.batch(side),
            margin=max(0, (overlap - 2 * GRID) // 4),
            multiple=info.multiple,
            scale=info.scale,
            on_windows=self.on_windows,
        )
        return tiled(x, x.new_ones(len(x)))
