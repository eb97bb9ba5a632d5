"""A real photo that requires no download."""

from __future__ import annotations

import torch
from skimage import data
from torch import Tensor

SIDE = 48
# A height and width that are not multiples of the stride of any network.
ODD = 37, 45
# Upper left corner of the face in scikit-image's `astronaut` (NASA, public domain).
TOP, LEFT = 60, 180


def photo(height: int = SIDE, width: int = SIDE, channels: int = 3) -> Tensor:
    """Return a crop of a photo, (1, channels, height, width) in [-1, 1].

    channels: 1 (grey) or 3. height, width: at most 450 and 330.
    """
    pixels = torch.from_numpy(data.astronaut()[TOP : TOP + height, LEFT : LEFT + width]).permute(2, 0, 1)[None]
    image = pixels.float() / 127.5 - 1
    return image if channels == 3 else image.mean(1, keepdim=True)


def other_photo(image: Tensor) -> Tensor:
    """Return a different photo: a mirrored image with lower brightness and contrast."""
    return 0.5 * image.flip(-1) - 0.3
