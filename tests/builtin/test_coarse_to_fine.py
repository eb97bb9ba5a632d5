"""Large holes with priors of large windows, which see the whole hole and its surroundings."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from restorekit.builtin.coarse_to_fine import LARGE_WINDOW, sizes_for, surroundings
from restorekit.builtin.holes import Box
from restorekit.core.denoiser import PriorInfo
from restorekit.core.ladders import geometric_ladder
from restorekit.core.noise import ImageNoise
from restorekit.models.config import EpsilonConfig
from restorekit.nets.unet import UNetConfig
from restorekit.priors.tiled import Tiled
from restorekit.testing import GaussianPrior
from tests.builtin.test_inpaint import run

SIDE = 256


def rectangle(height: int, width: int, rows: tuple[int, int], columns: tuple[int, int]) -> Tensor:
    hole = torch.zeros(1, 1, height, width, dtype=torch.bool)
    hole[..., rows[0] : rows[1], columns[0] : columns[1]] = True
    return hole


class Field:
    """Images of one channel whose spectrum falls with frequency, as that of photos does; D is exact and periodic."""

    def __init__(self, mean: float = 0.1, std: float = 0.25, reach: float = 30.0) -> None:
        self.info = PriorInfo(1, 128, 0.002, 80.0)
        self.mean, self.std, self.reach = mean, std, reach
        self.seen: list[torch.Size] = []

    def spectrum(self, side: int) -> Tensor:
        """Variance of the Fourier coefficients of side x side pixels (orthonormal transform)."""
        frequency = torch.fft.fftfreq(side)
        power = 1 / (frequency[:, None] ** 2 + frequency**2 + self.reach**-2) ** 1.3
        return power * self.std**2 / power.mean()

    def sample(self, height: int, width: int) -> Tensor:
        side = max(height, width)
        white = torch.fft.fft2(ImageNoise([5]).like(torch.empty(1, 1, side, side)), norm="ortho")
        return self.mean + torch.fft.ifft2(white * self.spectrum(side).sqrt(), norm="ortho").real[..., :height, :width]

    def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        self.seen.append(x.shape)
        power = self.spectrum(x.shape[-1])
        gain = power / (power + sigma.reshape(-1, 1, 1, 1) ** 2)
        return self.mean + torch.fft.ifft2(torch.fft.fft2(x - self.mean) * gain).real


def change(x: Tensor, marked: Tensor) -> float:
    """Root mean square of the differences of horizontal neighbours, of which `marked` has the left pixels."""
    return (x[..., 1:] - x[..., :-1])[marked[..., :-1]].square().mean().sqrt().item()


class RecordingPrior(GaussianPrior):
    """Keeps where the pixels of the windows are noisy."""

    def __init__(self) -> None:
        super().__init__(0.5, 0.1, size=SIDE, partial_noise=True)
        self.noisy: list[Tensor] = []

    def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        self.noisy.append(sigma > 0)
        return super().__call__(x, sigma, label)


def test_hole_that_fits_is_filled_at_full_size_in_one_centered_window() -> None:
    y, hole = torch.rand(1, 3, 401, 503), rectangle(401, 503, (150, 260), (200, 310))
    prior = RecordingPrior()
    result = run(Tiled(prior), y, hole, mode="sample", steps=7, resample=1)
    assert prior.seen == [(1, 3, SIDE, SIDE)] * 7
    assert prior.sigmas[0] == 20, "noise that hides all but the mean of the hole"
    assert all(torch.equal(noisy, rectangle(SIDE, SIDE, (73, 183), (73, 183))) for noisy in prior.noisy), "centered"
    assert torch.equal(result[~hole.expand_as(y)], y[~hole.expand_as(y)])


@pytest.mark.parametrize("size", [SIDE, 512])
def test_larger_hole_is_filled_from_the_size_of_the_window(size: int) -> None:
    prior, y = GaussianPrior(0.2, 0.3, size=size), torch.zeros(1, 3, 3 * size, 3 * size - 8)
    hole = rectangle(3 * size, 3 * size - 8, (size, 2 * size), (size, 2 * size))
    run(Tiled(prior), y, hole, mode="sample", steps=2, resample=1)
    assert {shape[1:] for shape in prior.seen} == {(3, size, size)}
    once, *tiled = [shape[0] for shape in prior.seen]
    assert (once, sum(tiled)) == (1, 1 + 2 * 9), "two steps of one window, then of nine"
    assert prior.sigmas[0] == pytest.approx(80)
    assert prior.sigmas[2] == pytest.approx(0.5)


def test_number_of_sizes_can_be_limited() -> None:
    prior, y, hole = GaussianPrior(size=128), torch.zeros(1, 3, 500, 500), rectangle(500, 500, (130, 370), (130, 370))
    run(Tiled(prior), y, hole, mode="sample", steps=1)
    auto = list(prior.sigmas)
    prior.seen.clear()
    prior.sigmas.clear()
    assert auto[0] == pytest.approx(80)
    assert {round(sigma, 2) for sigma in auto[1:]} == {0.5}
    run(Tiled(prior), y, hole, mode="sample", steps=1, scales=1)
    assert set(prior.sigmas) == {80.0}, "full size only"
    assert {shape[1:] for shape in prior.seen} == {(3, 128, 128)}


@pytest.mark.parametrize(
    ("hole", "box", "sizes"),
    [
        (rectangle(600, 700, (300, 310), (350, 360)), Box(177, 227, 256, 256), [(256, 256)]),
        (rectangle(600, 700, (0, 100), (0, 100)), Box(0, 0, 256, 256), [(256, 256)]),
        (rectangle(600, 700, (200, 350), (300, 450)), Box(147, 247, 256, 256), [(256, 256)]),
        (rectangle(600, 700, (200, 400), (300, 500)), Box(100, 200, 400, 400), [(256, 256), (400, 400)]),
        (rectangle(900, 900, (100, 600), (100, 600)), Box(0, 0, 900, 900), [(256, 256), (512, 512), (900, 900)]),
        (rectangle(600, 2000, (300, 304), (50, 1900)), Box(174, 0, 256, 1978), [(256, 1978)]),
        (rectangle(100, 80, (0, 100), (0, 80)), Box(-78, -88, 256, 256), [(256, 256)]),
    ],
    ids=["small", "corner", "slightly wider", "wide", "very wide", "long", "whole photo"],
)
def test_box_contains_the_hole_and_its_surroundings(hole: Tensor, box: Box, sizes: list[tuple[int, int]]) -> None:
    assert surroundings(hole, SIDE) == box
    assert sizes_for(hole, box, SIDE) == sizes


def test_windows_of_a_long_hole_are_those_that_contain_it() -> None:
    prior, y = GaussianPrior(size=128), torch.zeros(1, 3, 700, 700)
    hole = torch.zeros(1, 1, 700, 700, dtype=torch.bool)
    for i in range(40, 660):
        hole[..., i, i - 2 : i + 2] = True
    run(Tiled(prior), y, hole, mode="sample", steps=1)
    assert {shape[1:] for shape in prior.seen} == {(3, 128, 128)}
    assert sum(shape[0] for shape in prior.seen) < 30, "all of them are 49"


@pytest.mark.parametrize("width", [50, 100])
def test_fill_has_the_statistics_of_the_surroundings(width: int) -> None:
    prior = Field()
    y, first = prior.sample(240, 250), 120 - width // 2
    hole = rectangle(240, 250, (first, first + width), (first, first + width))
    result = run(Tiled(prior), y, hole, mode="sample", steps=30)
    assert {shape[1:] for shape in prior.seen} == {(1, 128, 128)}
    assert change(result, hole) == pytest.approx(change(y, ~hole), rel=0.25)
    assert change(result, hole != hole.roll(-1, -1)) < 1.3 * change(y, ~hole), "no seam"
    assert result[hole].std().item() == pytest.approx(y[hole].std().item(), rel=0.25)
    assert result[hole].mean().item() == pytest.approx(y[hole].mean().item(), abs=0.1)


def test_mean_and_spread_of_independent_pixels_are_those_of_the_prior() -> None:
    y, hole = torch.zeros(1, 3, 420, 420), rectangle(420, 420, (110, 310), (110, 310))
    fill = run(Tiled(GaussianPrior(0.2, 0.2, size=SIDE)), y, hole, mode="sample", steps=20)[hole.expand_as(y)]
    assert fill.mean().item() == pytest.approx(0.2, abs=0.01)
    assert fill.std().item() == pytest.approx(0.2, rel=0.15)


def test_photos_smaller_than_the_window_and_batches() -> None:
    y = torch.rand(2, 3, 90, 131, generator=torch.Generator().manual_seed(0)) * 0.2
    hole = rectangle(90, 131, (30, 80), (40, 131))
    prior = GaussianPrior(0.1, 0.1, size=SIDE)
    both = run(Tiled(prior), y, hole, mode="sample", steps=3)
    assert set(prior.seen) == {(1, 3, SIDE, SIDE)}
    torch.testing.assert_close(run(Tiled(prior), y[1:], hole, mode="sample", steps=3, seeds=[1]), both[1:])
    assert torch.equal(both[~hole.expand_as(y)], y[~hole.expand_as(y)])
    assert not torch.equal(both[0], both[1])


def test_pixels_outside_the_photo_are_unknown() -> None:
    prior, y, hole = RecordingPrior(), torch.zeros(1, 3, 100, 300), rectangle(100, 300, (30, 60), (100, 130))
    run(Tiled(prior), y, hole, mode="sample", steps=1)
    known = ~prior.noisy[0][0, 0]
    assert known.any(1).nonzero()[:, 0].tolist() == list(range(78, 178)), "the rows of the photo"
    assert known.sum() == 100 * SIDE - 30 * 30


def test_prior_with_levels_is_sampled_by_langevin_at_its_own_scale() -> None:
    levels = tuple(geometric_ladder(20, 0.02, 12)[:-1].tolist())
    prior = GaussianPrior(0.2, 0.1, size=SIDE, levels=levels, sigma_min=0.02, sigma_max=20.0)
    y, hole = torch.full((1, 3, 420, 420), 0.2), rectangle(420, 420, (110, 310), (110, 310))
    fill = run(Tiled(prior), y, hole, mode="sample", steps=12, inner_steps=3)[hole.expand_as(y)]
    assert {shape[1:] for shape in prior.seen} == {(3, SIDE, SIDE)}
    assert prior.sigmas[0] == pytest.approx(20)
    assert fill.mean().item() == pytest.approx(0.2, abs=0.02)
    assert fill.std().item() == pytest.approx(0.1, rel=0.2)


@pytest.mark.parametrize(("size", "last"), [(LARGE_WINDOW - 1, 128), (None, 112)])
def test_priors_of_small_windows_or_any_size_are_not_affected(size: int | None, last: int) -> None:
    y, hole = torch.zeros(1, 3, 128, 128), rectangle(128, 128, (40, 80), (40, 80))
    prior = GaussianPrior(0.2, 0.1, size=size)
    run(prior, y, hole, mode="sample", steps=3)
    assert [shape[-1] for shape in prior.seen] == [32] * 3 + [64] * 3 + [last] * 3


def test_network_of_the_layout_of_256_pixels() -> None:
    net = UNetConfig(channels=32, multipliers=(1, 1, 1, 1, 1, 1), blocks=1, attention=(8, 16, 32))
    prior = EpsilonConfig(net=net, size=SIDE).build().eval()
    assert prior.info.size == SIDE
    y, hole = torch.rand(1, 3, 270, 300) * 2 - 1, rectangle(270, 300, (100, 200), (100, 190))
    with torch.no_grad():
        result = run(Tiled(prior), y, hole, mode="sample", steps=1)
    assert torch.isfinite(result).all()
    assert math.isclose(result.abs().max().item(), 1, abs_tol=0.1)
