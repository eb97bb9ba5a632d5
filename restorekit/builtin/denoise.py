"""Remove Gaussian noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import restorekit as rk

if TYPE_CHECKING:
    from torch import Tensor

    from restorekit import Denoiser, ImageNoise

# One 8-bit grey level, in the unit of images in [-1, 1].
LEVEL = 2 / 255


@rk.recipe("denoise", samples=True)
def denoise(
    y: Tensor,
    prior: Denoiser,
    noise: ImageNoise,
    *,
    sigma: Annotated[
        float | Literal["auto"],
        rk.Option("Standard deviation of the noise in 8-bit grey levels; auto estimates it per image.", min=0, max=255),
    ] = "auto",
    mode: Annotated[
        Literal["mean", "sample"],
        rk.Option("mean: the least-squares answer, one evaluation; sample: a draw from the posterior."),
    ] = "mean",
    steps: Annotated[int, rk.Option("Noise levels visited by --mode sample.", min=1, max=1000)] = 20,
    strength: Annotated[float, rk.Option("Share of the correction that is applied.", min=0, max=1)] = 1.0,
) -> Tensor:
    """Remove Gaussian noise from photos.

    With x = x0 + sigma n, the mean is D(x, sigma) itself; a sample walks the reverse chain of Ho et al. (2020) down
    from the photo, which is a draw of the prior's own process at that sigma. A prior that knows only its own levels
    (NCSN) is interpolated between them.
    """
    import warnings

    import torch

    from restorekit.builtin.noise_level import estimate_sigma

    found = estimate_sigma(y) if sigma == "auto" else torch.full((len(y),), float(sigma) * LEVEL, device=y.device)
    inside = found >= prior.sigma_min if sigma == "auto" else found > 0
    if sigma == "auto" and not inside.all():
        known = prior.sigma_min / LEVEL
        text = f"no noise found that the prior knows (from sigma {known:.2f}): the photo is returned as it is"
        for i in (~inside).nonzero()[:, 0].tolist():
            warnings.warn(rk.RestorekitWarning(text, i), stacklevel=2)
    levels = found.clamp(prior.sigma_min, prior.sigma_max)
    able = prior if prior.levels is None else rk.Between(prior)
    if mode == "mean":
        clean = able(y, levels)
    else:
        clean = torch.cat([_sample(y, able, noise, levels, steps, i) for i in range(len(y))])
    clean = torch.where(inside.reshape(-1, 1, 1, 1), clean, y)
    return y + strength * (clean - y)


def _sample(y: Tensor, prior: Denoiser, noise: ImageNoise, levels: Tensor, steps: int, i: int) -> Tensor:
    """Images have levels of their own, so each walks its own ladder."""
    ladder = rk.ladder_for(prior, steps, sigma_max=float(levels[i]))
    return rk.sample_ancestral(prior, y[i : i + 1], ladder, rk.ImageNoise([noise.seeds[i]]))


@rk.hookimpl
def register_recipes(register):  # type: ignore[no-untyped-def]
    """Bring `denoise`."""
    register(denoise)
