"""Fill the pixels that a mask marks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

import restorekit as rk

if TYPE_CHECKING:
    from torch import Tensor

    from restorekit import Denoiser, ImageNoise


@rk.recipe("inpaint", model="ddpm-fill", samples=True)
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
    method: Annotated[
        Literal["auto", "ddnm", "langevin"],
        rk.Option(
            "How --mode sample draws: ddnm, or langevin: annealed, as NCSN's authors inpaint; "
            "auto: langevin for a prior that knows only its own noise levels."
        ),
    ] = "auto",
    inner_steps: Annotated[int, rk.Option("Updates at every level of --method langevin.", min=1, max=1000)] = 10,
    resample: Annotated[int, rk.Option("Passes of every level of --method ddnm (RePaint).", min=1, max=100)] = 1,
    eta: Annotated[float, rk.Option("Share of fresh noise of --method ddnm (DDIM).", min=0, max=1)] = 0.85,
    scales: Annotated[
        int | Literal["auto"],
        rk.Option(
            "Sizes, each half of the next, at which --method ddnm fills a hole one after the other; "
            "auto: as many as make the hole narrow.",
            min=1,
            max=8,
        ),
    ] = "auto",
) -> Tensor:
    """Fill the pixels that a mask marks; all others come back bit for bit.

    mean: a plug-and-play loop of denoising at falling noise levels (DPIR, Zhang et al. 2021), from a smooth fill; of a
    prior that fills (see `Denoiser`) its own E[x0 | known pixels], the mean over four turns of the image
    (self-ensemble, Timofte et al. 2016), and a short loop after it.
    sample: DDIM in which every estimate is made consistent with the known pixels (DDNM, Wang et al. 2022), a prior of
    partial noise being told which pixels are clean, one that fills starting from its own fill under noise of sigma 1
    (on two photos with squares of 40 pixels 1.1 and 2.3 dB better than from sigma 4; spread that the prior has beyond
    sigma 1 is lost), and wide holes being filled at a small size first; or annealed
    Langevin dynamics (Song and Ermon 2019, algorithm 2, with Leimkuhler and Matthews' updates).
    """
    import warnings

    import torch

    from restorekit.builtin.holes import hole_width, scales_for

    holes = (mask > 0.5).expand(len(y), -1, -1, -1)
    annealed = method == "langevin" or (method == "auto" and prior.levels is not None)
    filled = []
    for i, hole in enumerate(holes.split(1)):
        image, own = y[i : i + 1], rk.ImageNoise([noise.seeds[i]])
        if not hole.any():
            text = "the mask marks nothing: the photo is returned as it is"
            warnings.warn(rk.RestorekitWarning(text, i), stacklevel=2)
            filled.append(image)
            continue
        mean = mode == "mean" or (mode == "auto" and hole_width(hole) <= NARROW)
        if hole.all():
            text = f"the mask marks everything: {'the mean' if mean else 'a sample'} of the prior"
            warnings.warn(rk.RestorekitWarning(text, i), stacklevel=2)
        if mean:
            filled.append(_mean(image, hole, prior, steps))
        elif annealed:
            filled.append(_langevin(image, hole, prior, own, steps, inner_steps))
        else:
            count = scales_for(hole) if scales == "auto" else int(scales)
            filled.append(_sample(image, hole, prior, own, steps, resample, eta, count))
    return torch.where(holes, torch.cat(filled), y)


def _mean(y: Tensor, hole: Tensor, prior: Denoiser, steps: int) -> Tensor:
    """The least-squares answer for one image (1, C, H, W)."""
    import torch

    from restorekit.builtin.drawing import view_of

    known, first = rk.Masking(~hole), rk.smooth_fill(y, hole)
    # Every step sees the image turned another way, so that what the network prefers by accident cancels.
    views = [view_of(rk.turned(prior, 3 * i % rk.TURNS), hole, first) for i in range(rk.TURNS)]
    high = MEAN_FROM
    if prior.fills:
        turns = min(steps, FILL_TURNS)
        first = torch.stack([rk.denoise_at(view, first, math.inf) for view in views[:turns]]).mean(0)
        views = views[turns:] + views[:turns]
        steps, high = min(steps - turns, REFINE_STEPS), REFINE_FROM
        if not steps:
            return first
    ladder = rk.geometric_ladder(high, MEAN_TO, steps)
    for i, sigma in enumerate(ladder[:-1].tolist()):
        ladder[i] = rk.known_sigma(prior, sigma)
    return rk.plug_and_play(views, known, known.forward(y), first, ladder)


def _sample(
    y: Tensor, hole: Tensor, prior: Denoiser, noise: ImageNoise, steps: int, resample: int, eta: float, scales: int
) -> Tensor:
    """One plausible answer for one image (1, C, H, W)."""
    from restorekit.builtin.drawing import DRAW_FROM, FILL_FROM, SCALE_FROM, draw_from, fill_of
    from restorekit.builtin.holes import enlarged, halved

    if scales > 1 and not hole.all():
        small = _sample(*halved(y, hole), prior, noise, steps, resample, eta, scales - 1)
        first, sigma = enlarged(small, y).where(hole, y), SCALE_FROM
    elif prior.fills and not hole.all():
        first, sigma = fill_of(prior, y, hole), FILL_FROM
    else:
        first, sigma = rk.smooth_fill(y, hole), DRAW_FROM
    return draw_from(first, sigma, hole, prior, noise, steps=steps, eta=eta, resample=resample)


def _langevin(y: Tensor, hole: Tensor, prior: Denoiser, noise: ImageNoise, steps: int, inner_steps: int) -> Tensor:
    """One plausible answer for one image (1, C, H, W), from a uniform start as its authors have it; few updates are
    made so long that they do for the authors' 100."""
    import torch

    from restorekit.builtin.drawing import DRAW_FROM

    known = rk.Masking(~hole)
    start = 2 * torch.special.ndtr(noise.like(y)) - 1
    ladder = rk.ladder_for(prior, steps, sigma_max=DRAW_FROM)
    local, seen = rk.only_where(prior, hole), known.forward(y)
    return rk.sample_langevin(local, start, ladder, noise, inner_steps=inner_steps, operator=known, y=seen)


# Holes up to this many pixels wide are filled with the mean.
NARROW = 12.0
# First and last sigma of the plug-and-play loop, from a smooth fill and from the prior's own.
MEAN_FROM, REFINE_FROM, MEAN_TO = 0.3, 0.03, 0.01
# Ways that a prior that fills sees the image before that loop, and the loop's steps then: more change nothing.
FILL_TURNS, REFINE_STEPS = 4, 4


@rk.hookimpl
def register_recipes(register):  # type: ignore[no-untyped-def]
    """Bring `inpaint`."""
    register(inpaint)
