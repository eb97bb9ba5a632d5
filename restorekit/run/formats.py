"""What the image formats store, and the options of their encoders."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from restorekit.core.files import IMAGE_SUFFIXES, readable_formats
from restorekit.errors import ImageError, OptionError, unknown
from restorekit.run.photo import Photo

HEIF_EXTRA = "HEIF requires the extra 'heif': pip install 'restorekit[heif]'"
# Names of metadata in messages.
NAMES = {"icc": "colour profile", "exif": "EXIF", "xmp": "XMP", "dpi": "resolution (DPI)", "text": "texts"}
ALL, EMBEDDED = frozenset(NAMES), frozenset({"icc", "exif", "xmp"})


@dataclass(frozen=True)
class Encoding:
    """Options of an encoder; None is the default of the format.

    Arguments:
        quality: 1 to 100, for JPEG, WebP, AVIF and HEIF. Default: 95; for JPEG at least that of the source; WebP is
            lossless.
        lossless: for WebP and HEIF; JPEG 2000 is always lossless.
    """

    quality: int | None = None
    lossless: bool | None = None

    def __post_init__(self) -> None:
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise OptionError(f"--output-quality: found {self.quality}, allowed: 1 to 100")
        if self.quality is not None and self.lossless:
            raise OptionError("--output-quality and --lossless exclude each other")


@dataclass(frozen=True)
class Format:
    """Facts about a file format.

    Attributes:
        metadata: the metadata that it stores, keys of `NAMES`.
        max_side: largest width or height in pixels.
        alpha, deep: whether it stores an alpha channel, and 16 bits per channel.
        quality: whether its encoder has a quality.
        lossless: allowed values of the option `lossless`.
        limits: largest metadata in bytes.
    """

    metadata: frozenset[str]
    max_side: int = 2**31 - 1
    alpha: bool = True
    deep: bool = False
    quality: bool = False
    lossless: tuple[bool, ...] = ()
    limits: tuple[tuple[str, int], ...] = ()


# Largest content of a JPEG marker segment; that of XMP begins with a name of 29 bytes.
JPEG_SEGMENT = 65533
JPEG_LIMITS = (("exif", JPEG_SEGMENT), ("xmp", JPEG_SEGMENT - 29))
FORMATS = {
    "JPEG": Format(ALL, 65500, alpha=False, quality=True, lossless=(False,), limits=JPEG_LIMITS),
    "PNG": Format(ALL, deep=True, lossless=(True,)),
    "TIFF": Format(ALL - {"text"}, deep=True, lossless=(True,)),
    "BMP": Format(frozenset({"dpi"}), alpha=False, lossless=(True,)),
    "WEBP": Format(EMBEDDED, 16383, quality=True, lossless=(True, False)),
    "AVIF": Format(EMBEDDED, 65536, quality=True, lossless=(False,)),
    "HEIF": Format(EMBEDDED, 16384, quality=True, lossless=(True, False)),
    "JPEG2000": Format(frozenset(), lossless=(True,)),
}


def format_of(path: Path) -> str:
    """Return the name of the format of a suffix; OptionError for an unknown one."""
    try:
        return IMAGE_SUFFIXES[path.suffix.lower()]
    except KeyError:
        raise OptionError(unknown("suffix", path.suffix, IMAGE_SUFFIXES, str(path))) from None


def check_target(photo: Photo, path: Path, encoding: Encoding | None = None) -> None:
    """Check that a photo can be stored in the format of a suffix.

    Raises OptionError for an unknown suffix and for options that the format does not have, and ImageError for pixels
    that it does not store. Only the kind and the size of the photo are used, so that the check can run before the
    restoration. Metadata that the format does not store are no error, see `storable`.
    """
    name = format_of(path)
    target = FORMATS[name]
    _check_encoding(name, target, encoding or Encoding(), path)
    if not _has_encoder(name):
        reason = HEIF_EXTRA if name == "HEIF" else f"this build of Pillow has no encoder for {name}"
        raise ImageError(f"{path}: cannot be written; {reason}")
    if photo.pixels.dtype == np.uint16 and not target.deep:
        allowed = _suffixes(name for name, other in FORMATS.items() if other.deep)
        raise ImageError(f"{path}: {name} stores 8 bits per channel, but the photo has 16; allowed: {allowed}")
    if photo.alpha is not None and not target.alpha:
        allowed = _suffixes(name for name, other in FORMATS.items() if other.alpha)
        raise ImageError(f"{path}: {name} stores no alpha channel; allowed: {allowed}")
    if max(photo.pixels.shape[:2]) > target.max_side:
        height, width = photo.pixels.shape[:2]
        raise ImageError(f"{path}: the photo has {width} x {height} pixels; allowed in {name}: {target.max_side}")


def _check_encoding(name: str, target: Format, encoding: Encoding, path: Path) -> None:
    if encoding.quality is not None and not target.quality:
        allowed = _suffixes(name for name, other in FORMATS.items() if other.quality)
        raise OptionError(f"{path}: --output-quality: {name} has no quality; allowed: {allowed}")
    if encoding.lossless is not None and encoding.lossless not in target.lossless:
        allowed = _suffixes(name for name, other in FORMATS.items() if encoding.lossless in other.lossless)
        kind = "lossy" if encoding.lossless else "lossless"
        raise OptionError(
            f"{path}: --{'' if encoding.lossless else 'no-'}lossless: {name} is {kind}; allowed: {allowed}"
        )


def _has_encoder(name: str) -> bool:
    if name == "HEIF":
        return name in readable_formats()
    Image.preinit()
    if name not in Image.SAVE:
        Image.init()
    return name in Image.SAVE


def _suffixes(names: Iterable[str]) -> str:
    allowed = set(names)
    return ", ".join(sorted(suffix for suffix, name in IMAGE_SUFFIXES.items() if name in allowed))


def storable(photo: Photo, name: str) -> Photo:
    """Return the photo without the metadata that a format does not store, with a note."""
    target = FORMATS[name]
    dropped = {key for key in NAMES if getattr(photo, key) and key not in target.metadata}
    too_large = {key for key, limit in target.limits if len(getattr(photo, key) or b"") > limit}
    if name == "JPEG" and any(key != "Comment" or len(text.encode()) > JPEG_SEGMENT for key, text in photo.text):
        dropped.add("text")
    notes = []
    if dropped:
        notes.append(f"{name} does not store the {_names(dropped)}; dropped")
    if too_large:
        notes.append(f"too large for {name}: {_names(too_large)}; dropped")
    kept: dict[str, tuple[str, ...] | None] = {key: () if key == "text" else None for key in dropped | too_large}
    return replace(photo, notes=(*photo.notes, *notes), **kept)  # type: ignore[arg-type]


def _names(keys: Iterable[str]) -> str:
    *first, last = (NAMES[key] for key in sorted(keys, key=list(NAMES).index))
    return f"{', '.join(first)} and {last}" if first else last
