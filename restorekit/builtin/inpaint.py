"""Fill the masked pixels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

import restorekit as rk

if TYPE_CHECKING:
    from torch import Tensor

    from restorekit import Denoiser, ImageNoise


@rk.recipe("inpaint", model="ddpm-fill", samples=True, keeps_pixels=True, region="mask")
def inpaint(
    y: Tensor,
    prior: Denoiser,
    noise: ImageNoise,
    *,
    mask: Annotated[Tensor, rk.ImageOption("Image that marks the pixels to fill in white.")],
    mode: Annotated[
        Literal["auto", "mean", "sample"],
        rk.Option(
            "Kind of result. mean: least-squares estimate, smooth; sample: one plausible result, with detail; "
            "auto: mean for narrow holes, and for wide ones a sample with texture from the photo."
        ),
    ] = "auto",
    steps: Annotated[int, rk.Option("Number of noise levels.", min=1, max=1000)] = 30,
    method: Annotated[
        Literal["auto", "ddnm", "langevin"],
        rk.Option(
            "Sampler of --mode sample. ddnm: diffusion whose estimates agree with the known pixels; langevin: random "
            "updates at each noise level; auto: langevin for a prior with fixed noise levels, ddnm for others."
        ),
    ] = "auto",
    inner_steps: Annotated[
        int, rk.Option("Number of updates per noise level with --method langevin.", min=1, max=1000)
    ] = 10,
    resample: Annotated[
        int | Literal["auto"],
        rk.Option(
            "Number of passes per noise level with --method ddnm; auto: 1, or 2 with a window of 128 pixels or more.",
            min=1,
            max=100,
        ),
    ] = "auto",
    eta: Annotated[float, rk.Option("Fraction of fresh noise in each step of --method ddnm.", min=0, max=1)] = 0.85,
    scales: Annotated[
        int | Literal["auto"],
        rk.Option(
            "Number of sizes, each half of the next, at which --method ddnm fills a hole, smallest first; "
            "auto: as many as are required to make the hole narrow (with a window of 128 pixels or more: half as wide "
            "as the window).",
            min=1,
            max=8,
        ),
    ] = "auto",
    texture: Annotated[
        Literal["auto", "photo", "prior"],
        rk.Option(
            "Detail of holes wider than 16 pixels, unless the mode is mean. photo: copied from similar parts of the "
            "photo, arranged like a small sample of the prior; prior: sampled at every size; auto: photo in mode auto, "
            "but prior with method langevin, with a window of 128 pixels or more, or if too little of the photo is "
            "known."
        ),
    ] = "auto",
) -> Tensor:
    """Fill the masked pixels; all other pixels stay bit-identical.

    mean: the fill is denoised at decreasing noise levels, from a smooth fill on. A prior that supports holes (see
    `PriorInfo`) starts from E[x0 | known pixels] and needs only few levels. The steps use different views of the image.
    The prior is evaluated in windows around the holes only.

    sample: a diffusion process in which every estimate is made consistent with the known pixels. A prior with partial
    noise receives the known pixels without noise. A prior that supports holes starts from its mean fill with noise of
    sigma 1; on two photos with squares of 40 pixels this is 1.1 and 2.3 dB better than from sigma 4, but posterior
    spread beyond sigma 1 is lost. Wide holes are filled at a small size first, and then at twice that size and so on,
    each time with noise of sigma 0.5 on the upsampled result; up to a width of 40 pixels, its mean is replaced by the
    mean fill at that size. Both sigmas are reduced to four times the contrast of the known pixels around a
    part of the hole: in a plain sky, noise beyond that leaves blotches. A prior that accepts any size is evaluated
    around the parts of the hole only. A prior with a window of 128 pixels or more fills each hole from noise, at the
    size at which one window shows it and its surroundings, and then, in tiles, at twice that size and so on. With
    texture from the photo, the prior fills only the smallest size; at the others, a wide hole is made of patches of the
    photo near it, and the result is no sample of the prior.

    References:
        mean: DPIR (Zhang et al. 2021), self-ensemble (Timofte et al. 2016). ddnm: DDIM with data consistency (DDNM,
        Wang et al. 2022), resampling (RePaint, Lugmayr et al. 2022). langevin: Song and Ermon 2019, algorithm 2, with
        the updates of Leimkuhler and Matthews. texture: see `restorekit.builtin.exemplars`.
    """
    import warnings
    from functools import partial

    import torch

    from restorekit.builtin.coarse_to_fine import LARGE_WINDOW
    from restorekit.builtin.exemplars import fill_from_photo
    from restorekit.builtin.hole_filling import fill_windows, window_of
    from restorekit.builtin.hole_sampler import HoleSampler
    from restorekit.builtin.holes import MAX_WIDTH, hole_width

    holes = (mask > 0.5).expand(len(y), -1, -1, -1)
    annealed = method == "langevin" or (method == "auto" and prior.info.levels is not None)
    copies = texture == "photo" or (
        texture == "auto" and mode == "auto" and not annealed and (window_of(prior) or 0) < LARGE_WINDOW
    )
    fill_mean = partial(fill_windows, prior=prior, fill=partial(_mean, prior=prior, steps=steps))
    filled = []
    for i, (image, hole, image_noise) in enumerate(zip(y.split(1), holes.split(1), noise.split(), strict=True)):
        if not hole.any():
            warnings.warn(rk.RestorekitWarning("the mask is empty; image unchanged", i), stacklevel=2)
            filled.append(image)
            continue
        width = hole_width(hole)
        mean = mode == "mean" or (mode == "auto" and width <= NARROW_WIDTH)
        if hole.all():
            text = f"the mask covers the whole image; the result is {'the mean' if mean else 'a sample'} of the prior"
            warnings.warn(rk.RestorekitWarning(text, i), stacklevel=2)
        sampler = HoleSampler(prior, image_noise, annealed, steps, inner_steps, resample, eta, scales)
        if mean:
            filled.append(fill_mean(image, hole))
        elif copies and width > MAX_WIDTH:

            def fill_narrow(y: Tensor, hole: Tensor, sampler: HoleSampler = sampler) -> Tensor:
                mean = mode == "auto" and hole_width(hole) <= NARROW_WIDTH
                return fill_mean(y, hole) if mean else sampler.fill(y, hole)

            text = "texture photo: too little of the photo is known near a hole; the prior fills it alone"
            warning = rk.RestorekitWarning(text, i) if texture == "photo" else None
            filled.append(fill_from_photo(image, hole, sampler, fill_narrow, image_noise, warning))
        else:
            filled.append(sampler.fill(image, hole))
    return torch.where(holes, torch.cat(filled), y)


def _mean(y: Tensor, hole: Tensor, prior: Denoiser, steps: int) -> Tensor:
    """Return the least-squares estimate of images (N, C, H, W) with holes (N, 1, H, W)."""
    from restorekit.builtin.hole_filling import with_known_pixels
    from restorekit.priors.self_ensemble import N_VIEWS, self_ensemble_view

    operator, estimate = rk.Masking(~hole), rk.smooth_fill(y, hole)
    # Every step uses another view of the image, so that errors of the network that depend on orientation cancel.
    views = [with_known_pixels(self_ensemble_view(prior, 3 * i % N_VIEWS), hole, estimate) for i in range(N_VIEWS)]
    if prior.info.supports_holes:
        estimate = rk.denoise_at(views[0], estimate, math.inf)
        if steps == 1:
            return estimate
        views = views[1:] + views[:1]
        ladder = rk.geometric_ladder(REFINE_SIGMA_MAX, REFINE_SIGMA_MIN, min(steps - 1, REFINE_STEPS))
    else:
        ladder = rk.geometric_ladder(SIGMA_MAX, SIGMA_MIN, steps)
    for i, sigma in enumerate(ladder[:-1].tolist()):
        ladder[i] = rk.known_sigma(prior, sigma)
    return rk.plug_and_play(views, operator, operator.forward(y), estimate, ladder)


# Holes up to this width in pixels are filled with the mean.
NARROW_WIDTH = 12.0
# First and last sigma of the plug-and-play loop, from a smooth fill and from the mean fill of the prior.
SIGMA_MAX, SIGMA_MIN = 0.3, 0.01
REFINE_SIGMA_MAX, REFINE_SIGMA_MIN = 0.05, 0.015
# Largest number of loop steps after the mean fill of a prior that supports holes; more do not change the result.
REFINE_STEPS = 2


@rk.hookimpl
def register_recipes(register):  # type: ignore[no-untyped-def]
    """Register `inpaint`."""
    register(inpaint)
