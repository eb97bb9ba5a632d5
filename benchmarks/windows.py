"""Measure time, peak memory and the difference from the untiled result by window and overlap, for a prior of any size.

python benchmarks/windows.py PHOTO [MODEL]
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import sys
import time
from pathlib import Path

import torch
from torch import Tensor

from restorekit.core.memory import reuse_large_buffers
from restorekit.evaluation.denoising import degrade
from restorekit.models.registry import load_prior
from restorekit.priors.tiled import Tiled
from restorekit.run.engine import Precision, make_engine
from restorekit.run.images import read_photo

SIGMA = 25
# Largest windows and smallest overlaps.
WINDOWS = ((256, 0), (256, 16), (256, 24), (256, 32), (256, 48), (128, 24))


def measure(
    photo: Path, model: str, precision: Precision, window: int, overlap: int
) -> tuple[float, float, float, Tensor]:
    """Return the seconds, the seconds of all cores, the peak GiB of the process, and D."""
    reuse_large_buffers()
    clean = read_photo(photo).tensor()[0]
    noisy, sigma = degrade(clean, photo.stem, SIGMA, 0)[None], torch.tensor([SIGMA / 127.5])
    prior = Tiled(make_engine("cpu", precision).place(load_prior(model)), window=window, overlap=overlap)
    with torch.no_grad():
        prior(noisy[..., :64, :64], sigma)
        start, cpu_start = time.perf_counter(), os.times()
        result = prior(noisy, sigma)
    seconds, cpu = time.perf_counter() - start, os.times()
    cpu_seconds = cpu.user + cpu.system - cpu_start.user - cpu_start.system
    return seconds, cpu_seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, result


def main(photo: Path, model: str) -> None:
    """Print one row per precision and window, each from a separate process; the first is the whole image in float32."""
    whole = -(-max(read_photo(photo).pixels.shape) // 8) * 8
    print("| precision | window | overlap | seconds | CPU seconds | peak GiB | largest difference | root mean square |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    first = torch.empty(0)
    precisions: tuple[Precision, ...] = ("float32", "bfloat16")
    for precision in precisions:
        for window, overlap in ((whole, 0), *WINDOWS):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                seconds, cpu, peak, result = pool.apply(measure, (photo, model, precision, window, overlap))
            first = first if len(first) else result
            grey_levels = (result - first) * 127.5
            difference = f"{grey_levels.abs().max():.2f} | {grey_levels.square().mean().sqrt():.4f}"
            row = f"{precision} | {window} | {overlap} | {seconds:.1f} | {cpu:.1f} | {peak:.2f} | {difference}"
            print(f"| {row} |", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "ddpm-photo")
