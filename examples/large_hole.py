"""Draw docs/figures/large_hole.png: a photo from which `restorekit inpaint` removes an object.

    python examples/large_hole.py docs/figures/large_hole.png

The photo is scikit-image's rocket.jpg. The figure shows the photo, the mask over it in white, and the result, whose
other pixels are unchanged.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image, ImageDraw

import restorekit as rk

# Corners (x, y) of the mask over the rocket and its support, in pixels.
OUTLINE = [(300, 120), (345, 120), (350, 300), (365, 350), (365, 426), (283, 426), (283, 350), (303, 300)]


def main() -> None:
    """Draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    photo = Image.fromarray(skimage.data.rocket())
    mask = Image.new("L", photo.size)
    ImageDraw.Draw(mask).polygon(OUTLINE, fill=255)
    before = Image.composite(Image.new("RGB", photo.size, "white"), photo, mask)
    panels = [np.asarray(image) for image in (photo, before, rk.inpaint(photo, mask=mask, seed=0))]
    gap = np.full((photo.height, 4, 3), 255, np.uint8)
    row = Image.fromarray(np.concatenate([panels[0], gap, panels[1], gap, panels[2]], axis=1))
    row.resize((row.width // 2, row.height // 2), Image.Resampling.LANCZOS).save(parser.parse_args().output)


if __name__ == "__main__":
    main()
