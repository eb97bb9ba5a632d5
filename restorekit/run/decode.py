"""Image files and PIL images to photos."""

from __future__ import annotations

import io
import zlib
from dataclasses import replace
from typing import Any, BinaryIO

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from restorekit.core.files import IMAGE_SUFFIXES, readable_formats
from restorekit.core.thread_warnings import record_warnings
from restorekit.errors import ImageError
from restorekit.run.formats import HEIF_EXTRA
from restorekit.run.jpeg import quality_of, read_tables
from restorekit.run.limits import check_declared_size
from restorekit.run.metadata import REFUSALS, apply_orientation, orientation_of, read_metadata, transparent_colour_note
from restorekit.run.photo import Photo, from_stacked
from restorekit.run.png16 import decode_png16
from restorekit.run.tiff import read_tiff

# Position of the bit depth in a PNG file (PNG, third edition, 11.2.1).
PNG_DEPTH = 24
# Positions of bit depths after a marker: Ssiz in the SIZ segment of JPEG 2000 (ITU-T T.800, A.5.1), and the third byte
# of the box av1C of AVIF (AV1 Codec ISO Media File Format Binding, 2.3.3) with two flags.
DEPTH_FIELDS = {"JPEG2000": (b"\xff\x4f\xff\x51", 42), "AVIF": (b"av1C", 6)}
HIGH_BIT_DEPTH, TWELVE_BIT = 0x40, 0x20
HEADER_BYTES = 65536
# Formats whose files may contain other images after the photo: previews, bursts.
CONTAINERS = ("MPO", "HEIF")
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")
TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Exceptions that the decoders raise for a damaged file.
DAMAGE = (*REFUSALS, EOFError, AssertionError, zlib.error, tifffile.TiffFileError)


def decode_photo(file: BinaryIO, suffix: str, where: str) -> Photo:
    """Read the image in a seekable file; ImageError if it cannot be read without loss.

    The content determines the format; if the suffix is of another one, a note reports it. `where` names the file in
    messages.
    """
    allowed = f"allowed: {', '.join(sorted(IMAGE_SUFFIXES))}"
    try:
        with record_warnings(Warning) as caught:
            photo = _decode(file, suffix)
    except UnidentifiedImageError:
        raise ImageError(f"{where}: not a readable image; {allowed}") from None
    except Image.DecompressionBombError as error:
        raise ImageError(f"{where}: {error}") from error
    except MemoryError as error:
        raise ImageError(f"{where}: not enough memory to read this file") from error
    except DAMAGE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{where}: damaged, truncated or unsupported ({reason})") from error
    except ImageError as error:
        raise ImageError(f"{where}: {error}") from error
    found = (" ".join(str(w).split()) for w in caught if not isinstance(w, Image.DecompressionBombWarning))
    return replace(photo, notes=(*photo.notes, *dict.fromkeys(found)))


def _decode(file: BinaryIO, suffix: str) -> Photo:
    expected = IMAGE_SUFFIXES.get(suffix.lower())
    head = file.read(12)
    file.seek(0)
    is_heif = head[4:8] == b"ftyp" and head[8:12] in HEIF_BRANDS
    if is_heif and "HEIF" not in readable_formats():
        raise ImageError(HEIF_EXTRA)
    if head.startswith(TIFF_SIGNATURES):
        # Pillow reduces some TIFF files of 16 bits to 8, does not open others, and libtiff prints its warnings.
        photo, name = read_tiff(file), "TIFF"
        file.seek(0)
        if photo is not None:
            return _with_suffix_note(photo, name, expected)
    with Image.open(file, formats=readable_formats()) as image:
        name = "JPEG" if image.format == "MPO" else str(image.format)
        frames = getattr(image, "n_frames", 1)
        if frames > 1 and image.format not in CONTAINERS:
            raise ImageError(f"found {frames} frames, allowed: 1")
        check_declared_size(image, file)
        photo = decode_image(image)
        if name == "PNG":
            photo = _with_16_bits(photo, image, file)
        if frames > 1:
            # Cameras store previews in the same file.
            photo = replace(photo, notes=(*photo.notes, f"the file contains {frames} images; only the first is kept"))
        photo = replace(photo, notes=photo.notes + _depth_notes(image, file))
    return _with_suffix_note(photo, name, expected)


def _with_suffix_note(photo: Photo, name: str, expected: str | None) -> Photo:
    """Return the photo, with a note if the suffix is that of another format."""
    if expected in (None, name):
        return photo
    return replace(photo, notes=(*photo.notes, f"the content is {name}, but the suffix is that of {expected}"))


