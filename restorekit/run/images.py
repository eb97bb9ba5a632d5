"""Image files to tensors and back, with nothing lost: size, format, bit depth, grey or colour, alpha, ICC, EXIF."""

from __future__ import annotations

import contextlib
import io
import os
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
from torch import Tensor
from torchvision.io import ImageReadMode, decode_image

from restorekit.errors import ImageError, OptionError, unknown
from restorekit.run.changed import exif_of_size, profile_suits, resized_alpha
from restorekit.run.png16 import encode_png16

SUFFIXES = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
}
PARTIAL = ".restorekit-part"
ORIENTATION = 0x0112
PHOTOMETRIC = 0x0106
# What the decoders raise at a damaged file.
DAMAGE = (OSError, SyntaxError, ValueError, EOFError, TypeError, KeyError, IndexError, struct.error, zlib.error)
# TIFF tags that say something of the photo rather than of the file: description, make, model, resolution, software,
# date, artist, copyright; and the EXIF and GPS directories.
DESCRIPTIVE = {270, 271, 272, 282, 283, 296, 305, 306, 315, 33432}
DIRECTORIES = {0x8769, 0x8825}
SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True, "exact": True},
    "TIFF": {"compression": "tiff_deflate"},
}


@dataclass(frozen=True)
class Photo:
    """One image as it is stored, upright.

    Attributes:
        pixels: (H, W, 1 or 3) uint8 or uint16.
        alpha: (H, W) of the same type, or None.
        icc, exif: metadata to write back; the orientation is already applied and removed.
        notes: what reading had to change, in words.
    """

    pixels: NDArray[Any]
    alpha: NDArray[Any] | None = None
    icc: bytes | None = None
    exif: bytes | None = None
    notes: tuple[str, ...] = ()

    @property
    def top(self) -> int:
        """The largest value of a pixel: 255 or 65535."""
        return int(np.iinfo(self.pixels.dtype).max)

    def tensor(self) -> Tensor:
        """(1, C, H, W) float32 in [-1, 1]."""
        values = self.pixels.astype(np.float32) / (self.top / 2) - 1
        return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))[None]

    def with_tensor(self, x: Tensor) -> Photo:
        """The same photo with pixels from (C, H, W) in [-1, 1], rounded and clamped.

        C, H and W may differ from before: transparency and the size in the EXIF follow, a colour profile for the
        number of channels that there was is left out, with a note.
        """
        if not torch.isfinite(x).all():
            raise ImageError("the result holds values that are not finite; nothing is written")
        values = ((x.detach().double().cpu() + 1) * (self.top / 2)).round().clamp(0, self.top)
        pixels = values.numpy().transpose(1, 2, 0).astype(self.pixels.dtype)
        height, width, channels = pixels.shape
        alpha, icc, exif, notes = self.alpha, self.icc, self.exif, self.notes
        if (height, width) != self.pixels.shape[:2]:
            alpha = None if alpha is None else resized_alpha(alpha, height, width)
            exif = None if exif is None else exif_of_size(exif, height, width)
        if icc is not None and channels != self.pixels.shape[2] and not profile_suits(icc, channels):
            kinds = ("grey", "colour") if channels == 3 else ("colour", "grey")
            icc, notes = None, (*notes, "its profile is for {}, the result is {}: it is not kept".format(*kinds))
        return Photo(np.ascontiguousarray(pixels), alpha, icc, exif, notes)


