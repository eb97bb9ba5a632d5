"""Remove Gaussian noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import restorekit as rk

if TYPE_CHECKING:
    from torch import Tensor

    from restorekit import Denoiser, ImageNoise


@rk.recipe("denoise", samples=True)
def denoise(
    y: Tensor,
    prior: Denoiser,
    noise: ImageNoise,
    *,
    sigma: Annotated[
        float | Literal["auto"],
        rk.Option("Standard deviation of the noise in 8-bit grey levels; auto: estimated per image.", min=0, max=255),
    ] = "auto",
    mode: Annotated[
        Literal["mean", "sample"],
        rk.Option("mean: least-squares estimate, one evaluation; sample: a sample from the posterior."),
    ] = "mean",
    steps: Annotated[int, rk.Option("Number of sampling steps with --mode sample.", min=1, max=1000)] = 20,
    strength: Annotated[float, rk.Option("Fraction of the correction that is applied.", min=0, max=1)] = 1.0,
) -> Tensor:
    """Remove Gaussian noise from photos.

    With x = x0 + sigma n, the mean is D(x, sigma) itself. A sample is the result of the reverse process of Ho et
    al. (2020), started from the photo at its sigma. A prior with fixed noise levels (NCSN) is interpolated between
    them.
    """
    import warnings

    import torch

    sigmas = rk.sigma_per_image(y, sigma)
    noisy = sigmas >= prior.info.sigma_min if sigma == "auto" else sigmas > 0
    if sigma == "auto" and not noisy.all():
        smallest = prior.info.sigma_min / rk.GREY_LEVEL
        text = f"no noise found (the smallest sigma of the prior is {smallest:.2f}); image unchanged"
        for i in (~noisy).nonzero()[:, 0].tolist():
            warnings.warn(rk.RestorekitWarning(text, i), stacklevel=2)
    levels = sigmas.clamp(prior.info.sigma_min, prior.info.sigma_max)
    denoiser = prior if prior.info.levels is None else rk.SigmaInterpolated(prior)
    if mode == "mean":
        clean = denoiser(y, levels)
    else:
        images = zip(y.split(1), noise.split(), levels.tolist(), strict=True)
        clean = torch.cat([_sample(image, denoiser, image_noise, level, steps) for image, image_noise, level in images])
    clean = torch.where(noisy.reshape(-1, 1, 1, 1), clean, y)
    return y + strength * (clean - y)


def _sample(y: Tensor, prior: Denoiser, noise: ImageNoise, level: float, steps: int) -> Tensor:
    """Sample one image (1, C, H, W) from the posterior, given its noise level."""
    ladder = rk.ladder_for(prior, steps, sigma_max=level)
    return rk.sample_ancestral(prior, y, ladder, noise)


@rk.hookimpl
def register_recipes(register):  # type: ignore[no-untyped-def]
    """Register `denoise`."""
    register(denoise)
