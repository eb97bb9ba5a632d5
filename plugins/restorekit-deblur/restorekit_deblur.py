"""Sharpen photos whose blur is known: a plugin of restorekit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import restorekit as rk

if TYPE_CHECKING:
    from torch import Tensor

    from restorekit import Blur, Denoiser, ImageNoise

# One 8-bit grey level, in the unit of images in [-1, 1], and the deviation of rounding to whole ones.
LEVEL = 2 / 255
ROUNDING = LEVEL / 12**0.5
# First and least last sigma of the ladder, and DPIR's lambda: with the paper's 0.23 and many steps, noise that a blur
# with zeros in its spectrum hides comes through.
FROM, TO, WEIGHT = 0.4, 0.015, 0.35
# Of these one is given.
WAYS = ("kernel", "gaussian", "motion_length")


def one_kernel(options: Mapping[str, Any]) -> None:
    """Exactly one blur is described."""
    given = ["--" + name.replace("_", "-") for name in WAYS if options[name] is not None]
    allowed = "allowed: exactly one of --kernel, --gaussian, --motion-length"
    if len(given) != 1:
        raise rk.OptionError(f"deblur: found {' and '.join(given) or 'no description of the blur'}, {allowed}")
    if options["motion_angle"] and options["motion_length"] is None:
        raise rk.OptionError("deblur: found --motion-angle without --motion-length, allowed: both")


@rk.recipe("deblur", model="ddpm-photo", check=one_kernel)
def deblur(
    y: Tensor,
    prior: Denoiser,
    noise: ImageNoise,
    *,
    kernel: Annotated[
        Tensor | None,
        rk.SideImage(
            "The blur as an image of odd height and width: how a point of light looks.",
            invertible=False,
            same_size=False,
        ),
    ] = None,
    gaussian: Annotated[
        float | None, rk.Option("A Gaussian blur instead: its standard deviation in pixels.", min=0.1, max=50)
    ] = None,
    motion_length: Annotated[
        int | None, rk.Option("A straight movement instead: its length in pixels.", min=1, max=500)
    ] = None,
    motion_angle: Annotated[
        float, rk.Option("Its direction in degrees, from the right upwards.", min=-360, max=360)
    ] = 0.0,
    sigma: Annotated[
        float | Literal["auto"],
        rk.Option("Standard deviation of the photo's noise in 8-bit grey levels; auto estimates it.", min=0, max=50),
    ] = "auto",
    steps: Annotated[int, rk.Option("Noise levels visited, one evaluation of the prior each.", min=1, max=1000)] = 16,
) -> Tensor:
    """Sharpen photos whose blur is known; finding out the blur (blind deblurring) is not attempted.

    The photo is taken for the inner part of a blurred scene that goes on beyond its border, plus noise: what lies
    beyond is estimated with the rest and then cut off, so that the border does not ring. Deterministic.
    """
    import torch

    found = rk.estimate_sigma(y) if sigma == "auto" else torch.full((len(y),), float(sigma) * LEVEL)
    levels = found.clamp(min=ROUNDING).tolist()
    if kernel is not None:
        kernels = [_of_sum_one(image) for image in kernel.expand(len(y), -1, -1, -1)[:, 0]]
    else:
        known = rk.motion_kernel(motion_length, motion_angle) if motion_length else rk.gaussian_kernel(gaussian)
        kernels = [known] * len(y)
    images = [
        _sharpened(image, rk.Blur(blur, "valid"), level, prior, rk.ImageNoise([seed]), steps)
        for image, blur, level, seed in zip(y.split(1), kernels, levels, noise.seeds, strict=True)
    ]
    return torch.cat(images)


def _of_sum_one(kernel: Tensor) -> Tensor:
    """The kernel (h, w) of an image, which must be usable as one."""
    height, width = kernel.shape
    if not (height % 2 and width % 2):
        raise rk.OptionError(
            f"--kernel is {width} x {height}, allowed: odd width and height, as the pixel in the middle stays in place"
        )
    if not kernel.any():
        raise rk.OptionError("--kernel is all black, allowed: an image of light on black")
    return kernel.double() / kernel.double().sum()


def _sharpened(y: Tensor, blur: Blur, level: float, prior: Denoiser, noise: ImageNoise, steps: int) -> Tensor:
    """One image (1, C, H, W)."""
    left, right, top, bottom = blur.reach
    whole = _solved(prior, blur, y, level, noise, steps, _surrounded(y, blur))
    return whole[..., top : whole.shape[-2] - bottom, left : whole.shape[-1] - right]


def _surrounded(y: Tensor, blur: Blur) -> Tensor:
    """y mirrored beyond its border as far as the kernel reaches, a first guess of the scene."""
    import torch

    left, right, top, bottom = blur.reach
    rows, columns = (
        _mirrored(torch.arange(-before, length + after, device=y.device), length)
        for before, length, after in ((top, y.shape[-2], bottom), (left, y.shape[-1], right))
    )
    return y[..., rows[:, None], columns]


def _mirrored(place: Tensor, length: int) -> Tensor:
    """Places beyond 0 .. length - 1 mirrored back, as often as it takes."""
    inside = place % (2 * length)
    return inside.minimum(2 * length - 1 - inside)


def _solved(
    prior: Denoiser, operator: Blur, y: Tensor, level: float, noise: ImageNoise, steps: int, first: Tensor
) -> Tensor:
    """The one place that chooses the solver."""
    ladder = rk.geometric_ladder(FROM, max(TO, min(level, FROM)), steps)
    return rk.solve_dpir(prior, operator, y, level, noise, steps=steps, start=first, ladder=ladder, weight=WEIGHT)


def examples() -> dict[str, dict[str, object]]:
    """What `restorekit plugins doctor` calls the recipe with."""
    return {"deblur": {"gaussian": 1.0}}


@rk.hookimpl
def register_recipes(register):  # type: ignore[no-untyped-def]
    """Bring `deblur`."""
    register(deblur)
