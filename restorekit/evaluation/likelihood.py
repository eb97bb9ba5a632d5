"""Bits per dimension: the variational bound of a DDPM-type prior on photos."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from torchvision.transforms.functional import center_crop

from restorekit.core.denoiser import denoise_at
from restorekit.core.ladders import respaced_steps
from restorekit.core.noise import ImageNoise, image_seed
from restorekit.core.posterior import Variance
from restorekit.core.variational import bound_term, prior_term
from restorekit.errors import ImageError, ModelError, OptionError
from restorekit.evaluation.tables import WriteLine, clean_photos
from restorekit.models.registry import load_prior
from restorekit.priors.epsilon import EpsilonPrior
from restorekit.priors.respaced_variance import RespacedVariance
from restorekit.run.engine import Engine
from restorekit.sampling.samplers import Noise


def bits_per_dimension(
    prior: EpsilonPrior,
    clean: Tensor,
    noise: Noise,
    *,
    steps: str | int | None = None,
    variance: Variance = "small",
    clip: bool = True,
    respaced: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return the bound on -log2 p(clean) / dimensions (Ho et al. 2020, equation 5): total (N,) and terms (N, S).

    The terms start with the noisiest step. The total also contains the KL divergence of the noisiest state from
    N(0, I).

    clean: (N, C, H, W), 8-bit values in [-1, 1]. steps: the trained steps to use, as in `respaced_steps`; None for all.
    clip: whether D is clipped to [-1, 1]. respaced: whether a learned variance is adapted to steps longer than the
    trained ones, see `RespacedVariance`.
    """
    trained = len(prior.table)
    kept = torch.arange(trained) if steps is None else torch.tensor(respaced_steps(trained, str(steps)))
    table, terms = prior.table[kept], []
    evaluated = RespacedVariance(prior, prior.table, table) if respaced and variance == "learned" else prior
    for i in reversed(range(len(table))):
        sigma = float(table[i])
        noisy = clean + sigma * noise.like(clean)
        fraction = None
        if variance == "learned":
            denoised, fraction = evaluated.with_variance(noisy, torch.full((len(clean),), sigma, device=clean.device))
        else:
            denoised = denoise_at(prior, noisy, sigma)
        denoised = denoised.clamp(-1, 1) if clip else denoised
        index = torch.full((len(clean),), i, device=clean.device)
        terms.append(bound_term(clean, denoised, noisy / (1 + sigma**2) ** 0.5, table, index, variance, fraction))
    stacked = torch.stack(terms, 1)
    return stacked.sum(1) + prior_term(clean, table), stacked


def evaluate(
    folder: Path,
    model: str,
    engine: Engine,
    *,
    steps: int | None = None,
    crop: int | None = None,
    every: int = 1,
    seed: int = 0,
    write_line: WriteLine = lambda line: None,
) -> float:
    """Return the mean bits per dimension over the center crops of a folder of photos.

    steps: number of trained steps that are used, by default all. crop: side of the crops, by default that of training.
    every: only every Nth photo. write_line: called with the lines of a Markdown table.
    """
    prior = load_prior(model)
    if not isinstance(prior, EpsilonPrior):
        raise ModelError(f"bpd: {model} has no bound, allowed: a DDPM-type prior (family epsilon)")
    steps = len(prior.table) if steps is None else steps
    if steps > len(prior.table):
        raise OptionError(f"bpd --steps: found {steps}, allowed: 1 to {len(prior.table)}, the number of trained steps")
    placed = cast(EpsilonPrior, engine.place(prior))
    side = crop or prior.info.size or 64
    variance: Variance = "learned" if prior.info.learned_variance else "small"
    bits = []
    for stem, photo in clean_photos(folder, every):
        if photo.shape[0] != prior.info.channels:
            raise ImageError(f"{stem}: found {photo.shape[0]} channels, allowed: {prior.info.channels}")
        if min(photo.shape[1:]) < side:
            raise ImageError(
                f"{stem}: found {photo.shape[2]} x {photo.shape[1]} pixels, allowed: {side} x {side} or more"
            )
        clean = center_crop(photo[None], [side, side]).to(engine.device)
        noise = ImageNoise([image_seed(seed, stem)])
        with torch.no_grad():
            total, _ = bits_per_dimension(placed, clean, noise, steps=steps, variance=variance, respaced=True)
        bits.append(total.item())
    mean = sum(bits) / len(bits)
    write_line("| model | steps | crop | photos | bits per dimension |\n|---|--:|---|--:|--:|")
    write_line(f"| {model} | {steps} | {side} x {side} | {len(bits)} | {mean:.3f} |")
    return mean
