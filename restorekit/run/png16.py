"""PNG files of 16 bits per channel, which Pillow reads and writes only for grey images.

PNG specification, third edition: chunks (5), IHDR (11.2.1).
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Chunks that the decoder receives; libpng would print warnings about others.
DECODED = (b"IHDR", b"IDAT", b"IEND")
# Every row is predicted from the one above (filter Up), which compresses photos well.
COMPRESSION, FILTER_UP = 6, 0x20


def encode_png16(
    pixels: NDArray[np.uint16],
    icc: bytes | None = None,
    exif: bytes | None = None,
    dpi: tuple[float, float] | None = None,
    text: PngInfo | None = None,
) -> bytes:
    """Encode pixels (H, W, C) as a PNG file; C = 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA)."""
    metadata = io.BytesIO()
    found = {"icc_profile": icc, "exif": exif, "dpi": dpi, "pnginfo": text}
    Image.new("L", (1, 1)).save(metadata, "PNG", **{name: value for name, value in found.items() if value is not None})
    values = np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    image = bytes(imagecodecs.png_encode(values, level=COMPRESSION, filter=FILTER_UP))
    head, *body = [chunk for chunk in chunks(image) if chunk[0] in DECODED]
    extra = [chunk for chunk in chunks(metadata.getvalue()) if chunk[0] not in DECODED]
    return SIGNATURE + b"".join(make_chunk(*chunk) for chunk in (head, *extra, *body))


def decode_png16(data: bytes) -> NDArray[Any]:
    """Decode the pixels (H, W, C) of a PNG file; ValueError if it is damaged."""
    critical = [chunk for chunk in chunks(data) if chunk[0] in DECODED]
    try:
        pixels = imagecodecs.png_decode(SIGNATURE + b"".join(make_chunk(*chunk) for chunk in critical))
    except RuntimeError as error:
        raise ValueError(str(error)) from error
    return pixels.reshape(*pixels.shape[:2], -1)


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the type and the content of each chunk of a PNG file; ValueError for a wrong checksum."""
    position = len(SIGNATURE)
    while position < len(data):
        (size,) = struct.unpack_from(">I", data, position)
        end = position + 8 + size
        kind, content = data[position + 4 : position + 8], data[position + 8 : end]
        if zlib.crc32(kind + content) != struct.unpack_from(">I", data, end)[0]:
            raise ValueError(f"wrong checksum in the chunk {kind.decode('latin-1')!r}")
        yield kind, content
        if kind == b"IEND":
            return
        position = end + 4


def make_chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk: length, type, content and checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
