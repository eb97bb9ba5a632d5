"""Fill the pixels that a mask marks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import restorekit as rk

if TYPE_CHECKING:
    from torch import Tensor

    from restorekit import Denoiser, ImageNoise


@rk.recipe("inpaint", samples=True)
def inpaint(
    y: Tensor,
    prior: Denoiser,
    noise: ImageNoise,
    *,
    mask: Annotated[Tensor, rk.SideImage("White marks the pixels to fill.")],
    mode: Annotated[
        Literal["auto", "mean", "sample"],
        rk.Option(
            "mean: the least-squares answer; sample: one plausible answer; "
            "auto: mean for narrow holes, sample for wide ones."
        ),
    ] = "auto",
    steps: Annotated[int, rk.Option("Noise levels visited.", min=1, max=1000)] = 30,
    resample: Annotated[int, rk.Option("Passes of every level in --mode sample (RePaint).", min=1, max=100)] = 1,
    eta: Annotated[float, rk.Option("Share of fresh noise in --mode sample (DDIM).", min=0, max=1)] = 0.85,
) -> Tensor:
    """Fill the pixels that a mask marks; all others come back bit for bit.

    Both start from a smooth fill. mean: a plug-and-play loop of denoising at falling noise levels (DPIR, Zhang et al.
    2021). sample: DDIM in which every estimate is made consistent with the known pixels (DDNM, Wang et al. 2022). A
    prior of partial noise (see `Denoiser`) is told which pixels are clean.
    """
    import torch

    from restorekit.builtin.holes import hole_width

    holes = (mask > 0.5).expand(len(y), -1, -1, -1)
    filled = []
    for i, hole in enumerate(holes.split(1)):
        image = y[i : i + 1]
        narrow = mode == "auto" and hole_width(hole) <= NARROW
        if not hole.any():
            filled.append(image)
        elif mode == "mean" or narrow:
            filled.append(_mean(image, hole, prior, steps))
        else:
            filled.append(_sample(image, hole, prior, rk.ImageNoise([noise.seeds[i]]), steps, resample, eta))
    return torch.where(holes, torch.cat(filled), y)


def _view(prior: Denoiser, hole: Tensor, y: Tensor) -> Denoiser:
    """The prior where there is something to fill; told which pixels are clean if it wants to know."""
    local = rk.only_where(prior, hole)
    return rk.Given(local, hole, y) if prior.partial_noise else local


def _mean(y: Tensor, hole: Tensor, prior: Denoiser, steps: int) -> Tensor:
    """The least-squares answer for one image (1, C, H, W)."""
    from restorekit.builtin.holes import smooth_fill

    known, first = rk.Masking(~hole), smooth_fill(y, hole)
    ladder = rk.geometric_ladder(min(MEAN_FROM, prior.sigma_max), MEAN_TO, steps)
    return rk.plug_and_play(_view(prior, hole, first), known, known.forward(y), first, ladder)


def _sample(
    y: Tensor, hole: Tensor, prior: Denoiser, noise: ImageNoise, steps: int, resample: int, eta: float
) -> Tensor:
    """One plausible answer for one image (1, C, H, W)."""
    from restorekit.builtin.holes import smooth_fill

    known, first = rk.Masking(~hole), smooth_fill(y, hole)
    view = _view(prior, hole, first)
    ladder = rk.ladder_for(view, steps, sigma_max=SAMPLE_FROM)
    start = first + float(ladder[0]) * noise.like(first)
    return rk.sample_consistent(view, known, known.forward(y), start, ladder, noise, eta=eta, resample=resample)


# Holes up to this many pixels wide are filled with the mean.
NARROW = 12.0
# Where sampling starts: noise that hides the first guess altogether.
SAMPLE_FROM = 4.0
# First and last sigma of the plug-and-play loop.
MEAN_FROM, MEAN_TO = 0.3, 0.01


@rk.hookimpl
def register_recipes(register):  # type: ignore[no-untyped-def]
    """Bring `inpaint`."""
    register(inpaint)
