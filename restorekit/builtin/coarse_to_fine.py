"""Filling holes in boxes around them, from coarse to fine."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import torch

from restorekit.builtin.hole_filling import UPSAMPLED_SIGMA
from restorekit.builtin.holes import Box, centered_origin, components, downsample, extents, hole_width, upsample

if TYPE_CHECKING:
    from torch import Tensor

    from restorekit import Denoiser

Sample: TypeAlias = "Callable[[Tensor, float, Tensor], Tensor]"
"""(initial, sigma, hole) -> result: samples a hole (1, 1, h, w) of an image (1, C, h, w) from an initial estimate with
noise of sigma; the known pixels of `initial` are those of the image."""


def scratch_sigma(prior: Denoiser) -> float:
    """Return the first sigma of sampling from noise."""
    return min(prior.info.sigma_max, SCRATCH_SIGMA) if prior.info.partial_noise else prior.info.sigma_max


def fill_components(y: Tensor, hole: Tensor, window: int, fill: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Tensor:
    """Fill the components of a hole (1, 1, H, W) of a photo y (1, C, H, W) that are far from each other, in turn.

    window: that of the prior. fill: receives the photo, a component, and the pixels that are still unknown, which are
    the component and those that are filled later, both (1, 1, H, W), bool; returns the photo with the component filled.
    """
    unknown = hole
    for part in components(hole, max(1, window // 4)):
        y = torch.where(part, fill(y, part, unknown), y)
        unknown = unknown & ~part
    return y


def crop_photo(box: Box, y: Tensor, unknown: Tensor) -> tuple[Tensor, Tensor]:
    """Return a photo y (1, C, H, W) and its unknown pixels (1, 1, H, W), bool, in a box; pixels outside are unknown."""
    return box.crop(y, 0.0), box.crop(unknown.float(), 1.0) > 0


def surroundings(hole: Tensor, window: int) -> Box:
    """Return the box around a hole (1, 1, H, W) in which it is filled; it may extend beyond the photo.

    It contains the hole and the pixels around it, within the photo, that a window centered on a part of the hole shows,
    at most a quarter of the window on each side, and is at least as wide as the window; see `_reach`.
    """
    reach = _reach(hole, window)
    context = min(reach // 2, reach - _width(hole))
    height, width = (
        max(reach, min(extent + context, length)) for extent, length in zip(extents(hole), hole.shape[-2:], strict=True)
    )
    return Box(*centered_origin(hole, height, width), height, width)


def sizes_for(hole: Tensor, box: Box, window: int, scales: int | None = None) -> list[tuple[int, int]]:
    """Return the heights and widths at which the box around a hole (1, 1, H, W) is filled, increasing.

    At the first, one window shows the widest part of the hole with its surroundings; the last is the size of the box.
    scales: largest number of sizes, of which the smallest are left out.
    """
    factors = [_snapped(window / _reach(hole, window))]
    while factors[-1] < 1:
        factors.append(_snapped(2 * factors[-1]))
    return [(round(f * box.height), round(f * box.width)) for f in factors][-(scales or 0) :]


def _width(hole: Tensor) -> int:
    """Return the width of the widest part of a hole (1, 1, H, W), at most its extent.

    `hole_width` is one less if the number of rows or columns is even, and larger at the sides of the photo, where only
    one side of the hole is known.
    """
    return min(int(hole_width(hole)) + 1, max(extents(hole)))


def _reach(hole: Tensor, window: int) -> int:
    """Return the side, in pixels of the photo, of the window that first shows a hole (1, 1, H, W).

    It is twice the width of the hole, at most the longer side of the photo, and at least the window of the prior, which
    also suffices for slightly wider holes.
    """
    reach = min(2 * _width(hole), max(hole.shape[-2:]))
    return window if window > SAME_SCALE * reach else reach


def _snapped(factor: float) -> float:
    """Return the factor, or 1 if it is close to 1 or above."""
    return 1.0 if factor > SAME_SCALE else factor


def sample_from_coarse(
    image: Tensor, hole: Tensor, sizes: list[tuple[int, int]], sigma: float, first: Sample, sample: Sample
) -> Tensor:
    """Sample a hole from noise of sigma at the first size, then from the upsampled result at each of the others.

    image: (1, C, h, w), of the last size. hole: (1, 1, h, w), bool. first: samples at the first size; sample: at the
    others.
    """
    small, small_hole = downsample(image, hole, sizes[0])
    result = first(small.masked_fill(small_hole, 0), sigma, small_hole)
    return sample_upwards(image, hole, result, sizes[1:], UPSAMPLED_SIGMA, sample)


def sample_upwards(
    image: Tensor, hole: Tensor, result: Tensor, sizes: list[tuple[int, int]], sigma: float, sample: Sample
) -> Tensor:
    """Resize a result (1, C, h, w) to each of the sizes in turn, and sample the hole again from it with noise of sigma.

    image, hole: as in `sample_from_coarse`, of the last size.
    """
    for size in sizes:
        small, small_hole = downsample(image, hole, size)
        result = sample(upsample(result, small).where(small_hole, small), sigma, small_hole)
    return result


# Smallest window of a prior that fills holes at its own scale: it shows whole scenes.
LARGE_WINDOW = 128
# Sizes with a ratio above this count as equal.
SAME_SCALE = 0.8
# First sigma of sampling from noise if the prior receives the known pixels without noise: it hides all but the mean of
# the hole.
SCRATCH_SIGMA = 20.0
