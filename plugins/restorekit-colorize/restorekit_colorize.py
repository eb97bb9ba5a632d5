"""Colour for grey photos: a plugin of restorekit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import restorekit as rk

if TYPE_CHECKING:
    from torch import Tensor

    from restorekit import Denoiser, ImageNoise

# One 8-bit grey level, in the unit of images in [-1, 1].
LEVEL = 2 / 255
# Noise that hides all colour, where drawing starts.
FROM = 20.0
# Of the guided upsampling: reach in pixels of the small photo, and variance of luma below which colour is even.
REACH, EVEN = 2, 0.02


@rk.recipe("colorize", model="ddpm-photo", samples=True, channels=3)
def colorize(
    y: Tensor,
    prior: Denoiser,
    noise: ImageNoise,
    *,
    mode: Annotated[
        Literal["mean", "sample"],
        rk.Option("mean: muted colours, the mean of several draws; sample: one draw, stronger and more often wrong."),
    ] = "mean",
    draws: Annotated[int, rk.Option("Draws of --mode mean.", min=2, max=1000)] = 8,
    size: Annotated[
        int, rk.Option("Shorter side in pixels of the small photo that colours are drawn for.", min=16, max=4096)
    ] = 64,
    strength: Annotated[float, rk.Option("Share of the colour that is applied.", min=0, max=1)] = 1.0,
    steps: Annotated[int, rk.Option("Noise levels visited by each draw.", min=1, max=1000)] = 20,
) -> Tensor:
    """Give grey photos colours; their luma stays as it is.

    Colours are drawn for a small copy of the photo (DDNM, Wang et al. 2022, with the luma of ITU-R BT.601 as what is
    known), which shows the prior more of the scene at once, and brought to full size along the edges of the luma
    (fast guided filter, He and Sun 2015).
    """
    import torch

    count = draws if mode == "mean" else 1
    coloured = []
    for i, image in enumerate(y.split(1)):
        luma, own = _luma(image, i), rk.ImageNoise([noise.seeds[i]])
        small = _shrunk(luma, size)
        colours = torch.stack([_drawn(small, prior, own, steps) for _ in range(count)]).mean(0)
        coloured.append(_in_range(luma, strength * _at_full_size(colours, small, luma)))
    return torch.cat(coloured)


def _luma(image: Tensor, index: int) -> Tensor:
    """(1, 1, H, W) of (1, 1 or 3, H, W)."""
    import warnings

    if image.shape[1] == 1:
        return image
    if (image - image.mean(1, keepdim=True)).abs().max() > LEVEL:
        warnings.warn(rk.RestorekitWarning("the photo has colours: only its luma is used", index), stacklevel=3)
    return rk.grayscale().forward(image)


def _shrunk(luma: Tensor, size: int) -> Tensor:
    """luma with a shorter side of at most `size` pixels."""
    import torch.nn.functional as F

    height, width = luma.shape[-2:]
    share = min(1.0, size / min(height, width))
    return F.adaptive_avg_pool2d(luma, (max(1, round(height * share)), max(1, round(width * share))))


def _drawn(luma: Tensor, prior: Denoiser, noise: ImageNoise, steps: int) -> Tensor:
    """One draw of the colours of luma (1, 1, H, W): what is to be added to it, (1, 3, H, W). The one place that chooses
    the solver."""
    grey = luma.expand(-1, 3, -1, -1)
    drawn = rk.solve_ddnm(prior, rk.grayscale(), luma, 0.0, noise, steps=steps, start=grey, sigma_max=FROM)
    return _in_range(luma, drawn - grey) - grey


def _at_full_size(colours: Tensor, small: Tensor, luma: Tensor) -> Tensor:
    """Colours (1, 3, h, w) of the luma small (1, 1, h, w) for luma (1, 1, H, W).

    Each colour is taken for a linear function of luma within a few pixels, whose two coefficients are smooth.
    """
    import torch.nn.functional as F

    if small.shape == luma.shape:
        return colours

    def mean(x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 2 * REACH + 1, stride=1, padding=REACH, count_include_pad=False)

    level, middle = mean(small), mean(colours)
    slope = (mean(small * colours) - level * middle) / (mean(small * small) - level * level + EVEN)
    slope, base = (F.interpolate(mean(x), luma.shape[-2:], mode="bilinear") for x in (slope, middle - slope * level))
    return slope * luma + base


def _in_range(luma: Tensor, colours: Tensor) -> Tensor:
    """luma + colours, the colours of each pixel weakened until all three channels are within [-1, 1]: as colours have
    no luma of their own, that leaves it as it is."""
    import torch

    least = torch.finfo(colours.dtype).tiny
    room = torch.where(colours > 0, 1 - luma, 1 + luma) / colours.abs().clamp(min=least)
    return luma + room.amin(1, keepdim=True).clamp(0, 1) * colours


@rk.hookimpl
def register_recipes(register):  # type: ignore[no-untyped-def]
    """Bring `colorize`."""
    register(colorize)
