"""Photos as a screen shows them (8 bits, sRGB, upright), the place where two of them differ, and data URIs."""

from __future__ import annotations

import base64
import contextlib
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms
from PIL.JpegImagePlugin import JpegImageFile

from restorekit.core.files import readable_formats
from restorekit.core.thread_warnings import record_warnings
from restorekit.errors import ImageError
from restorekit.run.decode import DAMAGE, decode_image
from restorekit.run.images import read_photo
from restorekit.run.limits import check_declared_size, check_regular
from restorekit.run.metadata import orientation_of
from restorekit.run.photo import ROWS_AT_ONCE, Photo

# Qualities of WebP that are tried, with the usual size relative to that of the first.
QUALITIES = {85: 1.0, 60: 0.55, 35: 0.38}
# Effort of the encoder, 0 to 6: each step takes longer and saves a few percent.
WEBP_METHOD = 2
# An image is not reduced below this side, in pixels.
MIN_SIDE = 24
# Smallest side of a changed part in pixels.
MIN_PART = 64
# Cells per side of the window of `most_different`.
CELLS = 8


def read_8_bits(path: Path, side: int | None = None) -> tuple[Image.Image, tuple[int, int]]:
    """Read an image file as `to_8_bits` returns it; ImageError if it cannot be read.

    side: a JPEG file may be decoded at a reduced size, with a long side of at least `side`; None for the whole size.

    Returns the image and the upright (width, height) of the file.
    """
    if side is not None:
        small = _read_small_jpeg(path, side)
        if small is not None:
            return small
    image = to_8_bits(read_photo(path))
    return image, image.size


def _read_small_jpeg(path: Path, side: int) -> tuple[Image.Image, tuple[int, int]] | None:
    """Return a JPEG file as `read_8_bits` does; None if it is another file, or damaged."""
    with contextlib.suppress(*DAMAGE, Image.DecompressionBombError), record_warnings(Warning):
        check_regular(path)
        with path.open("rb") as file, Image.open(file, formats=readable_formats()) as image:
            if type(image) is not JpegImageFile:
                return None
            check_declared_size(image, file)
            full = image.size
            image.draft(None, (side, side))
            small = to_8_bits(decode_image(image))
            return small, full[::-1] if orientation_of(image) >= 5 else full
    return None


def to_8_bits(photo: Photo) -> Image.Image:
    """Return a PIL image of mode L, LA, RGB or RGBA, with the ICC profile in `info`."""
    pixels = photo.stacked()
    if pixels.dtype == np.uint16:
        reduced = np.empty(pixels.shape, np.uint8)
        for row in range(0, len(pixels), ROWS_AT_ONCE):
            part = pixels[row : row + ROWS_AT_ONCE].astype(np.uint32)
            reduced[row : row + ROWS_AT_ONCE] = (part + 128) // 257
        pixels = reduced
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    if photo.icc is not None:
        image.info["icc_profile"] = photo.icc
    return image


def to_srgb(image: Image.Image) -> Image.Image:
    """Return an image of `to_8_bits`, or a part of it, as RGB or RGBA in sRGB; one without a profile is in sRGB."""
    alpha = image.getchannel("A") if image.mode in ("LA", "RGBA") else None
    colours = image.convert("L" if image.mode in ("L", "LA") else "RGB")
    icc = image.info.get("icc_profile")
    if icc is not None:
        # A damaged profile, or one for another number of channels, is ignored.
        with contextlib.suppress(ImageCms.PyCMSError, OSError):
            source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
            converted = ImageCms.profileToProfile(colours, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
            colours = colours if converted is None else converted
    colours = colours.convert("RGB")
    colours.info.clear()
    if alpha is not None:
        colours.putalpha(alpha)
    return colours


def shrunk(image: Image.Image, side: int) -> Image.Image:
    """Return the image with a long side of at most `side` pixels."""
    factor = side / max(image.size)
    if factor >= 1:
        return image
    size = max(1, round(image.width * factor)), max(1, round(image.height * factor))
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3)


