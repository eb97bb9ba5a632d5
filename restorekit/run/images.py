"""Conversion of image files to tensors and back.

Size, format, bit depth, grey or colour, alpha, ICC profile and EXIF are kept.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile
from torch import Tensor
from torchvision.io import ImageReadMode, decode_image

from restorekit.core.files import IMAGE_SUFFIXES, atomic_path
from restorekit.errors import ImageError, OptionError, unknown
from restorekit.run.jpeg import read_tables
from restorekit.run.metadata import (
    ORIENTATION,
    apply_orientation,
    profile_fits,
    read_metadata,
    resize_alpha,
    transparent_colour_note,
    with_size,
)
from restorekit.run.png16 import encode_png16

PHOTOMETRIC = 0x0106
# Exceptions that the decoders raise for a damaged file.
DAMAGE = (OSError, SyntaxError, ValueError, EOFError, TypeError, KeyError, IndexError, struct.error, zlib.error)
SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True, "exact": True},
    "TIFF": {"compression": "tiff_deflate"},
}


@dataclass(frozen=True)
class Photo:
    """An image with its stored pixel values, upright.

    Attributes:
        pixels: (H, W, 1 or 3) uint8 or uint16.
        alpha: (H, W) of the same type, or None.
        icc, exif: metadata to write back; the orientation is already applied and removed.
        notes: changes that were made while reading, one line each.
        jpeg_tables: (3, 8, 8) float32, quantisation steps of a JPEG file, see `read_tables`; or None.
    """

    pixels: NDArray[Any]
    alpha: NDArray[Any] | None = None
    icc: bytes | None = None
    exif: bytes | None = None
    notes: tuple[str, ...] = ()
    jpeg_tables: NDArray[np.float32] | None = None

    @property
    def max_value(self) -> int:
        """Largest pixel value: 255 or 65535."""
        return int(np.iinfo(self.pixels.dtype).max)

    def tensor(self) -> Tensor:
        """Return the pixels as (1, C, H, W) float32 in [-1, 1]."""
        values = self.pixels.astype(np.float32) / (self.max_value / 2) - 1
        return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))[None]

    def with_tensor(self, x: Tensor) -> Photo:
        """Return the photo with pixels from x (C, H, W) in [-1, 1], rounded and clamped.

        C, H and W may differ from those of the photo: alpha is resized, the size in the EXIF is updated, and a colour
        profile for another number of channels is dropped, with a note.
        """
        if not torch.isfinite(x).all():
            raise ImageError("the result contains values that are not finite; nothing is written")
        values = ((x.detach().double().cpu() + 1) * (self.max_value / 2)).round().clamp(0, self.max_value)
        pixels = values.numpy().transpose(1, 2, 0).astype(self.pixels.dtype)
        height, width, channels = pixels.shape
        alpha, icc, exif, notes = self.alpha, self.icc, self.exif, self.notes
        if (height, width) != self.pixels.shape[:2]:
            alpha = None if alpha is None else resize_alpha(alpha, height, width)
            exif = None if exif is None else with_size(exif, height, width)
        if icc is not None and channels != self.pixels.shape[2] and not profile_fits(icc, channels):
            kinds = ("grey", "colour") if channels == 3 else ("colour", "grey")
            note = "the colour profile is for {} images, but the result is {}; the profile is dropped".format(*kinds)
            icc, notes = None, (*notes, note)
        return Photo(np.ascontiguousarray(pixels), alpha, icc, exif, notes)


def read_photo(path: Path) -> Photo:
    """Read an image file; raise ImageError if it cannot be read without loss."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                frames = getattr(image, "n_frames", 1)
                if frames > 1 and image.format != "MPO":
                    raise ImageError(f"{path}: found {frames} frames, allowed: 1")
                photo = _read_deep(path, image) or _read_pillow(image)
                # Cameras store a preview in the same JPEG file.
                previews = (f"the file contains {frames} images; only the first is kept",) if frames > 1 else ()
                return replace(photo, notes=photo.notes + previews)
    except (FileNotFoundError, IsADirectoryError):
        raise ImageError(f"{path}: no such file (in {Path.cwd()})") from None
    except UnidentifiedImageError:
        raise ImageError(f"{path}: not a readable image; allowed: {', '.join(sorted(IMAGE_SUFFIXES))}") from None
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path}: {error}") from error
    except DAMAGE as error:
        raise ImageError(f"{path}: damaged, truncated or unsupported ({error})") from error


