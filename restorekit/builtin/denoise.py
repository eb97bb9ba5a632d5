"""Remove noise, and the artefacts of JPEG."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import restorekit as rk

if TYPE_CHECKING:
    from torch import Tensor

    from restorekit import Denoiser, ImageNoise


def check_noise(options: Mapping[str, Any]) -> None:
    """Raise OptionError if options of white noise are combined with camera noise."""
    for name, value in (("sigma", "auto"), ("mode", "mean")):
        if options["noise"] == "camera" and options[name] != value:
            raise rk.OptionError(
                f"denoise: --{name} {options[name]} with --noise camera; allowed: --{name} {value}, or --noise gaussian"
            )


def options_for_strips(sample: Tensor, info: rk.PriorInfo, options: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the kind and the level of the noise of a large photo, given a sample; None for --mode sample."""
    if options["mode"] == "sample":
        return None
    if info.blind or options["noise"] == "camera" or options["sigma"] != "auto":
        return {}
    estimate = rk.estimate_noise(sample)
    if options["noise"] == "auto" and not estimate.is_white:
        return {"noise": "camera"}
    level = float(estimate.sigma)
    return {"noise": "gaussian", "sigma": level / rk.GREY_LEVEL if level >= info.sigma_min else 0.0}


@rk.recipe(
    "denoise",
    samples=True,
    check=check_noise,
    evaluations=lambda options: 1 if options["mode"] == "mean" else None,
    strips=options_for_strips,
)
def denoise(
    y: Tensor,
    prior: Denoiser,
    noise: ImageNoise,
    *,
    noise_: Annotated[
        Literal["auto", "camera", "gaussian"],
        rk.Option(
            "Kind of noise to remove. camera: noise of camera photos and artefacts of JPEG; gaussian: white Gaussian "
            "noise; auto: gaussian with --sigma or --mode sample, otherwise chosen for each photo."
        ),
    ] = "auto",
    sigma: Annotated[
        float | Literal["auto"],
        rk.Option(
            "Standard deviation of white Gaussian noise in 8-bit grey levels; auto: estimated per image.",
            min=0,
            max=255,
        ),
    ] = "auto",
    mode: Annotated[
        Literal["mean", "sample"],
        rk.Option("Kind of result. mean: least-squares estimate, smooth; sample: one plausible photo, with detail."),
    ] = "mean",
    steps: Annotated[int, rk.Option("Number of sampling steps with --mode sample.", min=1, max=1000)] = 20,
    strength: Annotated[float, rk.Option("Fraction of the correction that is applied.", min=0, max=1)] = 1.0,
    camera_model: Annotated[
        Denoiser, rk.ModelOption("Prior for camera noise, which estimates the noise itself.", "camera-photo")
    ],
) -> Tensor:
    """Remove noise from photos.

    White Gaussian noise, x = x0 + sigma n: the mean is D(x, sigma) of --model. A sample is the result of the reverse
    diffusion process, started from the photo at its sigma. A prior with fixed noise levels is interpolated between
    them.

    Camera noise: the noise of a photo was demosaiced, denoised in the camera and compressed, so that it is neither
    white nor Gaussian. The mean is D(y) of the blind --camera-model, which estimates the noise itself. A photo without
    noise hardly changes.

    References:
        The reverse process is that of Ho et al. 2020, algorithm 2.
    """
    import warnings

    import torch

    gaussian = noise_ == "gaussian" or (noise_ == "auto" and (sigma != "auto" or mode == "sample"))
    if prior.info.blind:
        if gaussian:
            raise rk.OptionError(
                "denoise: the prior is blind; allowed: --noise camera, without --sigma and --mode sample"
            )
        noise_, camera_model = "camera", prior
    white = torch.full((len(y),), gaussian, device=y.device)
    if noise_ == "auto" and not gaussian:
        estimate = rk.estimate_noise(y)
        sigmas, white = estimate.sigma, estimate.is_white
    else:
        sigmas = rk.sigma_per_image(y, sigma if gaussian else 0.0)
        if gaussian and sigma != "auto" and (note := _outside(sigma, prior)):
            warnings.warn(rk.RestorekitWarning(note), stacklevel=2)
    changed = ~white | (sigmas >= prior.info.sigma_min if sigma == "auto" else sigmas > 0)
    clean = y.clone()
    if (selected := white & changed).any():
        noises = [part for part, use in zip(noise.split(), selected.tolist(), strict=True) if use]
        clean[selected] = _remove_white_noise(y[selected], prior, noises, sigmas[selected], mode, steps)
    if not white.all():
        clean[~white] = camera_model(y[~white], sigmas[~white])
    for i in range(len(y) if sigma == "auto" else 0):
        found = _white_noise(sigmas[i], prior) if white[i] else _camera_noise(y[i] - clean[i])
        warnings.warn(rk.RestorekitWarning(found, i), stacklevel=2)
    return y + strength * (clean - y)


def _remove_white_noise(
    y: Tensor, prior: Denoiser, noises: list[ImageNoise], sigmas: Tensor, mode: str, steps: int
) -> Tensor:
    """Return the mean or a sample of the posterior of images (N, C, H, W), given their noise levels (N,)."""
    import torch

    levels = sigmas.clamp(prior.info.sigma_min, prior.info.sigma_max)
    denoiser = prior if prior.info.levels is None else rk.SigmaInterpolated(prior)
    if mode == "mean":
        return denoiser(y, levels)
    images = zip(y.split(1), noises, levels.tolist(), strict=True)
    return torch.cat([_sample(image, denoiser, image_noise, level, steps) for image, image_noise, level in images])


def _sample(y: Tensor, prior: Denoiser, noise: ImageNoise, level: float, steps: int) -> Tensor:
    """Sample one image (1, C, H, W) from the posterior, given its noise level."""
    ladder = rk.ladder_for(prior, steps, sigma_max=level)
    return rk.sample_ancestral(prior, y, ladder, noise)


def _outside(sigma: float, prior: Denoiser) -> str:
    """Return a note if a sigma in grey levels is outside the range of the prior; otherwise an empty string."""
    low, high = prior.info.sigma_min / rk.GREY_LEVEL, prior.info.sigma_max / rk.GREY_LEVEL
    if 0 < sigma < 0.99 * low:
        return f"sigma {sigma:.3g} grey levels: the smallest sigma of the prior, {low:.2f}, is used (white is 255)"
    if sigma > 1.01 * high:
        return f"sigma {sigma:.3g} grey levels: the largest sigma of the prior, {high:.4g}, is used"
    return ""


def _white_noise(sigma: Tensor, prior: Denoiser) -> str:
    """Describe the white noise of an image, whose level is estimated."""
    if sigma < prior.info.sigma_min:
        smallest = prior.info.sigma_min / rk.GREY_LEVEL
        return f"no noise found (the smallest sigma of the prior is {smallest:.2f}); image unchanged"
    return f"white noise of sigma {float(sigma) / rk.GREY_LEVEL:.1f} grey levels; Gaussian prior used"


def _camera_noise(removed: Tensor) -> str:
    """Describe the camera noise that was removed from an image (C, H, W)."""
    level = float(removed.square().mean().sqrt()) / rk.GREY_LEVEL
    kind = "hardly any noise" if level < NOTICEABLE else "camera noise or JPEG artefacts"
    return f"{kind}, about {level:.1f} grey levels; blind camera prior used"


# Smallest standard deviation in grey levels that is called noise.
NOTICEABLE = 1.0


@rk.hookimpl
def register_recipes(register):  # type: ignore[no-untyped-def]
    """Register `denoise`."""
    register(denoise)
