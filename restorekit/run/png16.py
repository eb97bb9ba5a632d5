"""PNG files of 16 bits per channel, which Pillow writes only for grey images.

PNG specification, third edition: chunks (5), scanline filters (9), iCCP (11.3.2.3), eXIf (11.3.3.2).
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}


def encode_png16(pixels: NDArray[np.uint16], icc: bytes | None = None, exif: bytes | None = None) -> bytes:
    """Encode pixels (H, W, C) as a PNG file; C = 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA)."""
    height, width, channels = pixels.shape
    head = struct.pack(">IIBBBBB", width, height, 16, COLOUR_TYPES[channels], 0, 0, 0)
    rows = np.frombuffer(pixels.astype(">u2").tobytes(), np.uint8).reshape(height, -1)
    # Filter 2 (Up) subtracts the byte above from each byte, which compresses photos well.
    filtered: NDArray[Any] = np.empty((height, rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = 2
    filtered[:, 1:] = rows
    filtered[1:, 1:] -= rows[:-1]
    chunks = [_chunk(b"IHDR", head)]
    if icc:
        chunks.append(_chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc)))
    if exif:
        chunks.append(_chunk(b"eXIf", exif.removeprefix(b"Exif\0\0")))
    chunks.append(_chunk(b"IDAT", zlib.compress(filtered.tobytes(), 6)))
    chunks.append(_chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
