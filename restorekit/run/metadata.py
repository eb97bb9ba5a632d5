"""Metadata of photos: orientation, EXIF, ICC profile and alpha; adapts them to results of another size."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image

ORIENTATION = 0x0112
EXIF_DIRECTORY, GPS_DIRECTORY = 0x8769, 0x8825
DIRECTORIES = {EXIF_DIRECTORY, GPS_DIRECTORY}
# TIFF tags that describe the photo rather than the file: description, make, model, resolution, software, date, artist,
# copyright.
DESCRIPTIVE = {270, 271, 272, 282, 283, 296, 305, 306, 315, 33432}
# Tags of height and width, in the TIFF directory and in the EXIF directory.
HEIGHT_AND_WIDTH, PIXEL_HEIGHT_AND_WIDTH = (0x0101, 0x0100), (0xA003, 0xA002)
# Position of the colour space in an ICC profile (ICC.1:2022, table 17).
COLOUR_SPACE = slice(16, 20)
CHANNELS = {b"GRAY": 1, b"RGB ": 3}


def resize_alpha(alpha: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Resize an alpha channel (H, W) of 8 or 16 bits, bicubic, anti-aliased where it shrinks."""
    values = torch.from_numpy(alpha.astype(np.float32))[None, None]
    resized = F.interpolate(values, (height, width), mode="bicubic", antialias=True, align_corners=False)
    return resized[0, 0].round().clamp(0, np.iinfo(alpha.dtype).max).numpy().astype(alpha.dtype)


def with_size(exif: bytes, height: int, width: int) -> bytes:
    """Return the EXIF with its tags of height and width, if present, updated."""
    tags = Image.Exif()
    tags.load(exif)
    tags.update({tag: side for tag, side in zip(HEIGHT_AND_WIDTH, (height, width), strict=True) if tag in tags})
    inner = dict(tags.get_ifd(EXIF_DIRECTORY))
    if inner:
        pairs = zip(PIXEL_HEIGHT_AND_WIDTH, (height, width), strict=True)
        tags[EXIF_DIRECTORY] = inner | {tag: side for tag, side in pairs if tag in inner}
    return tags.tobytes()


def profile_fits(icc: bytes, channels: int) -> bool:
    """Return False if the ICC profile is for grey or RGB images with another number of channels."""
    return CHANNELS.get(icc[COLOUR_SPACE], channels) == channels


def read_metadata(image: Image.Image) -> dict[str, Any]:
    """Return the ICC profile and the EXIF, without the orientation and without the tags of a TIFF's layout."""
    found, kept = image.getexif(), Image.Exif()
    for tag in found:
        if tag != ORIENTATION and (image.format != "TIFF" or tag in DESCRIPTIVE or tag in DIRECTORIES):
            kept[tag] = found.get_ifd(tag) if tag in DIRECTORIES else found[tag]
    return {"icc": image.info.get("icc_profile"), "exif": kept.tobytes() if len(kept) else None}


def transparent_colour_note(image: Image.Image) -> tuple[str, ...]:
    """Return a note if the image marks transparent pixels by a colour."""
    return ("the transparent colour is dropped",) if "transparency" in image.info else ()


def apply_orientation(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Apply an EXIF orientation (1 to 8) to pixels (H, W, C)."""
    flipped = pixels[:, ::-1] if orientation in (2, 4, 5, 7) else pixels
    rotations = {3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}.get(orientation, 0)
    return np.rot90(flipped, rotations)
