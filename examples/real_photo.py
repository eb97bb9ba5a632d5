"""Draw docs/figures/real_photo.png: a part of a real photo before and after `restorekit denoise` with defaults.

    python examples/real_photo.py docs/figures/real_photo.png

The photo is scikit-image's immunohistochemistry.png, a micrograph with the noise and the JPEG artefacts of its camera.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

import restorekit as rk

# Left, top, right, bottom in pixels, and magnification.
PART, ZOOM = (130, 100, 330, 250), 2


def main() -> None:
    """Draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    before = Image.fromarray(skimage.data.immunohistochemistry())
    panels = [np.asarray(image.crop(PART)) for image in (before, rk.denoise(before))]
    gap = np.full((panels[0].shape[0], 2, 3), 255, np.uint8)
    figure = Image.fromarray(np.concatenate([panels[0], gap, panels[1]], axis=1))
    figure.resize((figure.width * ZOOM, figure.height * ZOOM), Image.Resampling.NEAREST).save(
        parser.parse_args().output
    )


if __name__ == "__main__":
    main()
