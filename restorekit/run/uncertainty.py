"""How the samples of a photo differ: their mean and their standard deviation per pixel."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from restorekit.core.files import readable_formats
from restorekit.errors import ImageError
from restorekit.run.encode import encode_photo
from restorekit.run.formats import Encoding
from restorekit.run.images import read_photo
from restorekit.run.manifest import digest
from restorekit.run.photo import ROWS_AT_ONCE, Photo
from restorekit.run.png16 import encode_png16

# Unit of the 16-bit map of standard deviations: 1 / 256 of an 8-bit grey level.
UNITS_PER_LEVEL = 256
# Text of the map that identifies the samples from which it was made.
SAMPLES = "restorekit-samples"
# The picture: grey level at the end of the scale, limits of the longest side, and the colours from 0 to the end, which
# are those of viridis (matplotlib, CC0).
LAST_LEVEL, MAX_SIDE, MIN_SIDE = 64, 1024, 256
COLOURS = np.array(
    [[68, 1, 84], [71, 45, 123], [59, 82, 139], [44, 114, 142], [33, 145, 140], [40, 174, 128], [94, 201, 98],
     [173, 220, 48], [253, 231, 37]], np.float64,
)  # fmt: skip
TICKS = (0, 1, 4, 16, 36, 64)
CAPTION = "standard deviation in 8-bit grey levels"
BAR, MARGIN, TEXT_WIDTH, TEXT, INK = 14, 10, 34, 13, (60, 60, 60)


class Spread:
    """Mean and standard deviation of images that are added one after another, from exact sums of integers.

    Memory: 8 bytes per value of an image of 8 bits, 12 bytes for 16 bits, for any number of images up to 65,536.
    """

    def __init__(self) -> None:
        self.count = 0
        self._sum = self._squares = np.zeros(0, np.uint32)
        self._levels = 255

    def add(self, pixels: NDArray[Any]) -> None:
        """Add an image (H, W, C) of uint8 or uint16; all have the same shape and type."""
        if self.count == 0:
            self._levels = int(np.iinfo(pixels.dtype).max)
            self._sum = np.zeros(pixels.shape, np.uint32)
            self._squares = np.zeros(pixels.shape, np.uint32 if self._levels == 255 else np.uint64)
        for rows in _parts(len(pixels)):
            part = pixels[rows].astype(self._squares.dtype)
            self._sum[rows] += pixels[rows]
            self._squares[rows] += part * part
        self.count += 1

    def mean(self) -> NDArray[Any]:
        """Return the mean (H, W, C), rounded to the type of the images."""
        result = np.empty(self._sum.shape, np.uint8 if self._levels == 255 else np.uint16)
        for rows in _parts(len(result)):
            result[rows] = np.rint(self._sum[rows] / self.count)
        return result

    def std(self) -> NDArray[np.float32]:
        """Return the standard deviation per pixel (H, W) in 8-bit grey levels: the root of the mean variance of the
        channels, each with the divisor n - 1."""
        result = np.empty(self._sum.shape[:2], np.float32)
        for rows in _parts(len(result)):
            total, squares = self._sum[rows].astype(np.float64), self._squares[rows].astype(np.float64)
            variance = (squares - total**2 / self.count) / (self.count - 1)
            result[rows] = np.sqrt(variance.clip(0).mean(2)) * 255 / self._levels
        return result


def _parts(height: int) -> list[slice]:
    return [slice(row, row + ROWS_AT_ONCE) for row in range(0, height, ROWS_AT_ONCE)]


def uncertainty_paths(samples: Sequence[Path]) -> tuple[Path, Path, Path]:
    """Return the files of the map of standard deviations, of its picture and of the mean, for photo-1.png ...:
    photo.png.std.png, photo.png.uncertainty.png and photo.png.mean.png; the mean has the suffix of the samples."""
    first = samples[0]
    name = f"{first.stem.removesuffix('-1')}{first.suffix}"
    kinds = "std.png", "uncertainty.png", f"mean{first.suffix}"
    std, picture, mean = (first.with_name(f"{name}.{kind}") for kind in kinds)
    return std, picture, mean


def has_maps(samples: Sequence[Path]) -> bool:
    """Return whether a run wrote maps of samples; the map of standard deviations, which is written first, shows it."""
    return _recorded_identity(uncertainty_paths(samples)[0]) is not None


def uncertainty_files(samples: Sequence[Path], encoding: Encoding) -> dict[Path, bytes]:
    """Return the files that show how samples differ, by path (`uncertainty_paths`); {} if they exist already.

    The samples are read one after another. Raises ImageError if one cannot be read, or their sizes or types differ.
    """
    paths, identity = uncertainty_paths(samples), _identity(samples)
    if all(path.is_file() for path in paths) and _recorded_identity(paths[0]) == identity:
        return {}
    spread, first = Spread(), read_photo(samples[0])
    for path in samples:
        pixels = first.pixels if path == samples[0] else read_photo(path).pixels
        if (pixels.shape, pixels.dtype) != (first.pixels.shape, first.pixels.dtype):
            found = f"{pixels.shape} {pixels.dtype}"
            raise ImageError(
                f"{path}: found {found}, allowed: that of {samples[0]}, {first.pixels.shape} {first.pixels.dtype}"
            )
        spread.add(pixels)
    std = spread.std()
    values = np.rint(std * UNITS_PER_LEVEL).clip(0, 65535).astype(np.uint16)
    info = PngInfo()
    info.add_text(SAMPLES, identity)
    mean = Photo.with_pixels(first, spread.mean())
    files = encode_png16(values[..., None], text=info), _png(picture(std)), encode_photo(mean, paths[2], encoding)[0]
    return dict(zip(paths, files, strict=True))


def picture(std: NDArray[np.float32]) -> Image.Image:
    """Return standard deviations (H, W), in 8-bit grey levels, as a picture with a scale bar.

    The colours are those of viridis at the root of std / 64: the bar shows 0 at the bottom, 16 in the middle, and 64
    and more at the top.
    """
    position = np.sqrt(std / LAST_LEVEL).clip(0, 1) * (len(COLOURS) - 1)
    places = np.arange(len(COLOURS))
    colours = np.stack([np.interp(position, places, channel) for channel in COLOURS.T], -1)
    image = Image.fromarray(np.rint(colours).astype(np.uint8))
    factor = min(1.0, MAX_SIDE / max(image.size))
    factor = max(factor, MIN_SIDE / max(image.size))
    size = max(1, round(factor * image.width)), max(1, round(factor * image.height))
    resampling = Image.Resampling.BOX if factor < 1 else Image.Resampling.NEAREST
    return _with_bar(image.resize(size, resampling))


def _with_bar(image: Image.Image) -> Image.Image:
    """Return the picture with the scale on its right and a caption below."""
    height = max(image.height, MIN_SIDE // 2)
    width = max(image.width, MIN_SIDE - 20) + BAR + TEXT_WIDTH + 3 * MARGIN
    result = Image.new("RGB", (width, height + 3 * MARGIN + TEXT), (255, 255, 255))
    result.paste(image, (MARGIN, MARGIN))
    left, draw, font = image.width + 2 * MARGIN, ImageDraw.Draw(result), ImageFont.load_default(TEXT)
    for row in range(height):
        place = (1 - row / (height - 1)) * (len(COLOURS) - 1)
        colour = tuple(round(np.interp(place, np.arange(len(COLOURS)), channel)) for channel in COLOURS.T)
        draw.line((left, MARGIN + row, left + BAR - 1, MARGIN + row), colour)
    draw.text((MARGIN, height + 2 * MARGIN), CAPTION, INK, font)
    for level in TICKS:
        y = MARGIN + (height - 1) * (1 - (level / LAST_LEVEL) ** 0.5)
        draw.text((left + BAR + 5, y), str(level), INK, font, anchor="lm")
    return result


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _identity(samples: Sequence[Path]) -> str:
    """Return a digest of the samples."""
    return hashlib.sha256("".join(map(digest, samples)).encode()).hexdigest()


def _recorded_identity(path: Path) -> str | None:
    """Return the digest of the samples from which a map was made; None if it is not known."""
    try:
        with Image.open(path, formats=readable_formats()) as image:
            return image.info.get(SAMPLES)
    except (OSError, ValueError):
        return None
