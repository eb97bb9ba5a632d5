"""Deblurring of photos with a known kernel: a plugin of restorekit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import restorekit as rk

if TYPE_CHECKING:
    from torch import Tensor

    from restorekit import Blur, Denoiser, ImageNoise

# First sigma of the ladder, smallest last one, and DPIR's lambda. With the paper's 0.23 and many steps, a blur with
# zeros in its spectrum leaves visible noise.
SIGMA_MAX, SIGMA_MIN, WEIGHT = 0.4, 0.015, 0.35
# Options that describe the blur; exactly one is given.
BLURS = ("kernel", "gaussian", "motion_length")


def one_kernel(options: Mapping[str, Any]) -> None:
    """Raise OptionError unless the options describe exactly one blur."""
    given = ["--" + name.replace("_", "-") for name in BLURS if options[name] is not None]
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
        rk.ImageOption(
            "Blur kernel, the image of a point of light; odd height and width.",
            invertible=False,
            same_size=False,
        ),
    ] = None,
    gaussian: Annotated[
        float | None, rk.Option("Standard deviation in pixels of a Gaussian blur.", min=0.1, max=50)
    ] = None,
    motion_length: Annotated[
        int | None, rk.Option("Length in pixels of a straight motion blur.", min=1, max=500)
    ] = None,
    motion_angle: Annotated[
        float, rk.Option("Direction of the motion in degrees, counter-clockwise from the right.", min=-360, max=360)
    ] = 0.0,
    sigma: Annotated[
        float | Literal["auto"],
        rk.Option("Standard deviation of the noise in 8-bit grey levels; auto: estimated per photo.", min=0, max=50),
    ] = "auto",
    steps: Annotated[
        int, rk.Option("Number of noise levels, with one evaluation of the prior each.", min=1, max=1000)
    ] = 16,
) -> Tensor:
    """Deblur photos with a known kernel; the kernel is not estimated (no blind deblurring).

    The photo is modelled as the inner part of a larger blurred scene plus noise. The scene beyond the border is
    also estimated and then cropped, which avoids ringing at the border. The result is deterministic.
    """
    import torch

    rounding = rk.GREY_LEVEL / 12**0.5  # standard deviation of the error of rounding to 8 bits
    sigmas = rk.sigma_per_image(y, sigma).clamp(min=rounding).tolist()
    if kernel is not None:
        kernels = [_normalize(image) for image in kernel.expand(len(y), -1, -1, -1)[:, 0]]
    else:
        known = rk.motion_kernel(motion_length, motion_angle) if motion_length else rk.gaussian_kernel(gaussian)
        kernels = [known] * len(y)
    images = [
        _deblur(image, rk.Blur(blur, "valid"), image_sigma, prior, image_noise, steps)
        for image, blur, image_sigma, image_noise in zip(y.split(1), kernels, sigmas, noise.split(), strict=True)
    ]
    return torch.cat(images)


def _normalize(kernel: Tensor) -> Tensor:
    """Return a kernel (h, w) as float64 with sum 1; OptionError if a side is even or all pixels are black."""
    height, width = kernel.shape
    if not (height % 2 and width % 2):
        raise rk.OptionError(f"--kernel is {width} x {height}, allowed: odd width and height")
    if not kernel.any():
        raise rk.OptionError("--kernel is all black, allowed: a bright kernel on black")
    return kernel.double() / kernel.double().sum()


def _deblur(y: Tensor, blur: Blur, sigma: float, prior: Denoiser, noise: ImageNoise, steps: int) -> Tensor:
    """Deblur one image (1, C, H, W)."""
    left, right, top, bottom = blur.reach
    ladder = rk.geometric_ladder(SIGMA_MAX, max(SIGMA_MIN, min(sigma, SIGMA_MAX)), steps)
    start = _pad_mirrored(y, blur)
    scene = rk.solve_dpir(prior, blur, y, sigma, noise, steps=steps, start=start, ladder=ladder, weight=WEIGHT)
    return scene[..., top : scene.shape[-2] - bottom, left : scene.shape[-1] - right]


def _pad_mirrored(y: Tensor, blur: Blur) -> Tensor:
    """Pad y by mirroring, by the extent of the kernel on each side: an initial estimate of the scene."""
    import torch

    left, right, top, bottom = blur.reach
    rows, columns = (
        _mirror(torch.arange(-before, length + after, device=y.device), length)
        for before, length, after in ((top, y.shape[-2], bottom), (left, y.shape[-1], right))
    )
    return y[..., rows[:, None], columns]


def _mirror(index: Tensor, length: int) -> Tensor:
    """Mirror indices into 0 .. length - 1, as often as necessary."""
    inside = index % (2 * length)
    return inside.minimum(2 * length - 1 - inside)


def examples() -> dict[str, dict[str, object]]:
    """Return options for `restorekit plugins doctor`."""
    return {"deblur": {"gaussian": 1.0}}


@rk.hookimpl
def register_recipes(register):  # type: ignore[no-untyped-def]
    """Register `deblur`."""
    register(deblur)
