"""A real photo that is always at hand."""

from __future__ import annotations

import torch
from skimage import data
from torch import Tensor

SIDE = 48
# A size that no network's strides divide.
ODD = 37, 45
# Rows and columns of scikit-image's astronaut (NASA, public domain) where her face begins.
TOP, LEFT = 60, 180


def photo(height: int = SIDE, width: int = SIDE, channels: int = 3) -> Tensor:
    """A part of a photo, (1, channels, height, width) in [-1, 1]; channels 1 (grey) or 3; at most 450 x 330."""
    pixels = torch.from_numpy(data.astronaut()[TOP : TOP + height, LEFT : LEFT + width]).permute(2, 0, 1)[None]
    image = pixels.float() / 127.5 - 1
    return image if channels == 3 else image.mean(1, keepdim=True)


def another(image: Tensor) -> Tensor:
    """A photo made of another, with a brightness and contrast of its own."""
    return 0.5 * image.flip(-1) - 0.3
