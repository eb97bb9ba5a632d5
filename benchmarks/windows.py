"""Which window suits a prior that is natural at any size? Seconds, peak memory, and the difference to the whole image.

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

OPTIONS = denoise.checked({"sigma": 25})


def measure(photo: Path, model: str, precision: Precision, window: int) -> tuple[float, float, Tensor]:
    """Seconds, peak GiB of the process, and the result."""
    clean = read_photo(photo).tensor()[0]
    noisy = degrade(clean, photo.stem, 25, 0)[None]
    engine = make_engine("cpu", precision, window)
    prior = engine.place(load_prior(model))
    engine.restore(denoise, prior, noisy[..., :64, :64], [0], OPTIONS)
    start = time.perf_counter()
    result = engine.restore(denoise, prior, noisy, [0], OPTIONS)
    seconds = time.perf_counter() - start
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, result


def main(photo: Path, model: str) -> None:
    """One row a window and precision, each in a process of its own; the whole image in float32 comes first."""
    whole = -(-max(read_photo(photo).pixels.shape) // 8) * 8
    print("| precision | window | seconds | peak GiB | largest difference to the first row in 8-bit levels |")
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
