"""Metadata of photos: orientation, EXIF, XMP, text, ICC profile and alpha; adapts them to results of another size."""

from __future__ import annotations

import contextlib
import re
import struct
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image

ORIENTATION = 0x0112
EXIF_DIRECTORY, GPS_DIRECTORY, INTEROP_DIRECTORY = 0x8769, 0x8825, 0xA005
DIRECTORIES = (EXIF_DIRECTORY, GPS_DIRECTORY)
# TIFF tags that describe the photo rather than the file: description, make, model, resolution, software, date, artist,
# rating, copyright, and title, comment, author, keywords and subject of Windows.
DESCRIPTIVE = {270, 271, 272, 282, 283, 296, 305, 306, 315, 18246, 18249, 33432, *range(40091, 40096)}
# Tags of height and width, in the TIFF directory and in the EXIF directory.
HEIGHT_AND_WIDTH, PIXEL_HEIGHT_AND_WIDTH = (0x0101, 0x0100), (0xA003, 0xA002)
# EXIF orientations that swap rows and columns.
TRANSPOSED = (5, 6, 7, 8)
XMP_ORIENTATION = re.compile(rb"(tiff:Orientation\s*(?:=\s*[\"']|>)\s*)[1-8]")
XMP_KEYWORD = "XML:com.adobe.xmp"
# Texts in which ImageMagick stores the EXIF of a PNG; Pillow decodes them.
EXIF_KEYWORDS = ("Raw profile type exif", "Raw profile type APP1")
# Position of the colour space in an ICC profile (ICC.1:2022, table 17).
COLOUR_SPACE = slice(16, 20)
CHANNELS = {b"GRAY": 1, b"RGB ": 3}
# Exceptions of Pillow and tifffile for damaged contents, and for metadata or sizes that a format cannot store.
REFUSALS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    RuntimeError,
    struct.error,
)


def resize_alpha(alpha: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Resize an alpha channel (H, W) of 8 or 16 bits, bicubic, anti-aliased where it shrinks."""
    values = torch.from_numpy(alpha.astype(np.float32))[None, None]
    resized = F.interpolate(values, (height, width), mode="bicubic", antialias=True, align_corners=False)
    return resized[0, 0].round().clamp(0, np.iinfo(alpha.dtype).max).numpy().astype(alpha.dtype)


def load_exif(data: bytes) -> Image.Exif:
    """Return the tags of EXIF bytes."""
    tags = Image.Exif()
    tags.load(data)
    return tags


def with_size(exif: bytes, height: int, width: int) -> bytes:
    """Return the EXIF with its tags of height and width, if present, updated."""
    tags = load_exif(exif)
    tags.update({tag: side for tag, side in zip(HEIGHT_AND_WIDTH, (height, width), strict=True) if tag in tags})
    if EXIF_DIRECTORY in tags:
        inner = directory(tags, EXIF_DIRECTORY)
        pairs = zip(PIXEL_HEIGHT_AND_WIDTH, (height, width), strict=True)
        tags[EXIF_DIRECTORY] = inner | {tag: side for tag, side in pairs if tag in inner}
    if GPS_DIRECTORY in tags:
        tags[GPS_DIRECTORY] = directory(tags, GPS_DIRECTORY)
    return tags.tobytes()


def directory(tags: Image.Exif, tag: int) -> dict[int, Any]:
    """Return the EXIF or the GPS directory; the directory of interoperability in it is resolved."""
    found = dict(tags.get_ifd(tag))
    if INTEROP_DIRECTORY in found:
        found[INTEROP_DIRECTORY] = dict(tags.get_ifd(INTEROP_DIRECTORY))
    return found


def profile_fits(icc: bytes, channels: int) -> bool:
    """Return False if the ICC profile is for grey or RGB images with another number of channels."""
    return CHANNELS.get(icc[COLOUR_SPACE], channels) == channels


def orientation_of(image: Image.Image) -> int:
    """Return the EXIF orientation of a loaded image that Pillow has not applied yet: 1 to 8, 1 if it is damaged."""
    with contextlib.suppress(*REFUSALS):
        orientation = image.getexif().get(ORIENTATION, 1)
        return orientation if orientation in range(1, 9) else 1
    return 1


def read_metadata(image: Image.Image, height: int, width: int) -> dict[str, Any]:
    """Return the metadata of a loaded image whose upright size is height x width, as arguments of `Photo`."""
    exif: bytes | None = None
    notes: tuple[str, ...] = ()
    try:
        exif = clean_exif(image.getexif(), height, width, only_descriptive=image.format == "TIFF")
    except REFUSALS:
        notes = ("the EXIF is damaged; it is dropped",)
    return {
        "icc": image.info.get("icc_profile") or None,
        "exif": exif,
        "xmp": clean_xmp(image.info.get("xmp")),
        "dpi": _dpi(image.info.get("dpi")),
        "text": _text(image),
        "notes": notes,
    }


def clean_exif(found: Image.Exif, height: int, width: int, only_descriptive: bool) -> bytes | None:
    """Return EXIF without the orientation, with the size updated, and without the tags of a TIFF's layout."""
    kept = Image.Exif()
    kept.endian = found.endian  # Unicode comments have no byte order of their own
    for tag in found:
        if tag in DIRECTORIES:
            kept[tag] = directory(found, tag)
        elif tag != ORIENTATION and (not only_descriptive or tag in DESCRIPTIVE):
            kept[tag] = found[tag]
    return with_size(kept.tobytes(), height, width) if len(kept) else None


def clean_xmp(xmp: bytes | str | None) -> bytes | None:
    """Return the XMP packet with orientation 1."""
    data = xmp.encode() if isinstance(xmp, str) else xmp
    return XMP_ORIENTATION.sub(rb"\g<1>1", data) if data else None


def _dpi(found: Any) -> tuple[float, float] | None:
    with contextlib.suppress(TypeError, ValueError, ArithmeticError):
        x, y = (float(value) for value in found)
        return (x, y) if 0 < x < 1e6 and 0 < y < 1e6 else None
    return None


def _text(image: Image.Image) -> tuple[tuple[str, str], ...]:
    if image.format in ("JPEG", "MPO") and "comment" in image.info:
        return (("Comment", image.info["comment"].decode("utf-8", "replace").rstrip("\0")),)
    texts = getattr(image, "text", {}) if image.format == "PNG" else {}
    return tuple((key, text) for key, text in texts.items() if key != XMP_KEYWORD and key not in EXIF_KEYWORDS)


def transparent_colour_note(image: Image.Image) -> tuple[str, ...]:
    """Return a note if the image marks transparent pixels by a colour."""
    return ("the transparent colour is dropped",) if "transparency" in image.info else ()


def apply_orientation(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Apply an EXIF orientation (1 to 8) to pixels (H, W, C)."""
    flipped = pixels[:, ::-1] if orientation in (2, 4, 5, 7) else pixels
    rotations = {3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}.get(orientation, 0)
    return np.rot90(flipped, rotations)
