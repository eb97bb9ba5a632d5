"""Hide the center of a photo from scikit-image and complete it with every class of a prior.

python examples/complete.py FIGURE.png [--steps 30] [--model NAME]

The figure shows the photo, its known pixels, and one completion per class, in the order of
`restorekit complete --labels`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data

import restorekit as rk

# Crop of the photo: first row and column, and side. Panels of the figure: side, number per row, and gap in pixels.
TOP, LEFT, SIDE = 165, 190, 256
SHOWN, COLUMNS, GAP = 192, 4, 4


def main() -> None:
    """Write the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figure", type=Path)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--model", default="guided-scenes")
    arguments = parser.parse_args()
    prior = rk.load_prior(arguments.model)
    photo = Image.fromarray(data.rocket()[TOP : TOP + SIDE, LEFT : LEFT + SIDE])
    hole = np.zeros((SIDE, SIDE), np.uint8)
    hole[SIDE // 4 : SIDE * 3 // 4, SIDE // 4 : SIDE * 3 // 4] = 255
    mask = Image.fromarray(hole)
    pictures = [photo, Image.composite(Image.new("RGB", photo.size, "white"), photo, mask)]
    for label in prior.info.classes or ():
        pictures.append(rk.complete(photo, prior, mask=mask, label=label, steps=arguments.steps))
        print(label, flush=True)
    rows, step = -(-len(pictures) // COLUMNS), SHOWN + GAP
    figure = Image.new("RGB", (COLUMNS * step - GAP, rows * step - GAP), "white")
    for i, picture in enumerate(pictures):
        row, column = divmod(i, COLUMNS)
        figure.paste(picture.resize((SHOWN, SHOWN), Image.Resampling.LANCZOS), (column * step, row * step))
    figure.save(arguments.figure)


if __name__ == "__main__":
    main()
