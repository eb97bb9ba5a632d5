"""Evaluation of inpainting with given masks. The PSNR is that of the pixels of the hole, after rounding to 8 bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from restorekit.builtin.inpaint import inpaint
from restorekit.core.denoiser import Denoiser
from restorekit.errors import ImageError
from restorekit.evaluation.baselines import fillers
from restorekit.evaluation.tables import Table, WriteLine, clean_photos
from restorekit.models.registry import load_prior
from restorekit.run.engine import Engine
from restorekit.run.images import read_photo
from restorekit.run.job_files import sample_seed
from restorekit.run.masks import mask_values
from restorekit.run.runner import Runner


def read_masks(paths: Sequence[Path]) -> dict[str, dict[tuple[int, int], Tensor]]:
    """Return masks (1, H, W), bool, true where the pixel is filled, by kind and size (H, W).

    The kind is the part of the file name before "-WxH". All PNG files of a folder are read.
    """
    files = [file for path in paths for file in (sorted(path.glob("*.png")) if path.is_dir() else [path])]
    masks: dict[str, dict[tuple[int, int], Tensor]] = {}
    for file in files:
        mask = read_photo(file)
        pixels = torch.from_numpy(mask_values(mask, "auto", f"{file}: --mask", "mask"))[None]
        kind, _, size = file.stem.rpartition("-")
        masks.setdefault(kind if size.replace("x", "").isdigit() else file.stem, {})[tuple(pixels.shape[1:])] = (  # type: ignore[index]
            pixels > 0.5
        )
    if not masks:
        raise ImageError(f"--mask: no PNG file in {', '.join(map(str, paths))}")
    return masks


def rounded(x: Tensor) -> Tensor:
    """Clip x to [-1, 1] and round it to the 256 values of an 8-bit file."""
    return ((x.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1


def _mean_result(runner: Runner, masked: Tensor, hole: Tensor, seeds: Sequence[int]) -> Tensor:
    """Return the mean of the results of a photo (C, H, W), one for each seed, rounded."""
    batch = masked.expand(len(seeds), -1, -1, -1)
    return rounded(runner.restore(batch, seeds, {"mask": hole[None].float()}).mean(0))


def evaluate(
    folder: Path,
    masks: Sequence[Path],
    modes: Sequence[str],
    model: str | Denoiser,
    engine: Engine,
    *,
    options: Mapping[str, Any] | None = None,
    every: int = 1,
    baselines: bool = True,
    samples: int = 1,
    seed: int = 0,
    write_line: WriteLine = lambda line: None,
) -> Table:
    """Return the mean PSNR in the hole and SSIM over a folder of clean photos, by mask, mode and classical method.

    masks: files and folders, see `read_masks`. modes: of `inpaint`. model: a denoiser, or what `load_prior` accepts.
    options: other options of `inpaint`. every: only every Nth photo.
    samples: number of samples of mode "sample", of which the mean is measured.
    write_line: called with the lines of a Markdown table as soon as they are measured.
    """
    kinds = read_masks(masks)
    prior = load_prior(model) if isinstance(model, str) else model
    runners = {mode: Runner(inpaint, prior, {**(options or {}), "mode": mode, "mask": masks}, engine) for mode in modes}
    name = model if isinstance(model, str) else type(model).__name__
    counts = {mode: samples if mode == "sample" else 1 for mode in modes}
    methods = fillers() if baselines else {}
    table = Table("mask")
    photos = clean_photos(folder, every)
    write_line(table.header())
    for kind, sizes in kinds.items():
        for stem, clean in photos:
            if clean.shape[-2:] not in sizes:
                raise ImageError(f"--mask {kind}: no mask has the size of {stem}, {clean.shape[2]} x {clean.shape[1]}")
            hole = sizes[clean.shape[1], clean.shape[2]]
            masked = torch.where(hole, torch.zeros_like(clean), clean)
            for mode, count in counts.items():
                method = f"{name} {mode}" + (f", mean of {count}" if count > 1 else "")
                seeds = [sample_seed(seed, stem, number) for number in range(count)]
                table.measure(kind, method, partial(_mean_result, runners[mode], masked, hole, seeds), clean, hole)
            for method, run in methods.items():
                table.measure(kind, method, lambda run=run, m=masked, h=hole: rounded(run(m, h)), clean, hole)  # type: ignore[misc]
        write_line(table.lines(kind))
    return table
