"""Inpainting with given masks; the PSNR counts the pixels of the hole alone, after rounding to 8 bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from restorekit.builtin.inpaint import inpaint
from restorekit.core.denoiser import Denoiser
from restorekit.core.noise import image_seed
from restorekit.errors import ImageError
from restorekit.evaluation.baselines import fillers
from restorekit.evaluation.tables import Say, Table, clean_photos
from restorekit.models.registry import load_prior
from restorekit.run.engine import Engine
from restorekit.run.images import fit_side_image, read_photo


def read_masks(paths: Sequence[Path]) -> dict[str, dict[tuple[int, int], Tensor]]:
    """Masks by kind (the name before "-WxH") and size: (1, H, W) bool, true is filled. Folders give all their PNGs."""
    files = [file for path in paths for file in (sorted(path.glob("*.png")) if path.is_dir() else [path])]
    masks: dict[str, dict[tuple[int, int], Tensor]] = {}
    for file in files:
        mask = read_photo(file)
        pixels = fit_side_image(mask, 1, mask, "--mask")[0]
        kind, _, size = file.stem.rpartition("-")
        masks.setdefault(kind if size.replace("x", "").isdigit() else file.stem, {})[tuple(pixels.shape[1:])] = (  # type: ignore[index]
            pixels > 0.5
        )
    if not masks:
        raise ImageError(f"--mask: no mask in {', '.join(map(str, paths))}")
    return masks


def rounded(x: Tensor) -> Tensor:
    """x in [-1, 1] as it comes back from an 8-bit file."""
    return ((x.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1


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
    seed: int = 0,
    say: Say = lambda line: None,
) -> Table:
    """Mean hole PSNR and SSIM over a folder of clean photos, for each mask, mode and classical method.

    options: further options of the recipe.
    `say` gets the lines of a Markdown table as they come.
    """
    kinds = read_masks(masks)
    checked = {mode: inpaint.checked({**(options or {}), "mode": mode, "mask": True}) for mode in modes}
    prior = engine.place(load_prior(model) if isinstance(model, str) else model)
    name = model if isinstance(model, str) else type(model).__name__
    methods = fillers() if baselines else {}
    table = Table("mask")
    photos = clean_photos(folder, every)
    say(table.header())
    for kind, sizes in kinds.items():
        for stem, clean in photos:
            if clean.shape[-2:] not in sizes:
                raise ImageError(f"--mask {kind}: none is {clean.shape[2]} x {clean.shape[1]}, the size of {stem}")
            hole = sizes[clean.shape[1], clean.shape[2]]
            masked = torch.where(hole, torch.zeros_like(clean), clean)
            seeds = [image_seed(seed, stem)]
            for mode in modes:
                values = {**checked[mode], "mask": hole[None].float()}
                table.measure(
                    kind,
                    f"{name} {mode}",
                    lambda v=values, m=masked, s=seeds: rounded(engine.restore(inpaint, prior, m[None], s, v)[0]),  # type: ignore[misc]
                    clean,
                    hole,
                )
            for method, run in methods.items():
                table.measure(kind, method, lambda run=run, m=masked, h=hole: rounded(run(m, h)), clean, hole)  # type: ignore[misc]
        say(table.lines(kind))
    return table
