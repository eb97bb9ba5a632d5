"""Measure the time of annealed Langevin dynamics with an NCSN prior and the loss of quality with fewer updates.

python benchmarks/ncsn.py PHOTOS MASKS [MODEL]

Prints the seconds of one 64 x 64 sample with 10 levels of 100 updates, and the hole PSNR of inpainting crops of 64 x 64
(text and random50) with 100 updates per level and with fewer, with the published Euler scheme (step 0.2) and with
that of Leimkuhler and Matthews.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch
from torch import Tensor

from restorekit.core.denoiser import Denoiser
from restorekit.core.ladders import ladder_for
from restorekit.core.noise import ImageNoise
from restorekit.core.operators import Masking
from restorekit.evaluation.inpainting import read_masks, rounded
from restorekit.evaluation.metrics import psnr
from restorekit.evaluation.tables import clean_photos
from restorekit.initial.smooth_fill import smooth_fill
from restorekit.models.registry import load_prior
from restorekit.run.engine import make_engine
from restorekit.run.sample import sample
from restorekit.sampling.langevin import STEP, sample_langevin

# Number of updates per level and their step size; 0 updates mean the smooth fill.
RUNS = ((0, None), (3, None), (10, None), (10, STEP), (100, STEP))
SIDE, TOP, LEFT, COUNT = 64, 110, 140, 4


def crops(photos: Path, masks: Path) -> tuple[Tensor, Tensor]:
    """Return clean crops (N, 3, 64, 64) and holes (N, 1, 64, 64): COUNT of each mask, from every 4th photo."""
    kinds = read_masks([masks])
    clean, holes = [], []
    for kind in ("text", "random50"):
        found = 0
        for _, whole in clean_photos(photos, 1)[1::4]:
            place = slice(TOP, TOP + SIDE), slice(LEFT, LEFT + SIDE)
            hole = kinds[kind][whole.shape[1], whole.shape[2]][:, place[0], place[1]]
            if hole.any() and found < COUNT:
                clean.append(whole[:, place[0], place[1]])
                holes.append(hole)
                found += 1
    return torch.stack(clean), torch.stack(holes)


def fill(prior: Denoiser, clean: Tensor, holes: Tensor, inner_steps: int, step: float | None) -> Tensor:
    """Fill the holes of a batch by annealed Langevin dynamics."""
    known = Masking(~holes)
    noise = ImageNoise(range(len(clean)))
    start = 2 * torch.special.ndtr(noise.like(clean)) - 1
    with torch.no_grad():
        ladder = ladder_for(prior, 10)
        observed = known.forward(clean)
        return sample_langevin(
            prior, start, ladder, noise, inner_steps=inner_steps, step=step, operator=known, y=observed
        ).float()


def main(photos: Path, masks: Path, model: str) -> None:
    """Print the table."""
    engine = make_engine("cpu")
    prior = engine.place(load_prior(model))
    start = time.perf_counter()
    sample(prior, size=SIDE, steps=10, inner_steps=100, device="cpu")
    print(f"one sample of {SIDE} x {SIDE}, 10 x 100 updates: {time.perf_counter() - start:.0f} s\n")
    clean, holes = crops(photos, masks)
    smooth = smooth_fill(torch.where(holes, torch.zeros_like(clean), clean), holes)
    print("| mask | updates per level | scheme | hole PSNR (dB) | s per crop |\n|---|--:|---|--:|--:|")
    for inner_steps, step in RUNS:
        start = time.perf_counter()
        filled = fill(prior, clean, holes, inner_steps, step) if inner_steps else smooth
        seconds = (time.perf_counter() - start) / len(clean)
        for kind, rows in (("text", range(COUNT)), ("random50", range(COUNT, 2 * COUNT))):
            values = [psnr(rounded(filled[i]), clean[i], holes[i]) for i in rows]
            scheme = "smooth fill" if not inner_steps else "Leimkuhler-Matthews" if step is None else "Euler"
            print(f"| {kind} | {inner_steps} | {scheme} | {sum(values) / COUNT:.2f} | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else "ncsn-photo")
