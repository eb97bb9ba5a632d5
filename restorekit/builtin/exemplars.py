"""Filling a hole with texture that is copied from the known part of the image, from coarse to fine."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from scipy.ndimage import find_objects

import restorekit as rk
from restorekit.builtin.holes import MAX_WIDTH, Box, downsample, hole_width
from restorekit.builtin.patch_match import PatchMatches, known_patches
from restorekit.core.masks import cell_groups

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from torch import Tensor

    from restorekit import ImageNoise

    class Sampler(Protocol):
        """Fills a hole (1, 1, H, W) of an image (1, C, H, W) at any size."""

        def fill(self, y: Tensor, hole: Tensor, count: int | None = None) -> Tensor:
            """Return the image filled at `count` sizes, each half of the next; None: `self.count(hole)`."""

        def count(self, hole: Tensor) -> int:
            """Return the number of sizes, each half of the next, at which a hole is filled."""


# Side of the grid cells that separate the parts of a hole, and of those that group wide parts, as in
# `restorekit.run.regions`. Minimum context of a group in pixels, to which half its width is added; regions have more.
CELL, GROUP_CELL, MIN_CONTEXT = 16, 64, 96
# Weight of the local texture, the mean absolute differences of neighbouring pixels, compared with the colours.
TEXTURE_WEIGHT = 6.0
# Smallest number of known patches from which texture is copied, and its smallest ratio to the number of missing pixels.
MIN_PATCHES, MIN_SHARE = 64, 0.5
# Number of searches for the first matches, of reconstructions at each size and at the last, and the mean change that
# ends them.
FIRST_SEARCHES, RECONSTRUCTIONS, LAST_RECONSTRUCTIONS, SMALL_CHANGE = 4, 10, 3, 0.002


def fill_from_photo(
    y: Tensor,
    hole: Tensor,
    sampler: Sampler,
    fill_narrow: Callable[[Tensor, Tensor], Tensor],
    noise: ImageNoise,
    fallback: Warning | None,
) -> Tensor:
    """Fill the parts of a hole that are wider than `MAX_WIDTH` with texture from the photo, and then the others.

    y: (1, C, H, W) in [-1, 1]. hole: (1, 1, H, W) bool.
    sampler: fills wide parts at their smallest size, and at all sizes, with the warning `fallback`, if too little of
    the photo near them is known. fill_narrow: fills the hole that consists of the narrow parts.
    """
    wide, unknown = _wide_parts(hole), hole
    groups, count = cell_groups(wide, GROUP_CELL, dilations=1)
    for number in range(1, count + 1):
        part = wide & _pixels(torch.from_numpy(groups == number).to(hole.device), GROUP_CELL, wide)
        box = _surroundings(part)
        image, rest, own = (box.crop(x.float(), 0.0) for x in (y, unknown, part))
        filled = box.paste(_fill_part(image, rest > 0, own > 0, sampler, noise, fallback), y)
        y, unknown = torch.where(part, filled, y), unknown & ~part
    return torch.where(unknown, fill_narrow(y, unknown), y) if unknown.any() else y


def _wide_parts(hole: Tensor) -> Tensor:
    """Return the parts of a hole that are wider than `MAX_WIDTH`; parts are connected cells with marked pixels."""
    numbers, count = cell_groups(hole, CELL)
    wide = torch.zeros_like(hole)
    for number, cells in enumerate(find_objects(numbers, count), 1):
        rows, columns = (slice(CELL * part.start, CELL * part.stop) for part in cells)
        own = _pixels(torch.from_numpy(numbers[cells] == number).to(hole.device), CELL, hole[..., rows, columns])
        part = hole[..., rows, columns] & own
        # With the pixels next to it, which are known, except outside the photo.
        border = [int(s > 0) for s in (columns.start, rows.start)]
        border += [int(s.stop < length) for s, length in zip((columns, rows), hole.shape[:-3:-1], strict=True)]
        if hole_width(F.pad(part, [border[i] for i in (0, 2, 1, 3)])) > MAX_WIDTH:
            wide[..., rows, columns] |= part
    return wide


def _pixels(cells: Tensor, side: int, like: Tensor) -> Tensor:
    """Return the pixels (h, w) of marked cells, in an image of the size of `like` (..., h, w)."""
    height, width = like.shape[-2:]
    return cells.repeat_interleave(side, 0).repeat_interleave(side, 1)[:height, :width]


def _surroundings(part: Tensor) -> Box:
    """Return the box, within the photo, from which a part (1, 1, H, W) of a hole is filled."""
    context = MIN_CONTEXT + int(hole_width(part)) // 2
    rows, columns = (part[0, 0].any(dim).nonzero()[:, 0].tolist() for dim in (1, 0))
    top, left = max(0, rows[0] - context), max(0, columns[0] - context)
    bottom, right = (
        min(length, marked[-1] + 1 + context) for marked, length in zip((rows, columns), part.shape[-2:], strict=True)
    )
    return Box(top, left, bottom - top, right - left)


def _fill_part(
    y: Tensor, hole: Tensor, part: Tensor, sampler: Sampler, noise: ImageNoise, fallback: Warning | None
) -> Tensor:
    """Fill a hole of which `part` is needed: with texture from y, if enough of it is known at all sizes."""
    sizes = [(y.shape[-2], y.shape[-1])]
    for _ in range(sampler.count(part) - 1):
        sizes.insert(0, ((sizes[0][0] + 1) // 2, (sizes[0][1] + 1) // 2))
    if not has_exemplars(hole, sizes):
        if fallback is not None:
            warnings.warn(fallback, stacklevel=2)
        return sampler.fill(y, hole)
    return copy_texture(y, hole, sampler.fill(*downsample(y, hole, sizes[0]), count=1), sizes, noise)


def has_exemplars(hole: Tensor, sizes: list[tuple[int, int]]) -> bool:
    """Return whether enough patches outside a hole (1, 1, H, W), bool, are known completely at all sizes."""
    holes = [downsample(hole.float(), hole, size)[1] for size in sizes]
    return all(int(known_patches(x).sum()) >= max(MIN_PATCHES, MIN_SHARE * int(x.sum())) for x in holes)


def copy_texture(
    y: Tensor, hole: Tensor, coarse: Tensor, sizes: list[tuple[int, int]], noise: ImageNoise, first: int | None = None
) -> Tensor:
    """Return y with a hole filled by patches of its known pixels, arranged like a fill at a smaller size.

    At each size, every patch that overlaps the hole is matched with the most similar known patch, by colours and local
    texture, and the hole is made of the matches; this is iterated. The matches are the first ones of the next size. In
    the last step, pixels are copied instead of averaged.

    y: (1, C, H, W) in [-1, 1]. hole: (1, 1, H, W) bool, that `has_exemplars` at all sizes.
    coarse: (1, C, h, w), the fill of the hole at the first size.
    sizes: heights and widths, increasing; the last is that of y.
    first: number of reconstructions at the first size; fewer keep more of `coarse`. Default: as at the others.

    References:
        Wexler et al. 2007 (space-time completion of video), PatchMatch (Barnes et al. 2009), texture features and
        weights of Newson et al. 2014 (arXiv 1503.05528); changes of brightness as in Darabi et al. 2012, without gain.
    """
    texture, matched = _texture(y, hole, round(y.shape[-1] / sizes[0][1])), None
    for i, size in enumerate(sizes):
        small, small_hole = downsample(y, hole, size)
        small_texture = F.adaptive_avg_pool2d(texture, size)
        if matched is None:
            fill = torch.cat([coarse.where(small_hole, small), rk.smooth_fill(small_texture, small_hole)], 1)
            current = PatchMatches(fill, small_hole, y.shape[1])
            current.start_at_random(noise)
            for _ in range(FIRST_SEARCHES):
                current.improve(noise)
        else:
            current = PatchMatches(torch.cat([small, small_texture], 1), small_hole, y.shape[1])
            current.start_from(matched, noise)
        most = LAST_RECONSTRUCTIONS if i == len(sizes) - 1 else RECONSTRUCTIONS
        for _ in range(most if first is None or i > 0 else first):
            current.improve(noise)
            if current.reconstruct() < SMALL_CHANGE:
                break
        matched = current
    assert matched is not None
    matched.copy()
    return torch.where(hole, matched.image[:, : y.shape[1]].clamp(-1, 1), y)


def _texture(y: Tensor, hole: Tensor, factor: int) -> Tensor:
    """Return the mean absolute differences of neighbouring pixels (1, 2, H, W), horizontal and vertical, near each.

    Only differences of known pixels count. factor: ratio of the sides of y to those of the smallest size, at which the
    means cover about two pixels.
    """
    grey, known = y.mean(1, keepdim=True).masked_fill(hole, 0), (~hole).to(y)
    kernel, means = 2 * factor + 1, []
    for dim, padding in ((-1, (0, 1)), (-2, (0, 0, 0, 1))):
        length = known.shape[dim] - 1
        both = known.narrow(dim, 0, length) * known.narrow(dim, 1, length)
        sums = F.pad(torch.cat([grey.diff(dim=dim).abs() * both, both], 1), padding)
        sums = F.avg_pool2d(F.avg_pool2d(sums, (kernel, 1), 1, (factor, 0)), (1, kernel), 1, (0, factor))
        means.append(sums[:, :1] / sums[:, 1:].clamp(min=1e-6))
    return TEXTURE_WEIGHT * torch.cat(means, 1)
