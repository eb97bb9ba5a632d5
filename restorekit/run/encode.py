"""Photos to the bytes of image files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL.PngImagePlugin import PngInfo

from restorekit.errors import ImageError
from restorekit.run.formats import Encoding, check_target, format_of, storable
from restorekit.run.jpeg import MIN_QUALITY
from restorekit.run.metadata import REFUSALS, XMP_KEYWORD
from restorekit.run.photo import Photo, to_pillow
from restorekit.run.png16 import encode_png16
from restorekit.run.tiff import encode_tiff


def encode_photo(photo: Photo, path: Path, encoding: Encoding | None = None) -> tuple[bytes, tuple[str, ...]]:
    """Encode a photo in the format of the suffix of `path`; raises the errors of `check_target`.

    Returns the bytes, and notes about metadata that the format does not store.
    """
    check_target(photo, path, encoding)
    name = format_of(path)
    kept = storable(photo, name)
    try:
        data = _encode(kept, name, encoding or Encoding())
    except MemoryError as error:
        raise ImageError(f"{path}: cannot be written (not enough memory)") from error
    except REFUSALS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{path}: cannot be written ({reason})") from error
    return data, kept.notes[len(photo.notes) :]


def _encode(photo: Photo, name: str, encoding: Encoding) -> bytes:
    if name == "TIFF":
        return encode_tiff(photo)
    if name == "PNG" and photo.pixels.dtype == np.uint16:
        return encode_png16(photo.stacked(), photo.icc, photo.exif, photo.dpi, png_texts(photo))
    options: dict[str, Any] = {"icc_profile": photo.icc, "exif": photo.exif, "dpi": photo.dpi}
    if name == "PNG":
        options["pnginfo"] = png_texts(photo)
    else:
        options["xmp"] = photo.xmp
    if name == "JPEG" and photo.text:
        options["comment"] = photo.text[0][1].encode()
    options |= _format_options(photo, name, encoding)
    image = to_pillow(photo)
    image.info.clear()
    buffer = io.BytesIO()
    image.save(buffer, name, **{key: value for key, value in options.items() if value is not None})
    return buffer.getvalue()


def _format_options(photo: Photo, name: str, encoding: Encoding) -> dict[str, Any]:
    """Return the options of Pillow's encoder."""
    quality = encoding.quality or MIN_QUALITY
    if name == "JPEG":
        return {"quality": encoding.quality or max(MIN_QUALITY, photo.jpeg_quality or 0), "subsampling": 0}
    if name == "WEBP":
        lossless = encoding.quality is None and encoding.lossless is not False
        return {"lossless": True, "exact": True} if lossless else {"quality": quality, "exact": True}
    if name == "AVIF":
        return {"quality": quality, "subsampling": "4:4:4"}
    if name == "HEIF":
        # Matrix 0 stores R, G and B themselves (ITU-T H.273, table 4).
        lossless_options = {"quality": -1, "matrix_coefficients": 0}
        return {"chroma": 444, **(lossless_options if encoding.lossless else {"quality": quality})}
    return {}


def png_texts(photo: Photo) -> PngInfo:
    """Return the texts and the XMP packet as chunks of a PNG file."""
    info = PngInfo()
    for keyword, text in photo.text:
        info.add_text(keyword, text)
    if photo.xmp:
        info.add_itxt(XMP_KEYWORD, photo.xmp.decode("utf-8", "replace"))
    return info