def from_pillow(image: Image.Image) -> Photo:
    """Return the photo in a PIL image, upright; raise ImageError for more than 8 bits per channel."""
    if image.mode.startswith(("I", "F")):
        raise ImageError(f"PIL image of mode {image.mode}; allowed: 8 bits per channel (pass a path or a tensor)")
    return _read_pillow(image)


def to_pillow(photo: Photo) -> Image.Image:
    """Return a PIL image of 8 bits per channel, with ICC profile and EXIF in `info`."""
    pixels = _stacked(photo)
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    found = {"icc_profile": photo.icc, "exif": photo.exif}
    image.info.update({name: value for name, value in found.items() if value is not None})
    return image


def _read_pillow(image: Image.Image) -> Photo:
    """Read images of 8 bits per channel, and grey images of 16."""
    notes = []
    negative = image.format == "TIFF" and image.tag_v2.get(PHOTOMETRIC) == 0  # type: ignore[attr-defined]
    image.load()
    meta = read_metadata(image)
    tables = read_tables(image) if isinstance(image, JpegImageFile) else None
    image = ImageOps.exif_transpose(image)
    if image.mode in ("F", "I", "1") or image.mode.startswith("I;16"):
        return _read_single(image, meta, negative)
    if image.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
        notes.append(f"{image.mode} was converted to RGB")
        image, meta["icc"] = _to_rgb(image, meta["icc"])
    transparent = image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info
    if image.mode in ("P", "PA"):
        notes.append("the palette was converted to RGB")
    if image.mode in ("RGBX", "RGBa", "La"):
        raise ValueError(f"pixel mode {image.mode}")
    grey = image.mode in ("L", "LA")
    pixels = np.asarray(image.convert(("LA" if grey else "RGBA") if transparent else ("L" if grey else "RGB")))
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    alpha = pixels[..., -1].copy() if transparent else None
    colours = np.ascontiguousarray(pixels[..., : 1 if grey else 3])
    return Photo(colours, alpha, **meta, notes=tuple(notes), jpeg_tables=tables)


def _read_single(image: Image.Image, meta: dict[str, Any], negative: bool) -> Photo:
    """Read one-channel images that are not 8 bits deep; Pillow does not invert 16-bit TIFFs in which 0 is white."""
    notes = transparent_colour_note(image)
    if image.mode == "1":
        return Photo(np.asarray(image.convert("L"))[..., None], None, **meta, notes=notes)
    if image.mode == "F":
        raise ValueError("floating-point pixels; allowed: 8 or 16 bits")
    pixels = np.asarray(image)
    if pixels.min(initial=0) < 0 or pixels.max(initial=0) > np.iinfo(np.uint16).max:
        raise ValueError("32-bit pixels; allowed: 8 or 16 bits per channel")
    values = pixels.astype(np.uint16)[..., None]
    return Photo(np.iinfo(np.uint16).max - values if negative else values, None, **meta, notes=notes)


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


