"""What accompanies the pixels of a photo, when a recipe gives it another size or other channels."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image

EXIF_DIRECTORY = 0x8769
# Tags that tell height and width: of TIFF's own directory, and of EXIF's.
HEIGHT_AND_WIDTH, PIXEL_HEIGHT_AND_WIDTH = (0x0101, 0x0100), (0xA003, 0xA002)
# Where an ICC profile names the colours that it is for (ICC.1:2022, table 17).
COLOURS = slice(16, 20)
CHANNELS = {b"GRAY": 1, b"RGB ": 3}


def resized_alpha(alpha: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Transparency (H, W) of 8 or 16 bits at another size, bicubic (anti-aliased where it shrinks)."""
    values = torch.from_numpy(alpha.astype(np.float32))[None, None]
    resized = F.interpolate(values, (height, width), mode="bicubic", antialias=True, align_corners=False)
    return resized[0, 0].round().clamp(0, np.iinfo(alpha.dtype).max).numpy().astype(alpha.dtype)


def exif_of_size(exif: bytes, height: int, width: int) -> bytes:
    """EXIF whose tags of height and width, where it has them, tell the new ones."""
    tags = Image.Exif()
    tags.load(exif)
    tags.update({tag: side for tag, side in zip(HEIGHT_AND_WIDTH, (height, width), strict=True) if tag in tags})
    inner = dict(tags.get_ifd(EXIF_DIRECTORY))
    if inner:
        pairs = zip(PIXEL_HEIGHT_AND_WIDTH, (height, width), strict=True)
        tags[EXIF_DIRECTORY] = inner | {tag: side for tag, side in pairs if tag in inner}
    return tags.tobytes()


def profile_suits(icc: bytes, channels: int) -> bool:
    """True unless the profile says that it is for another number of channels, 1 or 3."""
    return CHANNELS.get(icc[COLOURS], channels) == channels
