"""Draw docs/figures/scratches.png: a photo with scratches and text over it, before and after `restorekit inpaint`.

    python examples/scratches.py docs/figures/scratches.png

The photo is scikit-image's coffee.png. The mask marks the scratches and the text; all other pixels are unchanged.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image, ImageDraw, ImageFont

import restorekit as rk

# Left, top, right, bottom of the part that is shown, in pixels.
PART = (80, 20, 480, 320)


def damage(width: int, height: int) -> Image.Image:
    """Return a mask of a line of text and of scratches: white on black, without grey edges."""
    mask = Image.new("L", (width, height))
    pen = ImageDraw.Draw(mask)
    pen.text((12, height - 40), "25 December 1994", fill=255, font=ImageFont.load_default(size=26))
    rng = np.random.default_rng(3)
    for _ in range(9):
        x, y = rng.integers(0, width), rng.integers(0, height)
        dx, dy = rng.integers(-40, 40), rng.integers(60, 200)
        pen.line((x, y, x + dx // 2, y + dy // 2, x + dx * 2 // 3, y + dy), fill=255, width=int(rng.integers(1, 4)))
    return mask.point(lambda value: 255 if value else 0)


def main() -> None:
    """Draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    photo = Image.fromarray(skimage.data.coffee()).crop(PART)
    mask = damage(*photo.size)
    before = Image.composite(Image.new("RGB", photo.size, (240, 235, 220)), photo, mask)
    panels = [np.asarray(image) for image in (before, rk.inpaint(before, mask=mask))]
    gap = np.full((panels[0].shape[0], 4, 3), 255, np.uint8)
    Image.fromarray(np.concatenate([panels[0], gap, panels[1]], axis=1)).save(parser.parse_args().output)


if __name__ == "__main__":
    main()
