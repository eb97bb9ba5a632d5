"""Make manga-like images of photos: black, white and a screen of dots, dark outlines, grey.

python benchmarks/halftones.py PHOTOS FOLDER [--count 120] [--crop SIDE]

The example of docs/finetuning.md is trained and measured on them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from restorekit.core.files import find_images

# Longest side of the images, period of the screen in pixels, and size at which the dots are drawn.
SIDE, PERIOD, SCALE = 384, 5, 3
# Darker tones are black, lighter tones white.
BLACK, WHITE = 0.22, 0.6
# Smallest difference of grey levels of an outline.
OUTLINE = 14


def grey_levels(image: Image.Image) -> NDArray[np.float64]:
    """Return the values of an 8-bit image."""
    return np.asarray(image, dtype=float)


def halftone(photo: Image.Image) -> Image.Image:
    """Return the grey image of a photo in two tones and dots."""
    photo = photo.convert("L")
    photo.thumbnail((SIDE, SIDE))
    large = photo.filter(ImageFilter.GaussianBlur(1.5)).resize(
        (photo.width * SCALE, photo.height * SCALE), Image.Resampling.BICUBIC
    )
    tone = grey_levels(large) / 255
    y, x = np.mgrid[: large.height, : large.width]
    period = PERIOD * SCALE
    screen = 0.5 + 0.25 * (np.cos(2 * np.pi * (x + y) / period) + np.cos(2 * np.pi * (x - y) / period))
    dots = np.where(tone > WHITE, True, screen < (tone - BLACK) / (WHITE - BLACK))
    outline = grey_levels(large.filter(ImageFilter.GaussianBlur(SCALE)).filter(ImageFilter.FIND_EDGES)) > OUTLINE
    border = 3 * SCALE
    inner = (slice(border, -border), slice(border, -border))
    dots[inner] &= ~outline[inner]
    result = Image.fromarray(np.where(dots, 255, 0).astype(np.uint8))
    return result.resize(photo.size, Image.Resampling.LANCZOS)


def main() -> None:
    """Write the images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=120, help="number of photos, spread over the folder")
    parser.add_argument("--crop", type=int, help="side of the center part that is written")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    files = find_images(options.photos)
    for i, file in enumerate(files[:: max(1, len(files) // options.count)][: options.count]):
        with Image.open(file) as photo:
            image = halftone(photo)
        if options.crop is not None:
            left, top = image.width // 2 - options.crop // 2, image.height // 2 - options.crop // 2
            image = image.crop((left, top, left + options.crop, top + options.crop))
        image.save(options.folder / f"{i:03d}.png")


if __name__ == "__main__":
    main()
