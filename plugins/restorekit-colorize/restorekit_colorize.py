"""Colorization of grey photos: a plugin of restorekit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import restorekit as rk

if TYPE_CHECKING:
    from torch import Tensor

    from restorekit import Denoiser, ImageNoise

# First sigma of sampling: noise that hides all colour.
SIGMA_MAX = 20.0
# Guided filter: radius in pixels of the downsampled photo, and variance of luma below which colour is smooth.
RADIUS, EPSILON = 2, 0.02


@rk.recipe("colorize", model="ddpm-photo", samples=True, channels=3)
def colorize(
    y: Tensor,
    prior: Denoiser,
    noise: ImageNoise,
    *,
    mode: Annotated[
        Literal["mean", "sample"],
        rk.Option(
            "Kind of result. mean: mean of several samples, with muted colours; sample: one sample, vivid but more "
            "often wrong."
        ),
    ] = "mean",
    draws: Annotated[int, rk.Option("Number of samples that --mode mean averages.", min=2, max=1000)] = 8,
    size: Annotated[
        int, rk.Option("Shorter side in pixels of the downsampled photo that is colorized.", min=16, max=4096)
    ] = 64,
    strength: Annotated[float, rk.Option("Fraction of the colour that is applied.", min=0, max=1)] = 1.0,
    steps: Annotated[int, rk.Option("Number of noise levels per sample.", min=1, max=1000)] = 20,
) -> Tensor:
    """Colorize grey photos; their luma stays unchanged.

    Colours are sampled for a downsampled photo, so that the prior sees a larger part of it at once, and upsampled along
    the edges of the luma.

    References:
        DDNM (Wang et al. 2022) with the luma of ITU-R BT.601 as the measurement; fast guided filter (He and Sun 2015).
    """
    import torch

    count = draws if mode == "mean" else 1
    results = []
    for i, (image, image_noise) in enumerate(zip(y.split(1), noise.split(), strict=True)):
        luma = _luma(image, i)
        small = _downsample(luma, size)
        chroma = torch.stack([_sample_chroma(small, prior, image_noise, steps) for _ in range(count)]).mean(0)
        results.append(_add_chroma(luma, strength * _upsample_chroma(chroma, small, luma)))
    return torch.cat(results)


def _luma(image: Tensor, index: int) -> Tensor:
    """Return the luma (1, 1, H, W) of an image (1, 1 or 3, H, W); warn if it has colours."""
    import warnings

    if image.shape[1] == 1:
        return image
    if (image - image.mean(1, keepdim=True)).abs().max() > rk.GREY_LEVEL:
        warnings.warn(rk.RestorekitWarning("the photo has colours; only its luma is used", index), stacklevel=3)
    return rk.grayscale().forward(image)


def _downsample(luma: Tensor, size: int) -> Tensor:
    """Average luma (1, 1, H, W) to a shorter side of at most `size` pixels."""
    import torch.nn.functional as F

    height, width = luma.shape[-2:]
    factor = min(1.0, size / min(height, width))
    return F.adaptive_avg_pool2d(luma, (max(1, round(height * factor)), max(1, round(width * factor))))


def _sample_chroma(luma: Tensor, prior: Denoiser, noise: ImageNoise, steps: int) -> Tensor:
    """Sample the chroma (1, 3, H, W) of luma (1, 1, H, W): the difference of the colour image and the luma."""
    grey = luma.expand(-1, 3, -1, -1)
    sample = rk.solve_ddnm(prior, rk.grayscale(), luma, 0.0, noise, steps=steps, start=grey, sigma_max=SIGMA_MAX)
    return _add_chroma(luma, sample - grey) - grey


def _upsample_chroma(chroma: Tensor, small: Tensor, luma: Tensor) -> Tensor:
    """Upsample the chroma (1, 3, h, w) of a small luma (1, 1, h, w) to the size of luma (1, 1, H, W).

    Chroma is modelled as a linear function of luma within a window, with smooth coefficients (guided filter).
    """
    import torch.nn.functional as F

    if small.shape == luma.shape:
        return chroma

    def mean(x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 2 * RADIUS + 1, stride=1, padding=RADIUS, count_include_pad=False)

    mean_luma, mean_chroma = mean(small), mean(chroma)
    covariance = mean(small * chroma) - mean_luma * mean_chroma
    slope = covariance / (mean(small * small) - mean_luma * mean_luma + EPSILON)
    offset = mean_chroma - slope * mean_luma
    slope, offset = (F.interpolate(mean(x), luma.shape[-2:], mode="bilinear") for x in (slope, offset))
    return slope * luma + offset


def _add_chroma(luma: Tensor, chroma: Tensor) -> Tensor:
    """Return luma + chroma, with the chroma of each pixel scaled down so that all three channels are in [-1, 1].

    The luma of chroma is 0, so that scaling does not change the luma of the result.
    """
    import torch

    tiny = torch.finfo(chroma.dtype).tiny
    max_scale = torch.where(chroma > 0, 1 - luma, 1 + luma) / chroma.abs().clamp(min=tiny)
    return luma + max_scale.amin(1, keepdim=True).clamp(0, 1) * chroma


@rk.hookimpl
def register_recipes(register):  # type: ignore[no-untyped-def]
    """Register `colorize`."""
    register(colorize)
