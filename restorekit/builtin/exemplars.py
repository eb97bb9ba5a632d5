"""Filling a hole with texture that is copied from the known part of the image, from coarse to fine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

import restorekit as rk
from restorekit.builtin.holes import Box, components, downsample, extents, hole_width
from restorekit.builtin.patch_match import PatchMatches, known_patches

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from torch import Tensor

    from restorekit import ImageNoise

    class Sampler(Protocol):
        """Fills a hole (1, 1, H, W) of an image (1, C, H, W) at any size."""

        def fill(self, y: Tensor, hole: Tensor) -> Tensor:
            """Return the filled image."""

        def count(self, hole: Tensor) -> int:
            """Return the number of sizes, each half of the next, of which the sampler requires the smallest."""


# Side of the cells by which parts of a hole are told apart, and smallest width of the context of a part in pixels, less
# half its longer side. The regions of a large photo have no less; see `restorekit.run.regions`.
CELL, MIN_CONTEXT = 16, 96
# Weight of the local texture, the mean absolute differences of neighbouring pixels, compared with the colours.
TEXTURE_WEIGHT = 6.0
# Smallest number of known patches from which texture is copied.
MIN_PATCHES = 64
# Number of searches for the first matches, of reconstructions at each size and at the last, and the mean change that
# ends them.
FIRST_SEARCHES, RECONSTRUCTIONS, LAST_RECONSTRUCTIONS, SMALL_CHANGE = 4, 10, 3, 0.002


def fill_from_photo(
    y: Tensor,
    hole: Tensor,
    narrow_width: float,
    sampler: Sampler,
    fill_narrow: Callable[[Tensor, Tensor], Tensor],
    noise: ImageNoise,
) -> Tensor:
    """Fill each wide part of a hole with texture from the photo around it, and then the narrow parts.

    y: (1, C, H, W) in [-1, 1]. hole: (1, 1, H, W) bool.
    narrow_width: width in pixels up to which a part is narrow.
    sampler: fills a wide part at its smallest size, and at all sizes if too little of the photo is known.
    fill_narrow: fills the hole that consists of the narrow parts.
    """
    unknown = hole
    for part in components(hole, CELL):
        if hole_width(part) > narrow_width:
            box = _surroundings(part)
            image, rest, own = (box.crop(x.float(), 0.0) for x in (y, unknown, part))
            filled = box.paste(_fill_part(image, rest > 0, own > 0, sampler, noise), y)
            y, unknown = torch.where(part, filled, y), unknown & ~part
    return torch.where(unknown, fill_narrow(y, unknown), y) if unknown.any() else y


def _surroundings(part: Tensor) -> Box:
    """Return the box, within the photo, from which a part (1, 1, H, W) of a hole is filled."""
    context = MIN_CONTEXT + max(extents(part)) // 2
    rows, columns = (part[0, 0].any(dim).nonzero()[:, 0].tolist() for dim in (1, 0))
    top, left = max(0, rows[0] - context), max(0, columns[0] - context)
    bottom, right = (
        min(length, marked[-1] + 1 + context) for marked, length in zip((rows, columns), part.shape[-2:], strict=True)
    )
    return Box(top, left, bottom - top, right - left)


def _fill_part(y: Tensor, hole: Tensor, part: Tensor, sampler: Sampler, noise: ImageNoise) -> Tensor:
    """Fill a hole of which `part` is needed: with texture from y, if enough of it is known at the smallest size."""
    if not has_exemplars(hole):
        return sampler.fill(y, hole)
    sizes = [(y.shape[-2], y.shape[-1])]
    for _ in range(sampler.count(part) - 1):
        smaller = (sizes[0][0] + 1) // 2, (sizes[0][1] + 1) // 2
        if not has_exemplars(downsample(y, hole, smaller)[1]):
            break
        sizes.insert(0, smaller)
    return copy_texture(y, hole, sampler.fill(*downsample(y, hole, sizes[0])), sizes, noise)


def has_exemplars(hole: Tensor) -> bool:
    """Return whether enough patches outside a hole (1, 1, H, W), bool, are known completely."""
    return int(known_patches(hole).sum()) >= MIN_PATCHES


def copy_texture(
    y: Tensor, hole: Tensor, coarse: Tensor, sizes: list[tuple[int, int]], noise: ImageNoise, first: int | None = None
) -> Tensor:
    """Return y with a hole filled by patches of its known pixels, arranged like a fill at a smaller size.

    At each size, every patch that overlaps the hole is matched with the most similar known patch, by colours and local
    texture, and the hole is made of the matches, several times in turn; the matches are the first ones of the next
    size. In the last step, pixels are copied instead of averaged.

    y: (1, C, H, W) in [-1, 1]. hole: (1, 1, H, W) bool; `has_exemplars` at all sizes.
    coarse: (1, C, h, w), y filled at the first size. sizes: heights and widths, increasing; the last is that of y.
    first: number of reconstructions at the first size; fewer keep more of `coarse`. Default: as at the others.

    References:
        Wexler et al. 2007 (space-time completion of video), PatchMatch (Barnes et al. 2009), texture features and
        weights of Newson et al. 2014 (arXiv 1503.05528); changes of brightness as in Darabi et al. 2012, without gain.
    """
    texture, matched = _texture(y, hole, round(y.shape[-1] / sizes[0][1])), None
    for size in sizes:
        small, small_hole = downsample(y, hole, size)
        small_texture = F.adaptive_avg_pool2d(texture, size)
        if matched is None:
            fill = torch.cat([coarse, rk.smooth_fill(small_texture, small_hole)], 1)
            current = PatchMatches(fill, small_hole, y.shape[1])
            current.start_at_random(noise)
            for _ in range(FIRST_SEARCHES):
                current.improve(noise)
        else:
            current = PatchMatches(torch.cat([small, small_texture], 1), small_hole, y.shape[1])
            current.start_from(matched, noise)
        most = LAST_RECONSTRUCTIONS if size == sizes[-1] else RECONSTRUCTIONS
        for _ in range(first if first and size == sizes[0] else most):
            current.improve(noise)
            if current.reconstruct() < SMALL_CHANGE:
                break
        matched = current
    assert matched is not None
    matched.copy()
    return torch.where(hole, matched.image[:, : y.shape[1]].clamp(-1, 1), y)


def _texture(y: Tensor, hole: Tensor, factor: int) -> Tensor:
    """Return the mean absolute differences of neighbouring pixels (1, 2, H, W), horizontal and vertical, near each.

    Only known pixels count. factor: ratio of the sides of y to those of the smallest size, at which the means cover
    about two pixels.
    """
    grey = y.mean(1, keepdim=True).masked_fill(hole, 0)
    known = (F.max_pool2d(hole.float(), 3, 1, 1) == 0).to(y)
    differences = torch.cat([F.pad(grey.diff(dim=-1).abs(), (0, 1)), F.pad(grey.diff(dim=-2).abs(), (0, 0, 0, 1))], 1)
    kernel = 2 * factor + 1
    sums = F.avg_pool2d(torch.cat([differences * known, known], 1), kernel, 1, factor)
    return TEXTURE_WEIGHT * sums[:, :2] / sums[:, 2:].clamp(min=1e-6)
