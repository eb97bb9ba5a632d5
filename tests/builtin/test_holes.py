from __future__ import annotations

import pytest
import torch
from torch import Tensor

from restorekit.builtin.holes import cover, hole_width


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
