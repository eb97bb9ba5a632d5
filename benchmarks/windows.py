"""Which window suits a prior that is natural at any size? Seconds, peak memory, and the difference to the whole image.

python benchmarks/windows.py PHOTO [MODEL]
"""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

from restorekit.builtin.denoise import denoise
from restorekit.evaluation.denoising import degrade
from restorekit.models.registry import load_prior
from restorekit.run.engine import make_engine
from restorekit.run.images import read_photo

OPTIONS = denoise.checked({"sigma": 25})


def main(photo: Path, model: str) -> None:
    """One row a window and precision, whole image first; memory is the peak of the process so far."""
    clean = read_photo(photo).tensor()[0]
    noisy = degrade(clean, photo.stem, 25, 0)[None]
    prior = load_prior(model)
    print("| precision | window | seconds | peak GiB so far | largest difference in 8-bit levels |")
    print("|---|--:|--:|--:|--:|")
    for precision in ("bfloat16", "float32"):
        whole = None
        for window in (96, 128, 256, 512, max(clean.shape) + 8 - max(clean.shape) % 8):
            engine = make_engine("cpu", precision, window)  # type: ignore[arg-type]
            engine.restore(denoise, engine.place(prior), noisy[..., :64, :64], [0], OPTIONS)
            start = time.perf_counter()
            result = engine.restore(denoise, prior, noisy, [0], OPTIONS)
            seconds = time.perf_counter() - start
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            whole = result if whole is None else whole
            difference = (result - whole).abs().max().item() * 127.5
            print(f"| {precision} | {window} | {seconds:.2f} | {peak:.2f} | {difference:.3f} |", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "ddpm-photo")