def most_different(images: Iterable[Image.Image], width: int, height: int) -> tuple[int, int, int, int]:
    """Return the part (left, top, right, bottom) of that size where images differ the most from the first one.

    The images have the same size. The part is the center if they are equal, and not larger than they are. Places are
    multiples of an eighth of the width and height.
    """
    images = iter(images)
    first = _rgb(next(images))
    width, height = min(width, first.width), min(height, first.height)
    across, down = max(1, width // CELLS), max(1, height // CELLS)
    sums = np.zeros((first.height // down, first.width // across))
    for other in images:
        sums += _differences(first, _rgb(other), across, down)
    count = min(height // down, len(sums)), min(width // across, sums.shape[1])
    total = np.zeros((sums.shape[0] + 1, sums.shape[1] + 1))
    total[1:, 1:] = sums.cumsum(0).cumsum(1)
    windows = total[count[0] :, count[1] :] - total[: -count[0], count[1] :]
    windows = windows - total[count[0] :, : -count[1]] + total[: -count[0], : -count[1]]
    if windows.max() <= 0:
        left, top = (first.width - width) // 2, (first.height - height) // 2
    else:
        row, column = divmod(int(windows.argmax()), windows.shape[1])
        left, top = min(column * across, first.width - width), min(row * down, first.height - height)
    return left, top, left + width, top + height


@dataclass(frozen=True)
class ChangedPart:
    """The part of a photo that a restoration changed the most.

    Attributes:
        box: left, top, right and bottom in pixels of the photo; its center if nothing changed.
        before, after: the part in sRGB, both at the size that it has in the result.
        change: mean absolute difference between the whole photo and the result, 0 to 255.
    """

    box: tuple[int, int, int, int]
    before: Image.Image
    after: Image.Image
    change: float


def changed_part(before: Image.Image, after: Image.Image, side: int) -> ChangedPart | None:
    """Return the part of a photo that changed the most; None if the result is smaller or has another aspect ratio.

    side: largest width and height of the part in pixels of the result; it is a third of the shorter side, or less.
    """
    factor = after.width / before.width
    if factor < 1 or abs(after.height - factor * before.height) > 1:
        return None
    same = after if after.size == before.size else after.resize(before.size, Image.Resampling.BOX)
    side = round(min(side, max(MIN_PART, min(after.size) // 3)) / factor)
    box = left, top, right, bottom = most_different([before, same], side, side)
    size = round((right - left) * factor), round((bottom - top) * factor)
    start = round(left * factor), round(top * factor)
    first = to_srgb(before.crop(box)).resize(size, Image.Resampling.BICUBIC)
    second = to_srgb(after.crop((*start, start[0] + size[0], start[1] + size[1])))
    return ChangedPart(box, first, second, mean_change(before, same))


def mean_change(one: Image.Image, other: Image.Image) -> float:
    """Return the mean absolute difference of two images of the same size, 0 to 255, without alpha."""
    total, rows = 0.0, max(1, 1_000_000 // one.width)
    for top in range(0, one.height, rows):
        box = (0, top, one.width, min(one.height, top + rows))
        difference = np.asarray(_rgb(one.crop(box)), np.int16) - np.asarray(_rgb(other.crop(box)), np.int16)
        total += float(np.abs(difference).sum())
    return total / (3 * one.width * one.height)


def _rgb(image: Image.Image) -> Image.Image:
    return image if image.mode == "RGB" else image.convert("RGB")


def _differences(
    one: Image.Image, other: Image.Image, across: int, down: int
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return the sums of the absolute differences of two RGB images in cells of `down` x `across` pixels."""
    rows, columns = one.height // down, one.width // across
    sums = np.empty((rows, columns))
    for row in range(rows):
        box = (0, row * down, columns * across, (row + 1) * down)
        difference = np.asarray(one.crop(box), np.int16) - np.asarray(other.crop(box), np.int16)
        sums[row] = np.abs(difference).reshape(down, columns, across * 3).sum((0, 2))
    return sums


def webp_files(images: Sequence[Image.Image], limit: int) -> list[bytes]:
    """Return images as WebP files of at most `limit` bytes together, unless they are tiny.

    All have the same quality, and are reduced by the same factor if that is necessary, so that they can be compared.
    """
    while True:
        size, smallest = 0.0, min(QUALITIES.values())
        for quality, ratio in QUALITIES.items():
            if size * ratio > 1.1 * limit:
                continue
            files = [_webp(image, quality) for image in images]
            found = sum(map(len, files))
            if found <= limit:
                return files
            size = size or found
        longest = max(max(image.size) for image in images)
        if longest <= MIN_SIDE:
            return files
        factor = min(0.9, max(0.5, math.sqrt(limit / (smallest * size))))
        images = [shrunk(image, max(MIN_SIDE, round(max(image.size) * factor))) for image in images]


def _webp(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=quality, method=WEBP_METHOD)
    return buffer.getvalue()


def data_uri(data: bytes, kind: str = "image/webp") -> str:
    """Return a file as a data URI."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def read_shown(path: Path, side: int) -> Image.Image | None:
    """Return a small sRGB image of a file with a long side of at most `side`; None if it cannot be read."""
    try:
        return to_srgb(shrunk(read_8_bits(path, side)[0], side))
    except ImageError:
        return None
