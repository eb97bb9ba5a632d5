"""Networks that map images to images, such as those for super-resolution: not denoisers D(x, sigma)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, get_args, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor

Tiles = Literal["allowed", "discouraged", "never"]


@dataclass(frozen=True)
class NetworkInfo:
    """The facts about a network that maps images to images.

    Attributes:
        channels: number of channels of the images that it receives and returns, 1 or 3.
        scale: factor by which its result is higher and wider.
        multiple: the network pads images whose sides are no multiples of this; tiles are chosen accordingly.
        tiles: "allowed": large images are evaluated in tiles; "discouraged": in larger ones, with a note, since the
            result at a pixel depends on remote pixels; "never": always as a whole, unless the user sets `--tile`.
        receives_mask: whether it receives a mask as a last, additional channel, 1 at the pixels to fill, 0 elsewhere.
        name: name for messages.
    """

    channels: int
    scale: int = 1
    multiple: int = 1
    tiles: Tiles = "allowed"
    receives_mask: bool = False
    name: str = "the network"

    def __post_init__(self) -> None:
        for field, is_valid, allowed in (
            ("channels", self.channels in (1, 3), "1 or 3"),
            ("scale", isinstance(self.scale, int) and self.scale >= 1, "an integer >= 1"),
            ("multiple", isinstance(self.multiple, int) and self.multiple >= 1, "an integer >= 1"),
            ("tiles", self.tiles in get_args(Tiles), ", ".join(get_args(Tiles))),
        ):
            if not is_valid:
                raise ValueError(f"NetworkInfo: {field} is {getattr(self, field)!r}, allowed: {allowed}")


@runtime_checkable
class ImageNetwork(Protocol):
    """A network that maps images of any size to images; the images of a batch are independent.

    Attributes:
        info: the facts about the network.
    """

    info: NetworkInfo

    def __call__(self, x: Tensor) -> Tensor:
        """Return images (N, channels, scale * H, scale * W) in [-1, 1], float32.

        x: (N, channels, H, W) in [-1, 1]; with `receives_mask` (N, channels + 1, H, W), the last of them the mask.
        """
        ...
