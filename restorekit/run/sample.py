"""Unconditional and class-conditional samples of a prior."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor
from torchvision.utils import make_grid

from restorekit.core.denoiser import Denoiser
from restorekit.core.ladders import ladder_for
from restorekit.core.logits import from_logits, to_logits
from restorekit.core.noise import ImageNoise, check_seed, image_seed, new_seed
from restorekit.core.posterior import Variance
from restorekit.errors import OptionError, RestorekitWarning, unknown
from restorekit.models import registry
from restorekit.priors.epsilon import EpsilonPrior
from restorekit.priors.labelled import Labelled
from restorekit.priors.respaced_variance import RespacedVariance
from restorekit.run.engine import Precision, make_engine
from restorekit.run.images import Photo, write_photo
from restorekit.run.runner import label_index
from restorekit.sampling.langevin import INNER_STEPS, sample_langevin
from restorekit.sampling.samplers import (
    sample_ancestral,
    sample_ddim,
    sample_dpmpp_2m,
    sample_euler,
    sample_heun,
)

Sampler = Literal["auto", "ancestral", "ddim", "euler", "heun", "dpmpp-2m", "langevin"]
# Side of the samples of a prior that accepts any size.
ANY_SIZE = 64
GAP = 2


def sample(
    prior: Denoiser | str | Path,
    count: int = 1,
    *,
    size: int | None = None,
    steps: int = 100,
    inner_steps: int = INNER_STEPS,
    sampler: Sampler = "auto",
    label: str | None = None,
    seed: int | None = 0,
    device: str = "auto",
    precision: Precision = "auto",
) -> Tensor:
    """Sample images from a prior: (count, C, size, size) in [-1, 1] on the CPU; image i depends only on the seed and i.

    prior: a denoiser, or what `load_prior` accepts; samples of a prior of logits (see `PriorInfo`) become images.
    size: side in pixels; by default the window of the prior.
    steps: number of noise levels; a prior with fixed levels uses at most as many as it has.
    inner_steps: number of updates at every level with sampler "langevin".
    sampler: "auto" is annealed Langevin dynamics for a prior with fixed levels, DDIM for others.
    label: name of a class of the prior.
    seed: an integer >= 0; None for a new one, which a RestorekitWarning reports.
    device, precision: see `restorekit.run.engine.make_engine`.
    """
    if count < 1:
        raise OptionError(f"sample count: found {count}, allowed: an integer >= 1")
    if sampler not in get_args(Sampler):
        raise OptionError(unknown("sampler", sampler, get_args(Sampler), "--sampler"))
    if seed is None:
        seed = new_seed()
        warnings.warn(RestorekitWarning(f"sample: seed={seed}"), stacklevel=2)
    seed = check_seed(seed, "sample")
    engine = make_engine(device, precision)
    if isinstance(prior, str | Path):
        prior = registry.load_prior(prior)
    if sampler == "auto":
        sampler = "ddim" if prior.info.levels is None else "langevin"
    placed = engine.place(prior)
    if label is not None:
        placed = Labelled(placed, torch.tensor([label_index(prior.info, label, "--label")], device=engine.device))
    side = size or prior.info.size or ANY_SIZE
    ladder = ladder_for(placed, steps)
    if placed.info.learned_variance and isinstance(prior, EpsilonPrior):
        placed = RespacedVariance(placed, prior.table, ladder)
    images = []
    for i in range(count):
        noise = ImageNoise([image_seed(seed, str(i))])
        start = noise.like(torch.empty(1, prior.info.channels, side, side, device=engine.device))
        with torch.no_grad():
            image = _sample_one(sampler, placed, start, ladder, noise, inner_steps)
            images.append(from_logits(image) if prior.info.logits else image)
    return torch.cat(images).float().clamp(-1, 1).cpu()


def _sample_one(
    sampler: str, prior: Denoiser, start: Tensor, ladder: Tensor, noise: ImageNoise, inner_steps: int
) -> Tensor:
    x = start * float(ladder[0])
    if sampler == "langevin":
        uniform = 2 * torch.special.ndtr(start) - 1
        uniform = to_logits(uniform) if prior.info.logits else uniform
        return sample_langevin(prior, uniform, ladder, noise, inner_steps=inner_steps)
    if sampler == "ancestral":
        variance: Variance = "learned" if prior.info.learned_variance else "small"
        return sample_ancestral(prior, x, ladder, noise, variance=variance, clip=not prior.info.logits)
    if sampler == "ddim":
        return sample_ddim(prior, x, ladder, noise, clip=not prior.info.logits)
    return {"euler": sample_euler, "heun": sample_heun, "dpmpp-2m": sample_dpmpp_2m}[sampler](prior, x, ladder)


def write_grid(images: Tensor, path: Path, columns: int | None = None) -> None:
    """Write images (N, C, H, W) in [-1, 1] as a grid in one file, atomically; by default the grid is about square."""
    columns = columns or int(len(images) ** 0.5 + 0.999)
    grid = make_grid(images, nrow=columns, padding=GAP, pad_value=1.0)
    template = torch.zeros(*grid.shape[1:], 3, dtype=torch.uint8).numpy()
    write_photo(Photo(template).with_tensor(grid), path)
