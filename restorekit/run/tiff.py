"""TIFF files: grey and RGB pixels of 8 and 16 bits, and metadata that Pillow cannot write to compressed files.

TIFF 6.0, section 2 (directories); Exif 2.32, section 4.6.3 (EXIF and GPS directories).
"""

from __future__ import annotations

import contextlib
import io
import logging
import struct
from typing import Any, BinaryIO, Literal

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from restorekit.run.limits import TIFF_RATIOS, check_segments
from restorekit.run.metadata import (
    DESCRIPTIVE,
    DIRECTORIES,
    ORIENTATION,
    REFUSALS,
    apply_orientation,
    clean_exif,
    clean_xmp,
    directory,
    load_exif,
)
from restorekit.run.photo import Photo, from_stacked

KINDS = tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.MINISWHITE
DEPTHS = {8: np.dtype(np.uint8), 16: np.dtype(np.uint16)}
XMP, ICC, RESOLUTION_UNIT = 700, 34675, 296
RESOLUTION = (282, 283)
CENTIMETRES_PER_INCH = 2.54
HEADERS = {"<": b"II\x2a\0" + bytes(4), ">": b"MM\0\x2a" + bytes(4)}
# Without a handler, logging prints the warnings of tifffile on standard error.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


def read_tiff(file: BinaryIO) -> Photo | None:
    """Read a TIFF file of 8 or 16 bits, grey or RGB, with or without alpha; None for files that only Pillow reads.

    These have palettes, other colour spaces, 1 bit, or other compressions of 8 bits, e.g. JPEG. Raises ValueError for
    other pixels, and for files of any kind whose strips or tiles are incomplete.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    with tifffile.TiffFile(file) as tiff:
        page = tiff.pages.first
        check_segments(page, size)
        is_plain = page.bitspersample == 8 and page.photometric in KINDS and page.compression in TIFF_RATIOS
        if page.dtype is None or page.dtype == np.bool_ or (page.dtype == np.uint8 and not is_plain):
            return None
        if len(tiff.pages) > 1:
            raise ValueError(f"{len(tiff.pages)} frames; allowed: 1")
        pixels = _pixels(page)
        tags = {tag.code: tag.value for tag in page.tags}
    pixels = apply_orientation(pixels, tags.get(ORIENTATION, 1))
    exif, notes = _read_exif(file, *pixels.shape[:2])
    icc, xmp = tags.get(ICC), tags.get(XMP)
    return from_stacked(
        pixels,
        icc=bytes(icc) if icc else None,
        exif=exif,
        notes=notes,
        xmp=clean_xmp(bytes(xmp)) if xmp else None,
        dpi=_dpi(tags),
    )


def _pixels(page: tifffile.TiffPage) -> NDArray[Any]:
    """Return (H, W, C) uint8 or uint16; raise ValueError for other pixel types."""
    if page.dtype != DEPTHS.get(page.bitspersample) or page.photometric not in KINDS:
        kind = tifffile.PHOTOMETRIC(page.photometric).name
        raise ValueError(
            f"TIFF pixels of {page.dtype}, {page.bitspersample} bits, {kind}; allowed: 8 or 16 bits, grey or RGB"
        )
    if tifffile.EXTRASAMPLE.ASSOCALPHA in page.extrasamples:
        raise ValueError("TIFF with premultiplied (associated) alpha; allowed: unassociated")
    if page.samplesperpixel > 4:
        raise ValueError(f"TIFF with {page.samplesperpixel} channels; allowed: 1 to 4")
    pixels = page.asarray()
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    elif page.planarconfig == tifffile.PLANARCONFIG.SEPARATE:
        pixels = np.moveaxis(pixels, 0, -1)
    if pixels.shape != (page.imagelength, page.imagewidth, page.samplesperpixel):
        raise ValueError(f"TIFF pixels of shape {pixels.shape}")
    if page.photometric != tifffile.PHOTOMETRIC.MINISWHITE:
        return pixels
    inverted = np.iinfo(pixels.dtype).max - pixels
    return np.dstack([inverted[..., :1], pixels[..., 1:]])


def _read_exif(file: BinaryIO, height: int, width: int) -> tuple[bytes | None, tuple[str, ...]]:
    file.seek(0)
    found = Image.Exif()
    try:
        found.load_from_fp(file)
        return clean_exif(found, height, width, only_descriptive=True), ()
    except REFUSALS:
        return None, ("the EXIF is damaged; it is dropped",)


def _dpi(tags: dict[int, Any]) -> tuple[float, float] | None:
    scale = {2: 1.0, 3: CENTIMETRES_PER_INCH}.get(tags.get(RESOLUTION_UNIT, 2))
    with contextlib.suppress(KeyError, TypeError, ValueError, ZeroDivisionError):
        x, y = (tags[tag][0] / tags[tag][1] for tag in RESOLUTION)
        return (x * scale, y * scale) if scale and x > 0 and y > 0 else None
    return None


def encode_tiff(photo: Photo) -> bytes:
    """Encode a photo of 8 or 16 bits, compressed with deflate, with all metadata except texts."""
    pixels = photo.stacked()
    tags = load_exif(photo.exif) if photo.exif else Image.Exif()
    order: Literal["<", ">"] = ">" if tags.endian == ">" else "<"
    inner = {tag: directory(tags, tag) for tag in DIRECTORIES if tag in tags}
    extra = [
        _extra_tag(tag, tags[tag]) for tag in sorted(DESCRIPTIVE.intersection(tags) - {*RESOLUTION, RESOLUTION_UNIT})
    ]
    if photo.xmp:
        extra.append((XMP, tifffile.DATATYPE.BYTE, len(photo.xmp), photo.xmp, True))
    # tifffile refuses these tags; `_append_directory` corrects the codes.
    extra += [(tag - 1, tifffile.DATATYPE.LONG, 1, 0, True) for tag in inner]
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        pixels[..., 0] if pixels.shape[2] == 1 else pixels,
        byteorder=order,  # that of the EXIF: Unicode comments have no byte order of their own
        bigtiff=False,
        photometric="rgb" if pixels.shape[2] >= 3 else "minisblack",
        extrasamples=("unassalpha",) if photo.alpha is not None else (),
        compression="deflate",
        iccprofile=photo.icc,
        resolution=photo.dpi,
        resolutionunit="inch" if photo.dpi else None,
        software=False,
        metadata=None,
        extratags=extra,
    )
    for tag, values in inner.items():
        _append_directory(buffer, tag, values, order)
    return buffer.getvalue()


def _extra_tag(tag: int, value: Any) -> tuple[int, int, int | None, Any, bool]:
    """Return a descriptive tag as tifffile takes it."""
    if isinstance(value, str):
        return tag, tifffile.DATATYPE.ASCII, None, value.encode(), True
    if isinstance(value, bytes):
        return tag, tifffile.DATATYPE.BYTE, len(value), value, True
    values = value if isinstance(value, tuple) else (value,)
    return tag, tifffile.DATATYPE.SHORT, len(values), values, True


def _append_directory(buffer: io.BytesIO, tag: int, values: dict[int, Any], order: Literal["<", ">"]) -> None:
    """Append a directory to the file, and replace the entry of code tag - 1 by one that points to it."""
    buffer.seek(0)
    with tifffile.TiffFile(buffer) as tiff:
        entry = tiff.pages.first.tags[tag - 1]
    content = ImageFileDirectory_v2(ifh=HEADERS[order], group=tag)
    for key, value in values.items():
        content[key] = value
    end = buffer.seek(0, io.SEEK_END)
    start = end + end % 2  # directories begin on word boundaries
    buffer.write(bytes(start - end) + content.tobytes(start))
    buffer.seek(entry.offset)
    buffer.write(struct.pack(order + "H", tag))
    buffer.seek(entry.valueoffset)
    buffer.write(struct.pack(order + "I", start))
