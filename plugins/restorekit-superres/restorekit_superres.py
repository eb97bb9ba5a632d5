"""Super-resolution of photos: a plugin of restorekit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import restorekit as rk

if TYPE_CHECKING:
    from torch import Tensor

    from restorekit import Denoiser, ImageNoise, Solver

# First sigma of the ladder, and smallest last one.
SIGMA_MAX, SIGMA_MIN = 0.4, 0.02


def scaled(height: int, width: int, options: Mapping[str, Any]) -> tuple[int, int]:
    """Return height and width of the result."""
    return height * options["scale"], width * options["scale"]


@rk.recipe("superres", model="ddpm-photo", size=scaled)
def superres(
    y: Tensor,
    prior: Denoiser,
    noise: ImageNoise,
    *,
    scale: Annotated[Literal[2, 4], rk.Option("Factor by which height and width are enlarged.")] = 2,
    sigma: Annotated[
        float | Literal["auto"],
        rk.Option("Standard deviation of the noise in 8-bit grey levels; auto: estimated per photo.", min=0, max=50),
    ] = 0.0,
    steps: Annotated[int, rk.Option("Number of noise levels.", min=1, max=1000)] = 12,
    solver: Annotated[
        rk.Solver,
        rk.SolverOption("Solver of the linear problem; `restorekit solvers` lists them.", solver="dpir"),
    ],
) -> Tensor:
    """Enlarge photos by a factor of 2 or 4.

    The photo is modelled as a larger one, downsampled by bicubic interpolation with anti-aliasing (as Pillow does),
    plus noise. The default solver is deterministic. Its result is close to the posterior mean: sharp where the
    photo determines it, smooth elsewhere. Most other solvers return a sample.
    """
    import torch

    rounding = rk.GREY_LEVEL / 12**0.5  # standard deviation of the error of rounding to 8 bits
    sigmas = rk.sigma_per_image(y, sigma).clamp(min=rounding).tolist()
    images = zip(y.split(1), sigmas, noise.split(), strict=True)
    return torch.cat([_enlarge(image, scale, s, prior, image_noise, steps, solver) for image, s, image_noise in images])


def _enlarge(
    y: Tensor, scale: int, sigma: float, prior: Denoiser, noise: ImageNoise, steps: int, solver: Solver
) -> Tensor:
    """Return one image (1, C, H, W) at `scale` times its size."""
    import torch.nn.functional as F

    start = F.interpolate(y, scale_factor=scale, mode="bicubic", antialias=True).clamp(-1, 1)
    ladder = rk.geometric_ladder(SIGMA_MAX, max(SIGMA_MIN, min(sigma, SIGMA_MAX)), steps)
    sigma_y = 0.0 if "noise-free" in solver.needs else sigma
    return solver.solve(prior, rk.Downsample(scale), y, sigma_y, noise, steps=steps, start=start, ladder=ladder)


@rk.hookimpl
def register_recipes(register):  # type: ignore[no-untyped-def]
    """Register `superres`."""
    register(superres)
