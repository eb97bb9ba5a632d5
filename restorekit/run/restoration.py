"""Restoring one photo in memory, as a whole or in strips."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from restorekit.core.memory import release_free_memory
from restorekit.core.noise import image_seed
from restorekit.core.options import ImageOption
from restorekit.core.thread_warnings import record_warnings
from restorekit.errors import RestorekitWarning
from restorekit.run.observer import UNOBSERVED, Observer
from restorekit.run.photo import Photo
from restorekit.run.regions import CELL, marked_regions, paste
from restorekit.run.runner import Runner

# A photo with more pixels is restored in strips of about a quarter as many, if the recipe allows it.
MAX_PIXELS = 16_000_000
# Rows that a strip receives in addition at each side, and half the number of rows in which neighbouring strips are
# blended: as many as neighbouring windows overlap.
CONTEXT, HALF_BLEND = 32, 8
# Boundaries of strips are multiples of this, which the grids of JPEG blocks and of windows divide.
STRIP_GRID = 64
# The sample of a large photo, from which its options are chosen: blocks of this side, in each direction.
SAMPLE_BLOCK, SAMPLE_BLOCKS = 128, 8


def restore_photo(
    runner: Runner,
    photo: Photo,
    seed: int,
    side_images: Mapping[str, Tensor],
    observer: Observer = UNOBSERVED,
    max_pixels: int = MAX_PIXELS,
) -> tuple[Photo, list[str]]:
    """Run the recipe on a photo; return the restored photo and the notes of the recipe.

    A photo with more than `max_pixels` pixels, or whose result is larger and has more than four times as many, is
    restored in parts, if the recipe allows it, so that the memory beyond the photo and its result is bounded: in strips
    that are blended (`Recipe.strips`), or only the regions that a side image marks (`Recipe.region`), unless a region
    is as large. The observer then receives the estimates of the parts, one after another: strips with a margin at the
    top and bottom, or boxes around regions.
    """
    height, width, channels = photo.pixels.shape
    result_height, result_width = runner.result_shape((1, channels, height, width), side_images)[2:]
    scale = result_height / height
    if height * width > max_pixels or result_height * result_width > 4 * max_pixels:
        parts = None
        if (result_height, result_width) == (round(scale) * height, round(scale) * width):
            strip_pixels = max_pixels // max(4, round(scale) ** 2)
            parts = _restore_strips(runner, photo, seed, side_images, observer, strip_pixels, round(scale))
        parts = parts or _restore_regions(runner, photo, seed, side_images, observer, max_pixels)
        if parts is not None:
            release_free_memory()
            return photo.with_pixels(parts[0]), parts[1]
    result, notes = _run(runner, photo.tensor(), seed, side_images, {}, observer)
    return photo.with_tensor(result[0]), notes


def _restore_regions(
    runner: Runner,
    photo: Photo,
    seed: int,
    side_images: Mapping[str, Tensor],
    observer: Observer,
    max_pixels: int,
) -> tuple[NDArray[Any], list[str]] | None:
    """Return the pixels of a photo of which only marked regions are restored, and the notes; None if that is unknown,
    or if a region has more than `max_pixels` pixels."""
    mask = side_images.get(runner.recipe.region or "")
    if mask is None or mask.shape[-2:] != photo.pixels.shape[:2]:
        return None
    regions = list(marked_regions(mask))
    if not regions or any(region.cells.size * CELL**2 > max_pixels for region in regions):
        return None
    pixels, notes = photo.pixels.copy(), dict[str, None]()
    same_size = {p.name for p in runner.recipe.side_images if isinstance(p.spec, ImageOption) and p.spec.same_size}
    for number, region in enumerate(regions):
        area = (..., region.rows, region.columns)
        sides = {name: side[area] if name in same_size else side for name, side in side_images.items()}
        y = photo.tensor(region.rows, region.columns)
        result, found = _run(runner, y, image_seed(seed, str(number)), sides, {}, observer)
        paste(pixels, region, mask, photo.quantised(result[0]))
        notes |= dict.fromkeys(found)
    return pixels, list(notes)


def photo_sample(photo: Photo) -> Tensor:
    """Return blocks of a photo that are spaced evenly, as one image (1, C, H, W) in [-1, 1]."""
    tops, lefts = (
        np.linspace(0, side - SAMPLE_BLOCK, SAMPLE_BLOCKS).astype(int) // 8 * 8
        if side > SAMPLE_BLOCK * SAMPLE_BLOCKS
        else None
        for side in photo.pixels.shape[:2]
    )
    pixels = photo.pixels
    for axis, starts in enumerate((tops, lefts)):
        if starts is not None:
            index = np.concatenate([np.arange(start, start + SAMPLE_BLOCK) for start in starts])
            pixels = np.take(pixels, index, axis)
    return Photo(pixels).tensor()


def _restore_strips(
    runner: Runner,
    photo: Photo,
    seed: int,
    side_images: Mapping[str, Tensor],
    observer: Observer,
    strip_pixels: int,
    scale: int,
) -> tuple[NDArray[Any], list[str]] | None:
    """Return the pixels of a photo that is restored in strips, and the notes on a sample of it; None if it cannot be
    split.

    strip_pixels: approximate number of pixels of a strip. scale: factor by which the result is higher and wider.
    """
    recipe = runner.recipe
    if recipe.strips is None or recipe.side_images:
        return None
    sample = photo_sample(photo)
    options = runner.strip_options(sample)
    if options is None:
        return None
    notes = _run(runner, sample, seed, side_images, {}, UNOBSERVED)[1]
    release_free_memory()
    height, width = photo.pixels.shape[:2]
    rows = max(STRIP_GRID, strip_pixels // width // STRIP_GRID * STRIP_GRID)
    edges = [0, *range(rows, height - STRIP_GRID, rows), height]
    pixels: NDArray[Any] | None = None
    overlap: Tensor | None = None
    for number, (top, bottom) in enumerate(pairwise(edges)):
        first, last = max(0, top - CONTEXT), min(height, bottom + CONTEXT)
        part = photo.tensor(slice(first, last))

        def strip_windows(done: int, total: int, number: int = number) -> None:
            observer.windows(number * total + done, total * (len(edges) - 1))

        strip = replace(observer, windows=strip_windows)
        result = _run(runner, part, 0, side_images, options, strip)[0][0]
        start, end = top - HALF_BLEND * (top > 0), bottom + HALF_BLEND * (bottom < height)
        result = result[:, scale * (start - first) : scale * (end - first)]
        blended = 2 * HALF_BLEND * scale
        if overlap is not None:
            weight = (torch.arange(blended) + 0.5)[:, None] / blended
            result[:, :blended].lerp_(overlap, 1 - weight)
        if bottom < height:
            overlap, result = result[:, -blended:].clone(), result[:, :-blended]
        if pixels is None:
            pixels = np.empty((scale * height, scale * width, result.shape[0]), photo.pixels.dtype)
        pixels[scale * start : scale * start + result.shape[1]] = photo.quantised(result)
    assert pixels is not None
    return pixels, notes


def _run(
    runner: Runner,
    y: Tensor,
    seed: int,
    side_images: Mapping[str, Tensor],
    options: Mapping[str, Any],
    observer: Observer,
) -> tuple[Tensor, list[str]]:
    """Run the recipe; return the result and the texts of its warnings, without repetitions."""
    with record_warnings(RestorekitWarning) as messages:
        result = runner.restore(y, [seed], side_images, options, observer)
    return result, list(dict.fromkeys(map(str, messages)))
