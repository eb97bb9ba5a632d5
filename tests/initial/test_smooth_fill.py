from __future__ import annotations

import pytest
import torch
from skimage import data

from restorekit.evaluation.baselines import biharmonic
from restorekit.evaluation.metrics import psnr
from restorekit.initial.smooth_fill import smooth_fill


def box(side: int, start: int, stop: int) -> torch.Tensor:
    hole = torch.zeros(1, 1, side, side, dtype=torch.bool)
    hole[..., start:stop, start:stop] = True
    return hole


def test_fill_of_narrow_holes_is_close_to_biharmonic_inpainting() -> None:
    photo = torch.from_numpy(data.astronaut()[100:164, 180:260].copy()).permute(2, 0, 1) / 127.5 - 1
    scattered = torch.rand(1, 64, 80, generator=torch.Generator().manual_seed(0)) < 0.6
    scattered[:, 30:33, 5:70] = True
    want = biharmonic(torch.where(scattered, torch.zeros(1), photo), scattered)
    got = smooth_fill(photo[None], scattered[None])[0]
    assert psnr(got, photo, scattered) == pytest.approx(psnr(want, photo, scattered), abs=0.1)


def test_fill_is_smooth_and_known_pixels_are_bit_identical() -> None:
    ramp = torch.linspace(-1, 1, 33).expand(1, 3, 33, 33)
    hole = box(33, 8, 20)
    got = smooth_fill(ramp, hole)
    known = ~hole.expand_as(ramp)
    assert torch.equal(got[known], ramp[known])
    torch.testing.assert_close(got, ramp, rtol=0, atol=1e-3)
    assert smooth_fill(ramp, torch.ones_like(hole)).abs().max() == 0
    one = torch.ones_like(hole)
    one[..., 3, 4] = False
    torch.testing.assert_close(smooth_fill(ramp + 2, one), torch.full_like(ramp, float(ramp[0, 0, 0, 4]) + 2))


def test_images_of_a_batch_are_filled_independently() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(3, 3, 24, 20, generator=generator) * 2 - 1
    holes = torch.rand(3, 1, 24, 20, generator=generator) < torch.tensor([0.3, 0.0, 1.0]).reshape(3, 1, 1, 1)
    got = smooth_fill(x, holes)
    for i in range(3):
        torch.testing.assert_close(got[i : i + 1], smooth_fill(x[i : i + 1], holes[i : i + 1]), rtol=0, atol=1e-3)
    assert torch.equal(got[1], x[1])
    assert got[2].abs().max() == 0
    other = torch.where(holes, torch.full_like(x, torch.nan), x)
    assert torch.equal(smooth_fill(other, holes), got)


def test_wide_holes_in_thin_images_are_filled() -> None:
    x, hole = torch.full((1, 3, 4, 300), 0.5), torch.zeros(1, 1, 4, 300, dtype=torch.bool)
    hole[..., 20:280] = True
    torch.testing.assert_close(smooth_fill(x, hole), x)
