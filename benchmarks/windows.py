"""Measure seconds, peak memory and the difference from the untiled result by window size, for a prior of any size.

python benchmarks/windows.py PHOTO [MODEL]
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from pathlib import Path

import torch
from torch import Tensor

from restorekit.builtin.denoise import denoise
from restorekit.evaluation.denoising import degrade
from restorekit.models.registry import load_prior
from restorekit.run.engine import Precision, make_engine
from restorekit.run.images import read_photo
from restorekit.run.runner import Runner


def measure(photo: Path, model: str, precision: Precision, window: int) -> tuple[float, float, Tensor]:
    """Return the seconds, the peak GiB of the process, and the result."""
    clean = read_photo(photo).tensor()[0]
    noisy = degrade(clean, photo.stem, 25, 0)[None]
    runner = Runner(denoise, load_prior(model), {"sigma": 25}, make_engine("cpu", precision, window))
    runner.restore(noisy[..., :64, :64], [0])
    start = time.perf_counter()
    result = runner.restore(noisy, [0])
    seconds = time.perf_counter() - start
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, result


def main(photo: Path, model: str) -> None:
    """Print one row per window and precision, each from a separate process; the first is the whole image in float32."""
    whole = -(-max(read_photo(photo).pixels.shape) // 8) * 8
    print("| precision | window | seconds | peak GiB | largest difference from the first row in 8-bit levels |")
    print("|---|--:|--:|--:|--:|")
    first = torch.empty(0)
    precisions: tuple[Precision, ...] = ("float32", "bfloat16")
    for precision in precisions:
        for window in (whole, 512, 256, 128, 96):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                seconds, peak, result = pool.apply(measure, (photo, model, precision, window))
            first = first if len(first) else result
            difference = (result - first).abs().max().item() * 127.5
            print(f"| {precision} | {window} | {seconds:.2f} | {peak:.2f} | {difference:.3f} |", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "ddpm-photo")
