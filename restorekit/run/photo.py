"""A photo in memory: its pixels as stored in the file, upright, and its metadata."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from restorekit.errors import ImageError
from restorekit.run.metadata import profile_fits, resize_alpha, with_size

# Rows that are converted at once, so that temporary values need little memory.
ROWS_AT_ONCE = 64


@dataclass(frozen=True)
class Photo:
    """An image with its stored pixel values, upright.

    Attributes:
        pixels: (H, W, 1 or 3) uint8 or uint16.
        alpha: (H, W) of the same type, or None.
        icc, exif: metadata to write back; the orientation is already applied and removed.
        notes: changes that were made while reading, one line each.
        jpeg_tables: (3, 8, 8) float32, quantisation steps of a JPEG file, see `read_tables`; or None.
        jpeg_quality: quality of libjpeg that loses no more than the JPEG file did, see `quality_of`; or None.
        xmp: XMP packet (UTF-8 XML), without the orientation.
        dpi: horizontal and vertical resolution in pixels per inch.
        text: keywords and texts of a PNG file; ("Comment", text) of a JPEG file.
    """

    pixels: NDArray[Any]
    alpha: NDArray[Any] | None = None
    icc: bytes | None = None
    exif: bytes | None = None
    notes: tuple[str, ...] = ()
    jpeg_tables: NDArray[np.float32] | None = None
    jpeg_quality: int | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    text: tuple[tuple[str, str], ...] = ()

    @property
    def max_value(self) -> int:
        """Largest pixel value: 255 or 65535."""
        return int(np.iinfo(self.pixels.dtype).max)

    def tensor(self, rows: slice = slice(None), columns: slice = slice(None)) -> Tensor:
        """Return the pixels, or those of a part, as (1, C, H, W) float32 in [-1, 1]."""
        values = np.ascontiguousarray(self.pixels[rows, columns].transpose(2, 0, 1), np.float32)
        values /= self.max_value / 2
        values -= 1
        return torch.from_numpy(values)[None]

    def quantised(self, x: Tensor) -> NDArray[Any]:
        """Return x (C, H, W) in [-1, 1] as pixels (H, W, C) of the type of the photo, rounded and clamped."""
        if not torch.isfinite(x).all():
            raise ImageError("the result contains values that are not finite; nothing is written")
        pixels = np.empty((*x.shape[1:], x.shape[0]), self.pixels.dtype)
        for rows in range(0, x.shape[1], ROWS_AT_ONCE):
            part = (x[:, rows : rows + ROWS_AT_ONCE].detach().double().cpu() + 1).mul_(self.max_value / 2)
            pixels[rows : rows + ROWS_AT_ONCE] = part.round_().clamp_(0, self.max_value).permute(1, 2, 0).numpy()
        return pixels

    def with_tensor(self, x: Tensor) -> Photo:
        """Return the photo with pixels from x (C, H, W) in [-1, 1]; see `quantised` and `with_pixels`."""
        return self.with_pixels(self.quantised(x))

    def with_pixels(self, pixels: NDArray[Any]) -> Photo:
        """Return the photo with other pixels (H, W, C).

        C, H and W may differ from those of the photo: alpha is resized, the size in the EXIF is updated, and a colour
        profile for another number of channels is dropped, with a note.
        """
        height, width, channels = pixels.shape
        alpha, icc, exif, notes = self.alpha, self.icc, self.exif, self.notes
        if (height, width) != self.pixels.shape[:2]:
            alpha = None if alpha is None else resize_alpha(alpha, height, width)
            exif = None if exif is None else with_size(exif, height, width)
        if icc is not None and channels != self.pixels.shape[2] and not profile_fits(icc, channels):
            kinds = ("grey", "colour") if channels == 3 else ("colour", "grey")
            note = "the colour profile is for {} images, but the result is {}; the profile is dropped".format(*kinds)
            icc, notes = None, (*notes, note)
        return replace(self, pixels=pixels, alpha=alpha, icc=icc, exif=exif, notes=notes, jpeg_tables=None)

    def stacked(self) -> NDArray[Any]:
        """Return pixels and alpha as one array (H, W, 1 to 4)."""
        return self.pixels if self.alpha is None else np.dstack([self.pixels, self.alpha])


def from_stacked(values: NDArray[Any], **metadata: Any) -> Photo:
    """Return the photo of an array (H, W, 1 to 4) whose last channel is alpha if there are 2 or 4."""
    has_alpha = values.shape[2] in (2, 4)
    alpha = np.ascontiguousarray(values[..., -1]) if has_alpha else None
    return Photo(np.ascontiguousarray(values[..., :-1] if has_alpha else values), alpha, **metadata)


def to_pillow(photo: Photo) -> Image.Image:
    """Return a PIL image of 8 bits per channel, with ICC profile and EXIF in `info`."""
    pixels = photo.stacked()
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    found = {"icc_profile": photo.icc, "exif": photo.exif}
    image.info.update({name: value for name, value in found.items() if value is not None})
    return image
