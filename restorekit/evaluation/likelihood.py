"""Bits per dimension of a DDPM-type prior: its variational bound on photos."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from restorekit.core.denoiser import denoise_at
from restorekit.core.ladders import respaced_steps
from restorekit.core.noise import ImageNoise, image_seed
from restorekit.core.variational import Variance, bound_term, prior_term
from restorekit.errors import ImageError, ModelError, OptionError
from restorekit.evaluation.tables import Say, clean_photos
from restorekit.models.registry import load_prior
from restorekit.priors.epsilon import EpsilonPrior
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
) -> tuple[Tensor, Tensor]:
    """The bound on -log2 p(clean) / dimensions: its total (N,), and its terms (N, S), from the noisiest step down.

    clean: (N, C, H, W) of 8-bit values in [-1, 1]. steps: of the trained ones, as in `respaced_steps`; None for all.
    clip: D to [-1, 1]. The total also holds the divergence of the noisiest state from N(0, I).
    """
    trained = len(prior.table)
    kept = torch.arange(trained) if steps is None else torch.tensor(respaced_steps(trained, str(steps)))
    table, terms = prior.table[kept], []
    for i in reversed(range(len(table))):
        sigma = float(table[i])
        noisy = clean + sigma * noise.like(clean)
        fraction = None
        if variance == "learned":
            denoised, fraction = prior.with_variance(noisy, torch.full((len(clean),), sigma, device=clean.device))
        else:
            denoised = denoise_at(prior, noisy, sigma)
        denoised = denoised.clamp(-1, 1) if clip else denoised
        index = torch.full((len(clean),), i, device=clean.device)
        terms.append(bound_term(clean, denoised, noisy / (1 + sigma**2) ** 0.5, table, index, variance, fraction))
    each = torch.stack(terms, 1)
    return each.sum(1) + prior_term(clean, table), each


def evaluate(
    folder: Path,
    model: str,
    engine: Engine,
    *,
    steps: int = 100,
    crop: int | None = None,
    every: int = 1,
    seed: int = 0,
    say: Say = lambda line: None,
) -> float:
    """Mean bits per dimension over the middles (crop x crop, by default the prior's size) of a folder of photos."""
    prior = load_prior(model)
    if not isinstance(prior, EpsilonPrior):
        raise ModelError(f"bpd: {model} is no prior of the DDPM type (family epsilon); it has no bound")
    if steps > len(prior.table):
        raise OptionError(f"bpd --steps: found {steps}, allowed: 1 to {len(prior.table)}, the trained ones")
    placed = cast(EpsilonPrior, engine.place(prior))
    side = crop or prior.size or 64
    variance: Variance = "learned" if prior.learned_variance else "small"
    found = []
    for stem, photo in clean_photos(folder, every):
        if photo.shape[0] != prior.channels:
            raise ImageError(f"{stem}: has {photo.shape[0]} channels, allowed: {prior.channels}, the prior's")
        if min(photo.shape[1:]) < side:
            raise ImageError(f"{stem}: is {photo.shape[2]} x {photo.shape[1]}, allowed: {side} pixels a side or more")
        top, left = ((length - side) // 2 for length in photo.shape[1:])
        clean = photo[None, :, top : top + side, left : left + side].to(engine.device)
        noise = ImageNoise([image_seed(seed, stem)])
        with torch.no_grad():
            total, _ = bits_per_dimension(placed, clean, noise, steps=steps, variance=variance)
        found.append(total.item())
    mean = sum(found) / len(found)
    say(f"{mean:.3f} bits per dimension ({model}, {steps} steps, {len(found)} photos, {side} x {side})")
    return mean
