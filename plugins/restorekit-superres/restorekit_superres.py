"""Enlarge photos: a plugin of restorekit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import restorekit as rk

if TYPE_CHECKING:
    from torch import Tensor

    from restorekit import Denoiser, ImageNoise, Solver

# One 8-bit grey level, in the unit of images in [-1, 1], and the deviation of rounding to whole ones.
LEVEL = 2 / 255
ROUNDING = LEVEL / 12**0.5
# First and last sigma of the ladder.
FROM, TO = 0.4, 0.02


def scaled(height: int, width: int, options: Mapping[str, Any]) -> tuple[int, int]:
    """Height and width of the result."""
    return height * options["scale"], width * options["scale"]


@rk.recipe("superres", model="ddpm-photo", size=scaled)
def superres(
    y: Tensor,
    prior: Denoiser,
    noise: ImageNoise,
    *,
    scale: Annotated[Literal[2, 4], rk.Option("How many times as high and wide the result is.")] = 2,
    sigma: Annotated[
        float | Literal["auto"],
        rk.Option("Standard deviation of the photo's noise in 8-bit grey levels; auto estimates it.", min=0, max=50),
    ] = 0.0,
    steps: Annotated[int, rk.Option("Noise levels visited.", min=1, max=1000)] = 12,
    solver: Annotated[
        rk.Solver,
        rk.ChosenSolver("How the likely larger photo is found; restorekit solvers lists the ways.", solver="dpir"),
    ],
) -> Tensor:
    """Enlarge photos: the likely larger photo that, shrunk again, is this one.

    The photo is taken for a larger one shrunk by bicubic interpolation with anti-aliasing, as Pillow shrinks, plus
    noise. By default (DPIR) deterministic: an answer near the mean of all that are possible, so sharp where the photo
    tells and smooth where it does not; other solvers draw one that is possible.
    """
    import torch

    found = rk.estimate_sigma(y) if sigma == "auto" else torch.full((len(y),), float(sigma) * LEVEL)
    levels = found.clamp(min=ROUNDING).tolist()
    images = [
        _enlarged(image, scale, level, prior, rk.ImageNoise([seed]), steps, solver)
        for image, level, seed in zip(y.split(1), levels, noise.seeds, strict=True)
    ]
    return torch.cat(images)


def _enlarged(
    y: Tensor, scale: int, level: float, prior: Denoiser, noise: ImageNoise, steps: int, solver: Solver
) -> Tensor:
    """One image (1, C, H, W) at `scale` times the size."""
    import torch.nn.functional as F

    first = F.interpolate(y, scale_factor=scale, mode="bicubic", antialias=True).clamp(-1, 1)
    ladder = rk.geometric_ladder(FROM, max(TO, min(level, FROM)), steps)
    sigma_y = 0.0 if "noise-free" in solver.needs else level
    return solver.solve(prior, rk.Downsample(scale), y, sigma_y, noise, steps=steps, start=first, ladder=ladder)


@rk.hookimpl
def register_recipes(register):  # type: ignore[no-untyped-def]
    """Bring `superres`."""
    register(superres)