def _read_deep(path: Path, image: Image.Image) -> Photo | None:
    """Read 16-bit images that Pillow would reduce to 8 bits; return None for all others."""
    if image.format == "PNG" and image.mode in ("RGB", "RGBA", "LA") and _png_depth(path) == 16:
        # torchvision's decoder may crash on a chunk with a wrong checksum.
        with Image.open(path) as unchecked:
            unchecked.verify()
        raw = torch.from_numpy(np.fromfile(path, np.uint8))
        try:
            pixels = decode_image(raw, mode=ImageReadMode.UNCHANGED).numpy().transpose(1, 2, 0)
        except RuntimeError as error:
            raise ValueError(str(error).splitlines()[0]) from error
    elif image.format == "TIFF" and image.mode not in ("I;16", "I;16B"):
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            if page.dtype is None or page.dtype.itemsize == 1:
                return None
            pixels = _tiff_pixels(page)
    else:
        return None
    pixels = apply_orientation(pixels, image.getexif().get(ORIENTATION, 1))
    has_alpha = pixels.shape[2] in (2, 4)
    alpha = np.ascontiguousarray(pixels[..., -1]) if has_alpha else None
    colours = np.ascontiguousarray(pixels[..., :-1] if has_alpha else pixels)
    meta = read_metadata(image)
    notes = transparent_colour_note(image)
    if image.format == "TIFF" and meta["exif"]:
        meta["exif"], notes = None, (*notes, "the EXIF of a 16-bit TIFF is dropped")
    return Photo(colours, alpha, **meta, notes=notes)


def _tiff_pixels(page: tifffile.TiffPage) -> NDArray[Any]:
    """Return (H, W, C) uint16; raise ValueError for other pixel types."""
    kinds = tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.MINISBLACK
    if page.dtype != np.uint16 or page.photometric not in kinds:
        kind = tifffile.PHOTOMETRIC(page.photometric).name
        raise ValueError(f"TIFF pixels of {page.dtype}, {kind}; allowed: 8 or 16 bits, grey or RGB")
    if tifffile.EXTRASAMPLE.ASSOCALPHA in page.extrasamples:
        raise ValueError("TIFF with premultiplied (associated) alpha; allowed: unassociated")
    pixels = page.asarray()
    if pixels.ndim == 2:
        return pixels[..., None]
    return np.moveaxis(pixels, 0, -1) if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE else pixels


def _png_depth(path: Path) -> int:
    with path.open("rb") as file:
        return file.read(25)[24]


def write_photo(photo: Photo, path: Path) -> None:
    """Write a photo to `path` in the format of its suffix, atomically."""
    try:
        file_format = IMAGE_SUFFIXES[path.suffix.lower()]
    except KeyError:
        raise OptionError(unknown("suffix", path.suffix, IMAGE_SUFFIXES, str(path))) from None
    deep = photo.pixels.dtype == np.uint16
    if deep and file_format not in ("PNG", "TIFF"):
        raise ImageError(f"{path}: {file_format} stores 8 bits per channel, but the photo has 16; allowed: .png, .tif")
    if photo.alpha is not None and file_format in ("JPEG", "BMP"):
        raise ImageError(f"{path}: {file_format} stores no alpha channel; allowed: .png, .tif, .webp")
    try:
        data = _encode_deep(photo, file_format) if deep else _encode(photo, file_format)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as part:
            part.write_bytes(data)
    except (OSError, ValueError) as error:
        # ValueError: metadata or sizes that the format cannot store.
        raise ImageError(f"{path}: cannot be written ({error})") from error


def _stacked(photo: Photo) -> NDArray[Any]:
    return photo.pixels if photo.alpha is None else np.dstack([photo.pixels, photo.alpha])


def _encode(photo: Photo, file_format: str) -> bytes:
    image = to_pillow(photo)
    options = dict(SAVE_OPTIONS.get(file_format, {}))
    if photo.icc:
        options["icc_profile"] = photo.icc
    if photo.exif and file_format != "BMP":
        options["exif"] = photo.exif
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def _encode_deep(photo: Photo, file_format: str) -> bytes:
    pixels = _stacked(photo)
    if file_format == "PNG":
        return encode_png16(pixels, photo.icc, photo.exif)
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        pixels[..., 0] if pixels.shape[2] == 1 else pixels,
        photometric="rgb" if pixels.shape[2] >= 3 else "minisblack",
        extrasamples=("unassalpha",) if photo.alpha is not None else (),
        compression="deflate",
        iccprofile=photo.icc,
        metadata=None,
    )
    return buffer.getvalue()
