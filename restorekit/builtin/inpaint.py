"""Fill the masked pixels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

import restorekit as rk

if TYPE_CHECKING:
    from torch import Tensor

    from restorekit import Denoiser, ImageNoise
    from restorekit.builtin.coarse_to_fine import Sample


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
            "auto: mean for narrow holes, sample for wide ones."
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
) -> Tensor:
    """Fill the masked pixels; all other pixels stay bit-identical.

    mean: the fill is denoised at decreasing noise levels, from a smooth fill on. A prior that supports holes (see
    `PriorInfo`) starts from E[x0 | known pixels] and needs only few levels. The steps use different views of the image.
    The prior is evaluated in windows around the holes only.

    sample: a diffusion process in which every estimate is made consistent with the known pixels. A prior with partial
    noise receives the known pixels without noise. A prior that supports holes starts from its mean fill with noise of
    sigma 1; on two photos with squares of 40 pixels this is 1.1 and 2.3 dB better than from sigma 4, but posterior
    spread beyond sigma 1 is lost. Wide holes are filled at a small size first. A prior with a window of 128 pixels or
    more fills each hole from noise, at the size at which one window shows it and its surroundings, and then, in tiles,
    at twice that size and so on.

    References:
        mean: DPIR (Zhang et al. 2021), self-ensemble (Timofte et al. 2016). ddnm: DDIM with data consistency (DDNM,
        Wang et al. 2022), resampling (RePaint, Lugmayr et al. 2022). langevin: Song and Ermon 2019, algorithm 2, with
        the updates of Leimkuhler and Matthews.
    """
    import warnings
    from functools import partial

    import torch

    from restorekit.builtin.coarse_to_fine import LARGE_WINDOW, fill_components
    from restorekit.builtin.hole_filling import SAMPLE_SIGMA, fill_windows, sample_hole, window_of
    from restorekit.builtin.holes import hole_width, scales_for

    holes = (mask > 0.5).expand(len(y), -1, -1, -1)
    annealed = method == "langevin" or (method == "auto" and prior.info.levels is not None)
    window, filled = window_of(prior), []
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
        if mean:
            filled.append(fill_windows(image, hole, width, prior, partial(_mean, prior=prior, steps=steps)))
        elif window is not None and window >= LARGE_WINDOW:
            sample: Sample = (
                partial(_langevin, prior=prior, noise=image_noise, steps=steps, inner_steps=inner_steps)
                if annealed
                else partial(
                    sample_hole,
                    prior=prior,
                    noise=image_noise,
                    steps=steps,
                    eta=eta,
                    resample=2 if resample == "auto" else int(resample),
                )
            )
            most = None if scales == "auto" else int(scales)
            fill = partial(_fill_at_own_scale, prior=prior, window=window, scales=most, sample=sample)
            filled.append(fill_components(image, hole, window, fill))
        elif annealed:
            filled.append(_langevin(image, SAMPLE_SIGMA, hole, prior, image_noise, steps, inner_steps, uniform=True))
        else:
            count = scales_for(hole) if scales == "auto" else int(scales)
            passes = 1 if resample == "auto" else int(resample)
            filled.append(_sample(image, hole, prior, image_noise, steps, passes, eta, count))
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


def _sample(
    y: Tensor, hole: Tensor, prior: Denoiser, noise: ImageNoise, steps: int, resample: int, eta: float, scales: int
) -> Tensor:
    """Return one plausible result for one image (1, C, H, W)."""
    from restorekit.builtin.hole_filling import MEAN_FILL_SIGMA, SAMPLE_SIGMA, UPSAMPLED_SIGMA, mean_fill, sample_hole
    from restorekit.builtin.holes import halve, upsample

    if scales > 1 and not hole.all():
        small = _sample(*halve(y, hole), prior, noise, steps, resample, eta, scales - 1)
        initial, sigma = upsample(small, y).where(hole, y), UPSAMPLED_SIGMA
    elif prior.info.supports_holes and not hole.all():
        initial, sigma = mean_fill(prior, y, hole), MEAN_FILL_SIGMA
    else:
        initial, sigma = rk.smooth_fill(y, hole), SAMPLE_SIGMA
    return sample_hole(initial, sigma, hole, prior, noise, steps=steps, eta=eta, resample=resample)


def _fill_at_own_scale(
    y: Tensor, part: Tensor, unknown: Tensor, prior: Denoiser, window: int, scales: int | None, sample: Sample
) -> Tensor:
    """Return a photo y (1, C, H, W) with a component of its hole filled by a prior of large windows."""
    from restorekit.builtin.coarse_to_fine import crop_photo, sample_from_coarse, scratch_sigma, sizes_for, surroundings

    box = surroundings(part, window)
    sizes = sizes_for(part, box, window, scales)
    result = sample_from_coarse(*crop_photo(box, y, unknown), sizes, scratch_sigma(prior), sample, sample)
    return box.paste(result, y)


def _langevin(
    initial: Tensor,
    sigma: float,
    hole: Tensor,
    prior: Denoiser,
    noise: ImageNoise,
    steps: int,
    inner_steps: int,
    *,
    uniform: bool = False,
) -> Tensor:
    """Return one plausible result for one image (1, C, H, W), from noise of sigma on an initial estimate.

    uniform: start from uniform noise instead, as in Song and Ermon 2019. Their 100 updates per level are replaced by
    fewer, larger ones; see `sample_langevin`.
    """
    import torch

    from restorekit.priors.tiled import only_where

    operator, z = rk.Masking(~hole), noise.like(initial)
    ladder = rk.ladder_for(prior, steps, sigma_max=sigma)
    start = 2 * torch.special.ndtr(z) - 1 if uniform else initial + float(ladder[0]) * z
    local, known = only_where(prior, hole), operator.forward(initial)
    return rk.sample_langevin(local, start, ladder, noise, inner_steps=inner_steps, operator=operator, y=known)


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