def decode_image(image: Image.Image) -> Photo:
    """Read images of 8 bits per channel, and grey images of 16, upright."""
    image.load()
    orientation = orientation_of(image)
    tables = read_tables(image) if isinstance(image, JpegImageFile) else None
    quality = quality_of(image) if isinstance(image, JpegImageFile) else None
    icc: bytes | None = image.info.get("icc_profile") or None
    notes: tuple[str, ...]
    if image.mode in ("F", "I", "1") or image.mode.startswith("I;16"):
        values, notes = _single_channel(image), transparent_colour_note(image)
    else:
        values, icc, notes = _channels(image, icc)
    values = apply_orientation(values, orientation)
    metadata = read_metadata(image, *values.shape[:2])
    metadata |= {"icc": icc, "notes": notes + metadata["notes"]}
    return from_stacked(values, **metadata, jpeg_tables=tables, jpeg_quality=quality)


def _single_channel(image: Image.Image) -> NDArray[Any]:
    """Return (H, W, 1) of one-channel images that are not 8 bits deep."""
    if image.mode == "1":
        return np.asarray(image.convert("L"))[..., None]
    if image.mode == "F":
        raise ValueError("floating-point pixels; allowed: 8 or 16 bits")
    pixels = np.asarray(image)
    if pixels.min(initial=0) < 0 or pixels.max(initial=0) > np.iinfo(np.uint16).max:
        raise ValueError("32-bit pixels; allowed: 8 or 16 bits per channel")
    return pixels.astype(np.uint16)[..., None]


def _channels(image: Image.Image, icc: bytes | None) -> tuple[NDArray[Any], bytes | None, tuple[str, ...]]:
    """Return pixels of 8 bits (H, W, 1 to 4), the colour profile, and notes about conversions."""
    notes: tuple[str, ...] = ()
    if image.mode in ("RGBX", "RGBa", "La"):
        raise ValueError(f"pixel mode {image.mode}")
    transparent = image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info
    if image.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
        notes = (f"{image.mode} was converted to RGB",)
        image, icc = _to_rgb(image, icc)
    elif image.mode in ("P", "PA"):
        notes = ("the palette was converted to RGB",)
    grey = image.mode in ("L", "LA")
    pixels = np.asarray(image.convert(("LA" if grey else "RGBA") if transparent else ("L" if grey else "RGB")))
    return pixels.reshape(*pixels.shape[:2], -1), icc, notes


def _to_rgb(image: Image.Image, icc: bytes | None) -> tuple[Image.Image, bytes | None]:
    """Convert an image of another colour space to sRGB, through its profile if it has one."""
    if icc is not None:
        target = ImageCms.createProfile("sRGB")
        source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        try:
            converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
        except ImageCms.PyCMSError as error:
            raise ValueError(f"the colour profile cannot be applied: {error}") from error
        if converted is not None:
            return converted, ImageCms.ImageCmsProfile(target).tobytes()
    return image.convert("RGB"), None


def _with_16_bits(photo: Photo, image: Image.Image, file: BinaryIO) -> Photo:
    """Return the photo with the pixels of a 16-bit PNG, which Pillow reduced to 8 bits unless it is grey."""
    file.seek(0)
    data = file.read()
    if data[PNG_DEPTH] != 16 or image.mode not in ("RGB", "RGBA", "LA"):
        return photo
    deep = from_stacked(apply_orientation(decode_png16(data), orientation_of(image)))
    notes = photo.notes + transparent_colour_note(image)
    return replace(photo, pixels=deep.pixels, alpha=deep.alpha, notes=notes)


def _depth_notes(image: Image.Image, file: BinaryIO) -> tuple[str, ...]:
    """Return a note if Pillow reduced an AVIF, HEIF or JPEG 2000 image to 8 bits."""
    depth = int(image.info.get("bit_depth", 8)) if image.format == "HEIF" else 8
    if image.format in DEPTH_FIELDS and not image.mode.startswith("I"):
        file.seek(0)
        marker, offset = DEPTH_FIELDS[image.format]
        data = file.read(HEADER_BYTES)
        start = data.find(marker)
        field = data[start + offset] if 0 <= start < len(data) - offset else 0
        if image.format == "JPEG2000":
            depth = (field & 0x7F) + 1
        elif field & HIGH_BIT_DEPTH:
            depth = 12 if field & TWELVE_BIT else 10
    return (f"{depth} bits per channel were reduced to 8",) if depth > 8 else ()
