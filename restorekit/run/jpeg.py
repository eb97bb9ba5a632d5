"""Quantisation tables and quality of JPEG files."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from restorekit.run.metadata import ORIENTATION, TRANSPOSED

BLOCK = 8
# Lowest quality at which photos are written by default.
MIN_QUALITY = 95


def read_tables(image: JpegImageFile) -> NDArray[np.float32] | None:
    """Return the quantisation steps of Y, Cb and Cr, (3, 8, 8), indexed by vertical and horizontal frequency.

    The steps are those of the upright photo, in grey levels of 8 bits. They are zero for planes that are not stored at
    the resolution of the photo. None if the file stores neither grey values nor YCbCr (CMYK, RGB), or if its blocks do
    not start in the upper left corner of the upright photo: it is rotated, and a side is not a multiple of 8.
    """
    orientation = image.getexif().get(ORIENTATION, 1)
    is_rotated = orientation in range(2, 9)
    samplings = [(horizontal, vertical) for _, horizontal, vertical, _ in image.layer]
    if image.mode not in ("L", "RGB") or _stores_rgb(image) or samplings[0] != max(samplings):
        return None
    if is_rotated and (image.width % BLOCK or image.height % BLOCK):
        return None
    tables = np.zeros((3, BLOCK, BLOCK), np.float32)
    for i, (_, horizontal, vertical, table) in enumerate(image.layer):
        if (horizontal, vertical) == samplings[0]:
            tables[i] = np.reshape(image.quantization[table], (BLOCK, BLOCK))
    return tables.transpose(0, 2, 1).copy() if orientation in TRANSPOSED else tables


def standard_tables(quality: int) -> NDArray[np.float32]:
    """Return the luma table of libjpeg at a quality from 1 to 100 and zeros for chroma, (3, 8, 8), see `read_tables`.

    Chroma is zero because the tables do not tell whether it was subsampled.
    """
    file = io.BytesIO()
    Image.new("L", (BLOCK, BLOCK)).save(file, "JPEG", quality=quality)
    file.seek(0)
    tables = read_tables(JpegImageFile(file))
    assert tables is not None
    return tables


def quality_of(image: JpegImageFile) -> int:
    """Return the lowest quality of libjpeg, at least 95, whose steps are nowhere larger than those of the file."""
    luma = [image.quantization[table] for _, _, _, table in image.layer[:1]]
    chroma = [image.quantization[table] for _, _, _, table in image.layer[1:]]
    for quality in range(MIN_QUALITY, 100):
        ours = _tables_at(quality)
        pairs = [(ours[0], table) for table in luma] + [(ours[1], table) for table in chroma]
        if all(np.less_equal(our, table).all() for our, table in pairs):
            return quality
    return 100


@cache
def _tables_at(quality: int) -> dict[int, list[int]]:
    """Return the tables of luma (0) and chroma (1) that libjpeg writes at a quality."""
    file = io.BytesIO()
    Image.new("RGB", (BLOCK, BLOCK)).save(file, "JPEG", quality=quality)
    file.seek(0)
    return dict(JpegImageFile(file).quantization)


def _stores_rgb(image: JpegImageFile) -> bool:
    """Return True if a file with three planes stores R, G and B; the rules are those of libjpeg."""
    if image.mode != "RGB" or "jfif" in image.info:
        return False
    names = bytes(name for name, *_ in image.layer)
    return image.info["adobe_transform"] == 0 if "adobe_transform" in image.info else names == b"RGB"
