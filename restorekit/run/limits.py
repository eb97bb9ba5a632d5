"""Checks before decoding: regular files only, and no file that declares more than it can contain."""

from __future__ import annotations

import math
import re
import stat
import struct
from pathlib import Path
from typing import BinaryIO

import tifffile
from PIL import Image

from restorekit.errors import ImageError

# Largest ratio of decoded to stored bytes of deflate (zlib technical details) and upper bounds for LZW and PackBits.
DEFLATE, LZW, PACKBITS = 1032, 4096, 64
TIFF_RATIOS: dict[int, int] = {
    tifffile.COMPRESSION.NONE: 1,
    tifffile.COMPRESSION.LZW: LZW,
    tifffile.COMPRESSION.ADOBE_DEFLATE: DEFLATE,
    tifffile.COMPRESSION.DEFLATE: DEFLATE,
    tifffile.COMPRESSION.PACKBITS: PACKBITS,
}
# A Huffman-coded JPEG stores at least one bit for each block of 8 x 8 pixels.
JPEG_PIXELS_PER_BYTE = 8 * 64
# Progressive files of libjpeg have 10 scans. Each scan passes over the whole image, so hundreds take minutes: the limit
# is PIXELS_OF_SCANS / pixels, within MIN_SCANS and MAX_SCANS.
PIXELS_OF_SCANS, MIN_SCANS, MAX_SCANS = 2_000_000_000, 20, 100
# Markers within entropy-coded data: stuffed bytes and restarts do not end a scan (ITU-T T.81, B.1.1).
NEXT_MARKER = re.compile(rb"\xff+([^\x00\xd0-\xd7\xff])")
START_OF_SCAN, END_OF_IMAGE = 0xDA, 0xD9
ARITHMETIC = frozenset(range(0xC9, 0xD0)) - {0xCC}


def check_regular(path: Path) -> None:
    """Raise ImageError for pipes, devices and other files that are not regular: reading them may never end."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        kinds = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
        raise ImageError(f"{path}: found {kinds.get(stat.S_IFMT(mode), 'a special file')}, allowed: a regular file")


def check_declared_size(image: Image.Image, file: BinaryIO) -> None:
    """Raise ValueError if an opened file declares more pixels than its bytes can contain, or hundreds of scans."""
    data_size = file.seek(0, 2)
    file.seek(0)
    if image.format == "PNG":
        depth, colour_type = struct.unpack(">24xBB", file.read(26))
        channels = {2: 3, 4: 2, 6: 4}.get(colour_type, 1)
        _check_bytes(image.width * image.height * depth * channels / 8, DEFLATE * data_size, image.size, data_size)
    elif image.format in ("JPEG", "MPO"):
        scans, is_arithmetic = read_scans(file.read())
        allowed = min(MAX_SCANS, max(MIN_SCANS, PIXELS_OF_SCANS // (image.width * image.height)))
        if scans > allowed:
            raise ValueError(f"{scans} scans of {image.width} x {image.height} pixels; allowed: {allowed}")
        if not is_arithmetic:
            _check_bytes(image.width * image.height, JPEG_PIXELS_PER_BYTE * data_size, image.size, data_size)
    file.seek(0)


def read_scans(data: bytes) -> tuple[int, bool]:
    """Return the number of scans of the first image in a JPEG file, and whether it is arithmetically coded."""
    scans, is_arithmetic, position = 0, False, 2
    while found := NEXT_MARKER.search(data, position):
        marker, position = found[1][0], found.end()
        if marker == END_OF_IMAGE or scans > 10 * MAX_SCANS:
            break
        scans += marker == START_OF_SCAN
        is_arithmetic |= marker in ARITHMETIC
        if position + 2 <= len(data):
            position += struct.unpack_from(">H", data, position)[0]
    return scans, is_arithmetic


def check_segments(page: tifffile.TiffPage, data_size: int) -> None:
    """Raise ValueError if strips or tiles of a TIFF page are missing or too small for the size that it declares."""
    size = (page.imagewidth, page.imagelength)
    if Image.MAX_IMAGE_PIXELS is not None and math.prod(size) > 2 * Image.MAX_IMAGE_PIXELS:
        raise ValueError(f"{size[0]} x {size[1]} pixels; allowed: {2 * Image.MAX_IMAGE_PIXELS} in total")
    needed = math.prod(page.chunked)
    kind = "tiles" if page.is_tiled else "strips"
    segments = list(zip(page.dataoffsets, page.databytecounts, strict=False))
    if len(segments) < needed:
        raise ValueError(f"{len(segments)} of {needed} {kind}")
    if any(not offset or not size or offset + size > data_size for offset, size in segments[:needed]):
        raise ValueError(f"{kind} lie outside the file")
    stored = sum(size for _, size in segments[:needed])
    if stored > data_size:
        raise ValueError(f"{kind} overlap")
    is_subsampled = page.photometric == tifffile.PHOTOMETRIC.YCBCR
    ratio = TIFF_RATIOS.get(page.compression)
    if ratio is not None and not is_subsampled:
        bits = page.bitspersample if isinstance(page.bitspersample, int) else max(page.bitspersample)
        _check_bytes(math.prod(size) * page.samplesperpixel * bits / 8, ratio * stored, size, stored)


def _check_bytes(declared: float, possible: int, size: tuple[int, int], stored: int) -> None:
    if declared > possible:
        raise ValueError(f"{size[0]} x {size[1]} pixels cannot be stored in {stored} bytes")
