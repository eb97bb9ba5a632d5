"""Images from a prior alone."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor
from torchvision.utils import make_grid

from restorekit.core.denoiser import Denoiser, learned_variance
from restorekit.core.ladders import ladder_for
from restorekit.core.noise import ImageNoise, image_seed
from restorekit.errors import OptionError, unknown
from restorekit.priors.labelled import Labelled
from restorekit.run.engine import Engine, label_of
from restorekit.run.images import Photo, write_photo
from restorekit.sampling.langevin import INNER_STEPS, sample_langevin
from restorekit.sampling.samplers import (
    sample_ancestral,
    sample_ddim,
    sample_dpmpp_2m,
    sample_euler,
    sample_heun,
)

Sampler = Literal["auto", "ancestral", "ddim", "euler", "heun", "dpmpp-2m", "langevin"]
# Side of images from a prior that was trained on windows of any size.
ANY_SIZE = 64
GAP = 2


def draw(
    prior: Denoiser,
    engine: Engine,
    count: int,
    *,
    size: int | None = None,
    steps: int = 100,
    inner_steps: int = INNER_STEPS,
    sampler: Sampler = "auto",
    label: str | None = None,
    seed: int = 0,
) -> Tensor:
    """`count` images (N, C, size, size) in [-1, 1] on the CPU; image i depends on the seed and on i alone.

    size: by default the prior's own window. steps: noise levels visited; a prior that knows only its own visits these.
    sampler: auto is annealed Langevin (with inner_steps) for a prior with levels of its own, DDIM for others.
    label: name of a class of the prior.
    """
    if sampler not in get_args(Sampler):
        raise OptionError(unknown("sampler", sampler, get_args(Sampler), "--sampler"))
    if sampler == "auto":
        sampler = "ddim" if prior.levels is None else "langevin"
    placed = engine.place(prior)
    if label is not None:
        placed = Labelled(placed, torch.tensor([label_of(prior, label, "--label")], device=engine.device))
    side = size or prior.size or ANY_SIZE
    ladder = ladder_for(placed, steps)
    images = []
    for i in range(count):
        noise = ImageNoise([image_seed(seed, str(i))])
        start = noise.like(torch.empty(1, prior.channels, side, side, device=engine.device))
        with torch.no_grad():
            images.append(_one(sampler, placed, start, ladder, noise, inner_steps))
    return torch.cat(images).float().clamp(-1, 1).cpu()


def _one(sampler: str, prior: Denoiser, start: Tensor, ladder: Tensor, noise: ImageNoise, inner_steps: int) -> Tensor:
    x = start * float(ladder[0])
    if sampler == "langevin":
        uniform = 2 * torch.special.ndtr(start) - 1
        return sample_langevin(prior, uniform, ladder, noise, inner_steps=inner_steps)
    if sampler == "ancestral":
        return sample_ancestral(prior, x, ladder, noise, variance="learned" if learned_variance(prior) else "small")
    if sampler == "ddim":
        return sample_ddim(prior, x, ladder, noise)
    return {"euler": sample_euler, "heun": sample_heun, "dpmpp-2m": sample_dpmpp_2m}[sampler](prior, x, ladder)


def write_grid(images: Tensor, path: Path, columns: int | None = None) -> None:
    """Images (N, C, H, W) in [-1, 1] as one picture, by default about as many rows as columns; written atomically."""
    columns = columns or int(len(images) ** 0.5 + 0.999)
    grid = make_grid(images, nrow=columns, padding=GAP, pad_value=1.0)
    blank = torch.zeros(*grid.shape[1:], 3, dtype=torch.uint8).numpy()
    write_photo(Photo(blank).with_tensor(grid), path)