def read_photo(path: Path) -> Photo:
    """Read an image file; ImageError in one line when that cannot be done without loss."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                frames = getattr(image, "n_frames", 1)
                if frames > 1 and image.format != "MPO":
                    raise ImageError(f"{path}: has {frames} frames, allowed: one")
                photo = _read_deep(path, image) or _read_pillow(image)
                # Cameras put a preview beside the photo into one JPEG file.
                previews = (f"of {frames} pictures in the file the first is kept",) if frames > 1 else ()
                return replace(photo, notes=photo.notes + previews)
    except (FileNotFoundError, IsADirectoryError):
        raise ImageError(f"{path}: there is no such file (in {Path.cwd()})") from None
    except UnidentifiedImageError:
        raise ImageError(f"{path}: not an image that can be read; allowed: {', '.join(sorted(SUFFIXES))}") from None
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path}: {error}") from error
    except DAMAGE as error:
        raise ImageError(f"{path}: broken, cut short, or of an unusual kind ({error})") from error


def from_pillow(image: Image.Image) -> Photo:
    """What a PIL image holds, upright; ImageError for more than 8 bits a channel."""
    if image.mode.startswith(("I", "F")):
        raise ImageError(f"PIL image of mode {image.mode}; allowed: 8 bits (pass a path or a tensor for more)")
    return _read_pillow(image)


def to_pillow(photo: Photo) -> Image.Image:
    """A PIL image of 8 bits, with the metadata where Pillow keeps them."""
    pixels = _stacked(photo)
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    found = {"icc_profile": photo.icc, "exif": photo.exif}
    image.info.update({name: value for name, value in found.items() if value is not None})
    return image


def _metadata(image: Image.Image) -> dict[str, Any]:
    """ICC profile and EXIF without the orientation, which reading applies, and without a TIFF's layout."""
    found, kept = image.getexif(), Image.Exif()
    for tag in found:
        if tag != ORIENTATION and (image.format != "TIFF" or tag in DESCRIPTIVE or tag in DIRECTORIES):
            kept[tag] = found.get_ifd(tag) if tag in DIRECTORIES else found[tag]
    return {"icc": image.info.get("icc_profile"), "exif": kept.tobytes() if len(kept) else None}


def _read_pillow(image: Image.Image) -> Photo:
    """Everything of 8 bits, and grey of 16."""
    notes = []
    negative = image.format == "TIFF" and image.tag_v2.get(PHOTOMETRIC) == 0  # type: ignore[attr-defined]
    image.load()
    meta = _metadata(image)
    image = ImageOps.exif_transpose(image)
    if image.mode in ("F", "I", "1") or image.mode.startswith("I;16"):
        return _read_single(image, meta, negative)
    if image.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
        notes.append(f"{image.mode} became RGB")
        image, meta["icc"] = _to_rgb(image, meta["icc"])
    transparent = image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info
    if image.mode in ("P", "PA"):
        notes.append("the palette became RGB")
    if image.mode in ("RGBX", "RGBa", "La"):
        raise ValueError(f"pixel mode {image.mode}")
    grey = image.mode in ("L", "LA")
    pixels = np.asarray(image.convert(("LA" if grey else "RGBA") if transparent else ("L" if grey else "RGB")))
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    alpha = pixels[..., -1].copy() if transparent else None
    return Photo(np.ascontiguousarray(pixels[..., : 1 if grey else 3]), alpha, **meta, notes=tuple(notes))


def _read_single(image: Image.Image, meta: dict[str, Any], negative: bool) -> Photo:
    """One-channel images that are not 8 bits deep; in a negative TIFF of 16 bits 0 is white (Pillow leaves it so)."""
    notes = _transparent_colour(image)
    if image.mode == "1":
        return Photo(np.asarray(image.convert("L"))[..., None], None, **meta, notes=notes)
    if image.mode == "F":
        raise ValueError("floating-point pixels; allowed: 8 or 16 bits")
    pixels = np.asarray(image)
    if pixels.min(initial=0) < 0 or pixels.max(initial=0) > np.iinfo(np.uint16).max:
        raise ValueError("32-bit pixels; allowed: 8 or 16 bits")
    values = pixels.astype(np.uint16)[..., None]
    return Photo(np.iinfo(np.uint16).max - values if negative else values, None, **meta, notes=notes)


def _transparent_colour(image: Image.Image) -> tuple[str, ...]:
    return ("its transparent colour is not kept",) if "transparency" in image.info else ()


def _to_rgb(image: Image.Image, icc: bytes | None) -> tuple[Image.Image, bytes | None]:
    """An image of another colour space as sRGB, through its profile where it has one."""
    if icc is not None:
        target = ImageCms.createProfile("sRGB")
        source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        try:
            converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
        except ImageCms.PyCMSError as error:
            raise ValueError(f"its colour profile cannot be applied: {error}") from error
        if converted is not None:
            return converted, ImageCms.ImageCmsProfile(target).tobytes()
    return image.convert("RGB"), None


