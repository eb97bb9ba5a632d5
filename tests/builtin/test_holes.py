from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from restorekit.builtin.holes import contrast, cover, hole_width, separate_parts


def scattered(height: int, width: int, count: int) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    hole = torch.zeros(1, 1, height, width, dtype=torch.bool)
    hole.view(-1)[torch.randperm(height * width, generator=generator)[:count]] = True
    return hole


@pytest.mark.parametrize("count", [1, 5, 200])
@pytest.mark.parametrize("size", [(300, 200), (37, 501), (16, 16)])
def test_windows_contain_the_hole_and_its_surroundings(size: tuple[int, int], count: int) -> None:
    margin, (height, width) = 8, size
    hole = scattered(height, width, count)
    found = cover(hole, margin)
    position = torch.arange(height * width).reshape(1, 1, height, width)
    pasted = found.paste(torch.ones_like(found.crop(hole)), torch.zeros_like(hole))
    assert pasted[hole].all()
    for marked in hole.nonzero()[:, 2:].tolist():
        surroundings = [
            range(max(0, center - margin), min(length, center + margin + 1))
            for center, length in zip(marked, size, strict=True)
        ]
        corners = {rows * width + columns for rows in surroundings[0] for columns in surroundings[1]}
        assert any(corners <= set(window.flatten().tolist()) for window in found.crop(position))


@pytest.mark.parametrize("count", [1, 30])
def test_pasted_windows_replace_only_their_cells(count: int) -> None:
    hole, x = scattered(260, 190, count), torch.rand(1, 3, 260, 190)
    found = cover(hole, 16)
    assert torch.equal(found.paste(found.crop(x), x), x)
    changed = (found.paste(found.crop(x) + 1, x) != x).any(1, keepdim=True)
    assert changed[hole].all()
    assert changed.sum() <= len(found.cells) * found.side**2


def test_area_of_the_windows_follows_that_of_the_hole() -> None:
    small, many = cover(scattered(1000, 1000, 1), 16), cover(scattered(1000, 1000, 20), 16)
    assert small.area == 48**2
    assert small.area < many.area <= 20 * 48**2
    assert cover(scattered(100, 100, 5000), 16).window == (100, 100), "the whole image if windows are not smaller"


def test_windows_are_not_smaller_than_those_of_the_prior() -> None:
    assert cover(scattered(1000, 1000, 1), 16, min_side=64).window == (64, 64)
    assert cover(scattered(1000, 1000, 1), 16, min_side=2000).window == (1000, 1000)


@pytest.mark.parametrize(
    ("rows", "columns", "width"), [((0, 5), (0, 40), 9), ((10, 15), (0, 40), 5), ((0, 9), (7, 8), 1)]
)
def test_width_at_the_border_of_the_image(rows: tuple[int, int], columns: tuple[int, int], width: int) -> None:
    hole = torch.zeros(1, 1, 30, 40, dtype=torch.bool)
    hole[..., slice(*rows), slice(*columns)] = True
    assert hole_width(hole) == width
    assert hole_width(hole.transpose(-1, -2)) == width


def test_separate_parts_contain_the_hole_and_are_far_from_each_other() -> None:
    hole = torch.zeros(1, 1, 300, 200, dtype=torch.bool)
    parts = ((slice(3, 9), slice(0, 5)), (slice(20, 30), slice(10, 12)), (slice(250, 300), slice(150, 160)))
    for rows, columns in parts:
        hole[..., rows, columns] = True
    (first, box), (second, other) = separate_parts(hole, 16)
    assert torch.equal(first | second, hole)
    assert not (first & second).any()
    assert first[..., :40, :].sum() == first.sum() == 30 + 20, "cells of 16 pixels that touch are one part"
    assert (box.top, box.left, box.height, box.width) == (0, 0, 32 + 16, 16 + 16)
    assert (other.top, other.left, other.height, other.width) == (240 - 16, 144 - 16, 60 + 16, 16 + 32)


def test_hole_is_one_part_if_the_boxes_are_larger_than_the_image() -> None:
    hole = scattered(100, 90, 40)
    ((part, box),) = separate_parts(hole, 32)
    assert torch.equal(part, hole)
    assert (box.top, box.left, box.height, box.width) == (0, 0, 100, 90)
    assert len(list(separate_parts(scattered(1000, 1000, 3), 32))) == 3
    assert len(list(separate_parts(torch.ones_like(hole), 32))) == 1
    assert list(separate_parts(torch.zeros_like(hole), 32)) == []


def test_contrast_is_the_deviation_from_the_mean_of_known_neighbours() -> None:
    rows = torch.arange(48)
    stripes = (0.3 * (-1.0) ** rows)[None, None, :, None].expand(1, 2, 48, 40)
    known = torch.ones(1, 1, 48, 40, dtype=torch.bool)
    inner = stripes - F.avg_pool2d(stripes, 3, 1, 1, count_include_pad=False)
    assert contrast(stripes, known, 3) == pytest.approx(inner.square().mean().sqrt().item(), rel=1e-5)
    assert contrast(stripes, known, 95) == pytest.approx(0.3, rel=1e-2)
    hidden = known.clone()
    hidden[..., 10:20, 10:20] = False
    damaged = torch.where(hidden, torch.full_like(stripes, 0.2), torch.ones(1))
    assert contrast(damaged, hidden, 5) == pytest.approx(0, abs=1e-6), "unknown pixels do not count"
    assert contrast(stripes, torch.zeros_like(known), 5) == 0
