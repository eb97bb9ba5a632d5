"""PSNR of the packages below plugins/ on the middles (128 x 128) of photos, beside classical methods.

python benchmarks/packages.py superres|deblur|colorize PHOTOS [OFFSET]

Every 4th photo from OFFSET (0) on: the defaults were chosen on some of those from 1 on. All is rounded to
8 bits before it is restored and before it is measured.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from skimage import restoration
from torch import Tensor

import restorekit as rk
from restorekit.evaluation.inpainting import rounded
from restorekit.evaluation.metrics import psnr
from restorekit.evaluation.tables import clean_photos

SIDE, NOISE = 128, 2.0
# Of scikit-image's methods, by blur: Wiener's balance and Richardson and Lucy's iterations that are best on the photos
# from 1 on.
CLASSICAL = {"gaussian, sigma 1.6": (0.003, 50), "motion, 15 px at 30 degrees": (0.3, 20)}


def middle(x: Tensor, margin: int = 0) -> Tensor:
    """The middle of a photo (C, H, W) as (1, C, SIDE + 2 margin, SIDE + 2 margin)."""
    side = SIDE + 2 * margin
    top, left = (x.shape[-2] - side) // 2, (x.shape[-1] - side) // 2
    return x[None, :, top : top + side, left : left + side]


def superres(photos: list[Tensor]) -> Iterator[tuple[str, str, float]]:
    """Twice and four times as large, from photos shrunk by bicubic interpolation with anti-aliasing."""
    for scale in (2, 4):
        for clean in map(middle, photos):
            small = rounded(rk.Downsample(scale).forward(clean))
            # torch's bicubic is sharper than Pillow's, and better here.
            bicubic = F.interpolate(small, scale_factor=scale, mode="bicubic")
            yield f"x{scale}", "bicubic", psnr(rounded(bicubic), clean)
            yield f"x{scale}", "restorekit superres", psnr(rounded(rk.superres(small, scale=scale)), clean)


def deblur(photos: list[Tensor]) -> Iterator[tuple[str, str, float]]:
    """Blurred as a camera does, with what lies beyond the border, and noise."""
    ways = {
        "gaussian, sigma 1.6": (rk.gaussian_kernel(1.6), {"gaussian": 1.6}),
        "motion, 15 px at 30 degrees": (rk.motion_kernel(15, 30), {"motion_length": 15, "motion_angle": 30}),
    }
    for name, (kernel, options) in ways.items():
        balance, iterations = CLASSICAL[name]
        reach = kernel.shape[0] // 2
        for i, photo in enumerate(photos):
            clean = middle(photo)
            blurred = rk.Blur(kernel, "valid").forward(middle(photo, reach))
            y = rounded(blurred + NOISE * 2 / 255 * rk.ImageNoise([i]).like(blurred))
            yield name, "blurred", psnr(y, clean)
            yield name, f"Wiener, balance {balance}", psnr(rounded(wiener(y, kernel, balance)), clean)
            lucy = richardson_lucy(y, kernel, iterations)
            yield name, f"Richardson-Lucy, {iterations} iterations", psnr(rounded(lucy), clean)
            yield name, "restorekit deblur", psnr(rounded(rk.deblur(y, **options)), clean)


def colorize(photos: list[Tensor]) -> Iterator[tuple[str, str, float]]:
    """From the luma of Pillow's "L"."""
    for i, clean in enumerate(map(middle, photos)):
        grey = rounded(rk.grayscale().forward(clean))
        yield "luma", "grey", psnr(grey.expand_as(clean), clean)
        for mode in ("mean", "sample"):
            yield (
                "luma",
                f"restorekit colorize --mode {mode}",
                psnr(rounded(rk.colorize(grey, mode=mode, seed=i)), clean),
            )


def wiener(y: Tensor, kernel: Tensor, balance: float) -> Tensor:
    """scikit-image's Wiener filter on the mirrored surroundings, each channel on its own."""
    return _framed(y, kernel, lambda x, psf: restoration.wiener(x, psf, balance, clip=False))


def richardson_lucy(y: Tensor, kernel: Tensor, iterations: int) -> Tensor:
    """scikit-image's Richardson and Lucy on the mirrored surroundings, each channel on its own."""
    return _framed(y, kernel, lambda x, psf: restoration.richardson_lucy(x, psf, num_iter=iterations))


def _framed(y, kernel, method) -> Tensor:  # type: ignore[no-untyped-def]
    frame = 2 * kernel.shape[0]
    whole = (F.pad(y, [frame] * 4, mode="reflect")[0].double().numpy() + 1) / 2
    sharp = np.stack([method(channel, kernel.numpy()) for channel in whole])
    return torch.from_numpy(sharp)[None, :, frame:-frame, frame:-frame].float() * 2 - 1


def main(task: str, folder: Path, offset: int) -> None:
    """Mean over the photos by problem and method."""
    photos = [photo for _, photo in clean_photos(folder, 1)[offset::4]]
    tasks = {"superres": superres, "deblur": deblur, "colorize": colorize}
    rows: dict[tuple[str, str], list[float]] = {}
    for problem, method, value in tasks[task](photos):
        rows.setdefault((problem, method), []).append(value)
    print("| problem | method | PSNR (dB) | photos |\n|---|---|--:|--:|")
    for (problem, method), values in rows.items():
        print(f"| {problem} | {method} | {sum(values) / len(values):.2f} | {len(values)} |")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0)
