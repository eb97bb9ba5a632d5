"""Reading and writing of image files.

Size, format, bit depth, grey or colour, alpha and metadata are kept; notes report what a format cannot keep.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from restorekit.core.files import atomic_path, readable_formats
from restorekit.core.thread_warnings import record_warnings
from restorekit.errors import ImageError
from restorekit.run.decode import decode_image, decode_photo
from restorekit.run.encode import encode_photo
from restorekit.run.formats import Encoding, check_target
from restorekit.run.limits import check_regular
from restorekit.run.photo import Photo, to_pillow

__all__ = [
    "Encoding",
    "Photo",
    "check_target",
    "decode_photo",
    "encode_photo",
    "from_pillow",
    "pixel_count",
    "read_photo",
    "to_pillow",
    "write_photo",
]


def read_photo(path: Path) -> Photo:
    """Read an image file; raise ImageError if it cannot be read without loss."""
    try:
        check_regular(path)
        with path.open("rb") as file:
            return decode_photo(file, path.suffix, str(path))
    except (FileNotFoundError, IsADirectoryError):
        raise ImageError(f"{path}: no such file (in {Path.cwd()})") from None
    except (OSError, ValueError) as error:
        # ValueError: a null character in the name.
        raise ImageError(f"{path}: cannot be read ({error})") from error


def pixel_count(path: Path) -> int:
    """Return the number of pixels that an image file declares; 0 if that is unknown."""
    try:
        check_regular(path)
        with record_warnings(Warning), Image.open(path, formats=readable_formats()) as image:
            return image.width * image.height
    except Exception:  # noqa: BLE001  # reading the file reports what is wrong with it
        return 0


def from_pillow(image: Image.Image) -> Photo:
    """Return the photo in a PIL image of 8 bits per channel, or of 16 if it is grey, upright; otherwise ImageError."""
    try:
        return decode_image(image)
    except ValueError as error:
        raise ImageError(f"PIL image of mode {image.mode}: {error}") from error


def write_photo(photo: Photo, path: Path, encoding: Encoding | None = None) -> None:
    """Write a photo to `path` in the format of its suffix, atomically; raises the errors of `check_target`."""
    data, _ = encode_photo(photo, path, encoding)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as part:
            part.write_bytes(data)
    except (OSError, ValueError) as error:
        raise ImageError(f"{path}: cannot be written ({error})") from error
