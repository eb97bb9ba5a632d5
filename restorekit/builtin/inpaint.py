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

    mean: a plug-and-play loop of denoising at falling noise levels (DPIR, Zhang et al. 2021). sample: DDIM in which
    every estimate is made consistent with the known pixels (DDNM, Wang et al. 2022). Both start from a smooth
    fill, at a noise level that goes by the width of the hole.
    """
    import torch

    from restorekit.builtin.holes import hole_width, smooth_fill, start_level

    hole = (mask > 0.5).expand(len(y), -1, -1, -1)
    results = []
    for i in range(len(y)):
        image, here = y[i : i + 1], hole[i : i + 1]
        if not here.any():
            results.append(image)
            continue
        width = hole_width(here)
        known = rk.Masking(~here)
        observed, first = known.forward(image), smooth_fill(image, here)
        local = rk.only_where(prior, here)
        ladder = rk.ladder_for(prior, steps, sigma_max=start_level(width, prior.sigma_max))
        if mode == "mean" or (mode == "auto" and width <= NARROW):
            filled = rk.plug_and_play(local, known, observed, first, ladder)
        else:
            own = rk.ImageNoise([noise.seeds[i]])
            start = first + float(ladder[0]) * own.like(first)
            filled = rk.sample_consistent(local, known, observed, start, ladder, own, eta=eta, resample=resample)
        results.append(torch.where(here, filled, image))
    return torch.cat(results)


# Holes up to this many pixels wide are filled with the mean.
NARROW = 12.0


@rk.hookimpl
def register_recipes(register):  # type: ignore[no-untyped-def]
    """Bring `inpaint`."""
    register(inpaint)
