"""PSNR of the packages in plugins/ on center crops (128 x 128) of photos, compared with classical methods.

python benchmarks/packages.py superres|deblur|colorize PHOTOS [OFFSET]

Uses every 4th photo, starting at OFFSET (default 0); the defaults were chosen on some of the photos of OFFSET 1. Images
are rounded to 8 bits before they are restored and before they are measured.
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
# Parameters of scikit-image's methods by blur, the best on the photos of OFFSET 1: balance of the Wiener filter and
# number of Richardson-Lucy iterations.
CLASSICAL = {"gaussian, sigma 1.6": (0.003, 50), "motion, 15 px at 30 degrees": (0.3, 20)}


def center(x: Tensor, margin: int = 0) -> Tensor:
    """Return the center crop of a photo (C, H, W) as (1, C, SIDE + 2 margin, SIDE + 2 margin)."""
    side = SIDE + 2 * margin
    top, left = (x.shape[-2] - side) // 2, (x.shape[-1] - side) // 2
    return x[None, :, top : top + side, left : left + side]


def superres(photos: list[Tensor]) -> Iterator[tuple[str, str, float]]:
    """Yield results for photos downsampled by 2 and 4 with bicubic interpolation and anti-aliasing."""
    for scale in (2, 4):
        for clean in map(center, photos):
            small = rounded(rk.Downsample(scale).forward(clean))
            # torch's bicubic is sharper than Pillow's, and better here.
            bicubic = F.interpolate(small, scale_factor=scale, mode="bicubic")
            yield f"x{scale}", "bicubic", psnr(rounded(bicubic), clean)
            yield f"x{scale}", "restorekit superres", psnr(rounded(rk.superres(small, scale=scale)), clean)


def deblur(photos: list[Tensor]) -> Iterator[tuple[str, str, float]]:
    """Yield results for blurred photos with noise; the blur includes the surroundings of the crop."""
    blurs = {
        "gaussian, sigma 1.6": (rk.gaussian_kernel(1.6), {"gaussian": 1.6}),
        "motion, 15 px at 30 degrees": (rk.motion_kernel(15, 30), {"motion_length": 15, "motion_angle": 30}),
    }
    for name, (kernel, options) in blurs.items():
        balance, iterations = CLASSICAL[name]
        reach = kernel.shape[0] // 2
        for i, photo in enumerate(photos):
            clean = center(photo)
            blurred = rk.Blur(kernel, "valid").forward(center(photo, reach))
            y = rounded(blurred + NOISE * rk.GREY_LEVEL * rk.ImageNoise([i]).like(blurred))
            yield name, "blurred", psnr(y, clean)
            yield name, f"Wiener, balance {balance}", psnr(rounded(wiener(y, kernel, balance)), clean)
            lucy = richardson_lucy(y, kernel, iterations)
            yield name, f"Richardson-Lucy, {iterations} iterations", psnr(rounded(lucy), clean)
            yield name, "restorekit deblur", psnr(rounded(rk.deblur(y, **options)), clean)


def colorize(photos: list[Tensor]) -> Iterator[tuple[str, str, float]]:
    """Yield results for the luma of photos (ITU-R BT.601, as Pillow's mode "L")."""
    for i, clean in enumerate(map(center, photos)):
        grey = rounded(rk.grayscale().forward(clean))
        yield "luma", "grey", psnr(grey.expand_as(clean), clean)
        for mode in ("mean", "sample"):
            yield (
                "luma",
                f"restorekit colorize --mode {mode}",
                psnr(rounded(rk.colorize(grey, mode=mode, seed=i)), clean),
            )


def wiener(y: Tensor, kernel: Tensor, balance: float) -> Tensor:
    """Apply scikit-image's Wiener filter to each channel, padded by reflection."""
    return _padded(y, kernel, lambda x, psf: restoration.wiener(x, psf, balance, clip=False))


def richardson_lucy(y: Tensor, kernel: Tensor, iterations: int) -> Tensor:
    """Apply scikit-image's Richardson-Lucy deconvolution to each channel, padded by reflection."""
    return _padded(y, kernel, lambda x, psf: restoration.richardson_lucy(x, psf, num_iter=iterations))


def _padded(y, kernel, method) -> Tensor:  # type: ignore[no-untyped-def]
    pad = 2 * kernel.shape[0]
    padded = (F.pad(y, [pad] * 4, mode="reflect")[0].double().numpy() + 1) / 2
    sharp = np.stack([method(channel, kernel.numpy()) for channel in padded])
    return torch.from_numpy(sharp)[None, :, pad:-pad, pad:-pad].float() * 2 - 1


def main(task: str, folder: Path, offset: int) -> None:
    """Print the mean over the photos by problem and method."""
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
