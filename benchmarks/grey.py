"""PSNR of three ways to apply a colour prior to grey images, on crops of 160 pixels.

python benchmarks/grey.py FOLDER [MODEL]
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from restorekit.core.denoiser import GREY_LEVEL
from restorekit.core.noise import ImageNoise
from restorekit.evaluation.metrics import psnr
from restorekit.evaluation.tables import clean_photos
from restorekit.models.registry import load_prior
from restorekit.priors.grey import SQRT3, Grey


def main(folder: Path, model: str) -> None:
    """Print one row per noise level, over every 5th photo."""
    photos = [x.mean(0, keepdim=True)[:, 100:260, 100:260] for _, x in clean_photos(folder, 5)]
    clean, prior = torch.stack(photos), load_prior(model)
    print("| sigma | D at sigma | D at sqrt(3) sigma | and noise on the other axes |\n|--:|--:|--:|--:|")
    for level in (15, 25, 50):
        sigma = torch.full((len(clean),), level * GREY_LEVEL)
        noisy = clean + sigma[0] * ImageNoise(range(len(clean))).like(clean)
        colour = noisy.expand(-1, 3, -1, -1)
        with torch.inference_mode():
            results = [prior(colour, s).mean(1, keepdim=True) for s in (sigma, sigma * SQRT3)]
            results.append(Grey(prior)(noisy, sigma))
        means = [sum(psnr(a, b) for a, b in zip(result, clean, strict=True)) / len(clean) for result in results]
        print(f"| {level} | " + " | ".join(f"{mean:.2f}" for mean in means) + " |", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "ddpm-photo")