def _read_deep(path: Path, image: Image.Image) -> Photo | None:
    """16-bit images that Pillow would cut to 8; None for all others."""
    if image.format == "PNG" and image.mode in ("RGB", "RGBA", "LA") and _png_depth(path) == 16:
        # torchvision's decoder may crash at a chunk whose checksum is wrong.
        with Image.open(path) as unread:
            unread.verify()
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
    turns = image.getexif().get(ORIENTATION, 1)
    pixels = _upright(pixels, turns)
    has_alpha = pixels.shape[2] in (2, 4)
    alpha = np.ascontiguousarray(pixels[..., -1]) if has_alpha else None
    colours = np.ascontiguousarray(pixels[..., :-1] if has_alpha else pixels)
    meta = _metadata(image)
    notes = _transparent_colour(image)
    if image.format == "TIFF" and meta["exif"]:
        meta["exif"], notes = None, (*notes, "the EXIF of a 16-bit TIFF is not kept")
    return Photo(colours, alpha, **meta, notes=notes)


def _tiff_pixels(page: tifffile.TiffPage) -> NDArray[Any]:
    """(H, W, C) uint16; ValueError for what this is not."""
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


def _upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Apply an EXIF orientation (1 to 8) to (H, W, C)."""
    flipped = pixels[:, ::-1] if orientation in (2, 4, 5, 7) else pixels
    turns = {3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}.get(orientation, 0)
    return np.rot90(flipped, turns)


def write_photo(photo: Photo, path: Path) -> None:
    """Write to `path` in the format of its suffix, atomically: the file is whole or not there."""
    try:
        form = SUFFIXES[path.suffix.lower()]
    except KeyError:
        raise OptionError(unknown("suffix", path.suffix, SUFFIXES, str(path))) from None
    deep = photo.pixels.dtype == np.uint16
    if deep and form not in ("PNG", "TIFF"):
        raise ImageError(f"{path}: {form} holds 8 bits, the photo has 16; allowed: .png, .tif")
    if photo.alpha is not None and form in ("JPEG", "BMP"):
        raise ImageError(f"{path}: {form} holds no transparency, the photo has it; allowed: .png, .tif, .webp")
    part = path.with_name(f".{path.name[:32]}.{os.getpid()}{PARTIAL}")
    try:
        data = _encode_deep(photo, form) if deep else _encode(photo, form)
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except (OSError, ValueError) as error:
        # ValueError: metadata or sizes that the format does not hold.
        with contextlib.suppress(OSError):
            part.unlink()
        raise ImageError(f"{path}: cannot be written ({error})") from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _stacked(photo: Photo) -> NDArray[Any]:
    return photo.pixels if photo.alpha is None else np.dstack([photo.pixels, photo.alpha])


def _encode(photo: Photo, form: str) -> bytes:
    image = to_pillow(photo)
    options = dict(SAVE_OPTIONS.get(form, {}))
    if photo.icc:
        options["icc_profile"] = photo.icc
    if photo.exif and form != "BMP":
        options["exif"] = photo.exif
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def _encode_deep(photo: Photo, form: str) -> bytes:
    pixels = _stacked(photo)
    if form == "PNG":
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


def read_side_image(path: Path, channels: int, photo: Photo | None, where: str) -> Tensor:
    """A mask or the like as (1, channels, H, W) in [0, 1]; ImageError when its size is not the photo's (None: any)."""
    return fit_side_image(read_photo(path), channels, photo, f"{path}: {where}")


def fit_side_image(side: Photo, channels: int, photo: Photo | None, where: str) -> Tensor:
    """A side image that was read as (1, channels, H, W) in [0, 1], of the photo's size (None: of any); transparent
    pixels count as black."""
    found = side.pixels.shape[:2]
    wanted = found if photo is None else photo.pixels.shape[:2]
    if found != wanted:
        raise ImageError(
            f"{where} is {found[1]} x {found[0]}, allowed: the photo's {wanted[1]} x {wanted[0]} (upright)"
        )
    opaque = 1 if side.alpha is None else side.alpha[..., None].astype(np.float32) / side.top
    values = torch.from_numpy((side.pixels.astype(np.float32) * opaque).transpose(2, 0, 1)) / side.top
    if values.shape[0] != channels:
        values = values.mean(0, keepdim=True) if channels == 1 else values.expand(channels, -1, -1)
    return values[None]
