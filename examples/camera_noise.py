"""Draw synthetic camera noise (`restorekit.training.camera_noise`) on photos of scikit-image.

Every photo is taken by another camera, at three sensitivities. The noise is shown four times as strong, on grey.

    python examples/camera_noise.py FIGURE.png
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import skimage.data
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from restorekit.training.camera_noise import READ_OFFSET, READ_SLOPE, Camera, camera_noise, sample_cameras

SIDE, ZOOM, LINE, GAP = 56, 2, 13, 2
AMPLIFIED = 4
# Variance of the shot noise per unit of signal.
SHOTS = (5e-5, 4e-4, 3e-3)
OFF = {"luma_reduction": 0.0, "chroma_reduction": 0.0, "sharpening": 0.0, "tone": True, "gradient_corrected": True}
REDUCED = {"luma_reduction": 0.6, "chroma_reduction": 1.0, "luma_blur": 1.2, "chroma_blur": 3.0}
# Name of a photo, corner of the crop, description and settings of its camera, size of the raw data.
CAMERAS = (
    ("astronaut", (10, 200), "gradient-corrected demosaicing", {}, 1.0),
    ("chelsea", (100, 90), "bilinear demosaicing, sharpening", {"gradient_corrected": False, "sharpening": 1.0}, 1.0),
    ("coffee", (60, 280), "noise reduction, sharpening", {**REDUCED, "sharpening": 1.0}, 1.0),
    ("rocket", (230, 300), "noise reduction, scaled up by 1.5", REDUCED, 1 / 1.5),
)


def settings(shot: float, **values: float | bool) -> Camera:
    """Return the parameters of one camera, the same white balance and colours for all."""
    sampled = sample_cameras(1, torch.Generator().manual_seed(0))
    values = {**OFF, **values, "shot": shot, "read": shot**READ_SLOPE * torch.e**READ_OFFSET}
    return replace(sampled, **{name: torch.full_like(getattr(sampled, name), value) for name, value in values.items()})


def crop(name: str, corner: tuple[int, int]) -> Tensor:
    """Return a part of a photo of scikit-image, scaled down to (1, 3, SIDE, SIDE) in [0, 1]."""
    top, left = corner
    pixels = torch.from_numpy(getattr(skimage.data, name)()[top : top + 2 * SIDE, left : left + 2 * SIDE].copy())
    return torch.nn.functional.avg_pool2d(pixels.permute(2, 0, 1)[None] / 255, 2)


def draw_figure(path: Path) -> None:
    """Draw a row for each photo: the photo, then the photo with noise and the noise for every sensitivity."""
    panel = SIDE * ZOOM
    width, height = panel + GAP, panel + 2 * LINE + GAP
    figure = Image.new("RGB", ((1 + 2 * len(SHOTS)) * width, len(CAMERAS) * height), "white")
    pen = ImageDraw.Draw(figure)
    for row, (name, corner, text, values, scale) in enumerate(CAMERAS):
        photo, top = crop(name, corner), row * height
        panels = [photo]
        pen.text((GAP, top), f"{name}: {text}", fill="black")
        for index, shot in enumerate(SHOTS):
            noise = camera_noise(photo, settings(shot, **values), scale, torch.Generator().manual_seed(row))
            panels += [photo + noise, AMPLIFIED * noise + 0.5]
            level = f"shot noise {shot:g}: RMS {255 * float(noise.std()):.1f} grey levels"
            pen.text(((2 * index + 1) * width, top + LINE), level, fill="black")
        for column, x in enumerate(panels):
            pixels = (x[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
            image = Image.fromarray(pixels).resize((panel, panel), Image.Resampling.NEAREST)
            figure.paste(image, (column * width, top + 2 * LINE))
    figure.save(path, optimize=True)


if __name__ == "__main__":
    draw_figure(Path(sys.argv[1]))
