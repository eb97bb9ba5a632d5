"""Hole PSNR of `inpaint --mode mean` on six crops of 96 pixels: a quick check that does not replace whole photos.

python benchmarks/inpaint_crops.py PHOTOS MASKS [MODEL]
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from restorekit.builtin.inpaint import inpaint
from restorekit.evaluation.baselines import biharmonic
from restorekit.evaluation.inpainting import read_masks, rounded
from restorekit.evaluation.metrics import psnr
from restorekit.evaluation.tables import clean_photos
from restorekit.models.registry import load_prior
from restorekit.run.engine import make_engine
from restorekit.run.runner import Runner


def main(photos: Path, masks: Path, model: str) -> None:
    """Print one row per mask, over every 4th photo from the second on: the prior and the biharmonic fill."""
    engine = make_engine("cpu")
    runner = Runner(inpaint, load_prior(model), {"mode": "mean", "mask": masks}, engine)
    kinds = read_masks([masks])
    print("| mask | mean | biharmonic |\n|---|--:|--:|")
    for kind in ("text", "scratch", "random50", "random80"):
        rows = []
        for _, whole in clean_photos(photos, 1)[1::4][:6]:
            hole = kinds[kind][whole.shape[1], whole.shape[2]][:, 100:196, 120:216]
            clean = whole[:, 100:196, 120:216]
            if hole.any():
                ours = runner.restore(clean[None], [0], {"mask": hole[None].float()})[0]
                theirs = biharmonic(torch.where(hole, torch.zeros_like(clean), clean), hole)
                rows.append([psnr(rounded(x), clean, hole) for x in (ours, theirs)])
        ours_mean, theirs_mean = torch.tensor(rows).mean(0).tolist()
        print(f"| {kind} | {ours_mean:.2f} | {theirs_mean:.2f} |", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else "ddpm-fill")
