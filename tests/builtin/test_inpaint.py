from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from restorekit.builtin.hole_filling import window_of
from restorekit.builtin.holes import contrast, halve, hole_width, scales_for, upsample
from restorekit.builtin.inpaint import inpaint
from restorekit.core.ladders import geometric_ladder
from restorekit.core.noise import NEGATED, ImageNoise
from restorekit.errors import RestorekitWarning
from restorekit.initial.smooth_fill import smooth_fill
from restorekit.priors.labelled import Labelled
from restorekit.priors.tiled import Tiled
from restorekit.testing import GaussianPrior
from tests.priors.gaussian import CorrelatedPrior


def box(side: int, first: int, last: int) -> Tensor:
    hole = torch.zeros(1, 1, side, side, dtype=torch.bool)
    hole[..., first:last, first:last] = True
    return hole


def run(prior, y: Tensor, mask: Tensor, seeds=None, **options: object) -> Tensor:
    noise = ImageNoise(range(len(y)) if seeds is None else seeds)
    options = dict(inpaint.validate({"mask": mask, **options}).options)
    return inpaint(y, prior, noise, mask=mask.float(), **options)


@pytest.mark.parametrize("mode", ["mean", "sample", "auto"])
@pytest.mark.parametrize(
    "prior", [GaussianPrior(0.2, 0.3), CorrelatedPrior(), Tiled(GaussianPrior(0.2, 0.3), window=8)]
)
def test_known_pixels_are_bit_identical(prior, mode: str) -> None:
    y = torch.rand(2, prior.info.channels, 8, 8) * 2 - 1
    mask = torch.cat([box(8, 2, 5), box(8, 0, 1)])
    result = run(prior, y, mask, mode=mode, steps=4)
    known = ~mask.expand_as(y)
    assert torch.equal(result[known], y[known])
    assert torch.isfinite(result).all()
    assert not torch.equal(result, y)


@pytest.mark.parametrize("mode", ["mean", "sample"])
def test_masked_pixels_of_the_input_are_ignored(mode: str) -> None:
    y, mask = torch.rand(1, 1, 8, 8) * 2 - 1, box(8, 2, 5)
    other = torch.where(mask, torch.ones(1), y)
    prior = CorrelatedPrior()
    assert torch.equal(run(prior, y, mask, mode=mode, steps=4), run(prior, other, mask, mode=mode, steps=4))


def posterior_problem() -> tuple[CorrelatedPrior, Tensor, Tensor, Tensor, Tensor]:
    prior, hole = CorrelatedPrior(), box(8, 3, 5)
    generator = torch.Generator().manual_seed(0)
    root = torch.linalg.cholesky(prior.covariance)
    y = (prior.mean + root @ torch.randn(64, generator=generator, dtype=torch.float64)).reshape(1, 1, 8, 8).float()
    mean, covariance = prior.posterior(y[0, 0], hole[0, 0])
    return prior, y, hole, mean.float(), covariance


def test_mean_of_a_prior_with_partial_noise_is_the_posterior_mean() -> None:
    prior, y, hole, mean, _ = posterior_problem()
    result = run(prior, y, hole, mode="mean")[hole]
    torch.testing.assert_close(result, mean, rtol=0, atol=1e-4)


def test_samples_of_a_prior_with_partial_noise_follow_the_posterior() -> None:
    prior, y, hole, mean, covariance = posterior_problem()
    many = y.expand(500, -1, -1, -1)
    result = run(prior, many, hole, mode="sample", steps=60, eta=1.0)[hole.expand_as(many)].reshape(500, -1)
    torch.testing.assert_close(result.mean(0), mean, rtol=0, atol=0.05)
    torch.testing.assert_close(torch.cov(result.T).double(), covariance, rtol=0, atol=0.25 * covariance.max().item())


def test_mean_of_any_prior_is_close_to_the_posterior_mean() -> None:
    prior, y, hole, mean, _ = posterior_problem()
    prior.info = replace(prior.info, partial_noise=False, supports_holes=False)
    result = run(prior, y, hole, mode="mean", steps=100)[hole]
    assert (result - mean).abs().max() < 0.1


def test_results_depend_on_the_seed_but_not_on_the_batch() -> None:
    prior, y = CorrelatedPrior(), torch.rand(2, 1, 8, 8)
    mask = box(8, 2, 6)
    for mode in ("mean", "sample"):
        both = run(prior, y, mask, mode=mode, steps=5, seeds=[7, 8])
        torch.testing.assert_close(both[1:], run(prior, y[1:], mask, mode=mode, steps=5, seeds=[8]))
    a, b = (run(prior, y[:1], mask, mode="sample", steps=5, seeds=[seed]) for seed in (1, 2))
    assert not torch.equal(a, b)


def test_auto_mode_depends_on_the_width_of_the_hole() -> None:
    prior = GaussianPrior(0.2, 0.3)
    y = torch.rand(1, 3, 40, 40)
    for hole, mode in [(box(40, 10, 13), "mean"), (box(40, 8, 32), "sample")]:
        expected = run(prior, y, hole, mode=mode, steps=4)
        other = run(prior, y, hole, mode="sample" if mode == "mean" else "mean", steps=4)
        result = run(prior, y, hole, steps=4)
        assert torch.equal(result, expected)
        assert not torch.equal(result, other)


def test_empty_mask_returns_the_image_and_full_mask_samples_the_prior() -> None:
    prior, y = GaussianPrior(0.2, 0.3), torch.rand(1, 3, 8, 8)
    with pytest.warns(RestorekitWarning, match="the mask is empty; image unchanged"):
        assert torch.equal(run(prior, y, torch.zeros(1, 1, 8, 8)), y)
    assert not prior.seen
    with pytest.warns(RestorekitWarning, match="the mask covers the whole image"):
        result = run(prior, y, torch.ones(1, 1, 8, 8), steps=20)
    assert result.mean().item() == pytest.approx(0.2, abs=0.15)


@pytest.mark.parametrize("mode", ["mean", "sample"])
def test_prior_with_levels_is_evaluated_only_at_its_levels(mode: str) -> None:
    levels = geometric_ladder(2, 0.02, 10)[:-1]
    prior = GaussianPrior(0.2, 0.1, levels=tuple(levels.tolist()), sigma_min=0.02, sigma_max=2.0)
    y, mask = torch.rand(1, 3, 8, 8) * 0.2, box(8, 2, 5)
    result = run(prior, y, mask, mode=mode, steps=30)
    assert all((levels - sigma).abs().min() < 1e-4 for sigma in prior.sigmas)
    assert torch.equal(result[~mask.expand_as(y)], y[~mask.expand_as(y)])
    assert (result - 0.2).abs().max() < 0.5


def test_langevin_works_with_any_prior() -> None:
    prior, y, hole, mean, _ = posterior_problem()
    many = y.expand(100, -1, -1, -1)
    result = run(prior, many, hole, mode="sample", method="langevin", steps=8, inner_steps=15)[hole.expand_as(many)]
    torch.testing.assert_close(result.reshape(100, -1).mean(0), mean, rtol=0, atol=0.1)
    ddnm = run(prior, many[:1], hole, mode="sample", method="ddnm", steps=8)
    assert not torch.equal(ddnm, run(prior, many[:1], hole, mode="sample", method="langevin", steps=8))


def test_hole_width_is_measured_in_pixels() -> None:
    assert hole_width(box(20, 5, 6)) == 1
    assert hole_width(box(20, 5, 8)) == 3
    assert 9 <= hole_width(box(40, 5, 15)) <= 11
    line = torch.zeros(1, 1, 30, 30, dtype=torch.bool)
    line[..., 10:12, :] = True
    assert hole_width(line) <= 3
    assert hole_width(torch.ones(1, 1, 16, 16, dtype=torch.bool)) >= 15


def test_number_of_scales_depends_on_the_width_of_the_hole() -> None:
    assert scales_for(box(256, 100, 110)) == 1
    assert scales_for(box(256, 100, 130)) == 2
    assert scales_for(box(256, 50, 150)) == 4
    assert scales_for(box(100, 10, 90)) == 2, "no side becomes shorter than 32"
    y, hole = torch.rand(1, 3, 9, 7), box(9, 3, 6)[..., :7]
    small, small_hole = halve(y, hole)
    assert small.shape == (1, 3, 5, 4)
    assert small_hole.shape == (1, 1, 5, 4)
    assert upsample(small, y).shape == y.shape
    flat = torch.full((1, 3, 8, 8), 0.4)
    small, small_hole = halve(flat, box(8, 2, 6))
    assert torch.equal(small_hole, box(4, 1, 3))
    torch.testing.assert_close(small[~small_hole.expand_as(small)], torch.full((36,), 0.4))


def test_wide_hole_is_filled_from_small_to_large() -> None:
    prior = GaussianPrior(0.2, 0.05)
    y, hole = torch.full((1, 3, 128, 128), 0.2), box(128, 40, 80)
    result = run(prior, y, hole, mode="sample", texture="prior", steps=5)
    assert [shape[-1] for shape in prior.seen] == [32] * 5 + [64] * 5 + [112] * 5
    assert torch.equal(result[~hole.expand_as(y)], y[~hole.expand_as(y)])
    assert (result - 0.2).abs().max() < 0.4
    prior.seen.clear()
    run(prior, y, hole, mode="sample", texture="prior", steps=5, scales=1)
    assert [shape[-1] for shape in prior.seen] == [112] * 5, "the hole and 32 pixels around its cells"


def test_prior_that_supports_holes_starts_from_its_mean_fill() -> None:
    _, y, hole, _, _ = posterior_problem()
    levels: list[float] = []

    class RecordingPrior(CorrelatedPrior):
        def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
            levels.append(float(sigma.max()))
            return super().__call__(x, sigma, label)

    run(RecordingPrior(), y, hole, mode="mean")
    assert levels[0] == float("inf")
    assert len(levels) == 3
    assert max(levels[1:]) < 0.06
    levels.clear()
    run(RecordingPrior(), 3 * y, hole, mode="sample", scales=1, steps=6)
    assert levels[0] == float("inf")
    assert levels[1] == pytest.approx(1.0)
    assert len(levels) == 7


@pytest.mark.parametrize(("scales", "size", "most"), [(1, 15, 1.0), (2, 3, 0.5)])
def test_first_sigma_follows_the_contrast_of_the_known_pixels(scales: int, size: int, most: float) -> None:
    class RecordingPrior(GaussianPrior):
        def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
            levels.append((x.shape[-1], float(sigma.max())))
            return super().__call__(x, sigma.clamp(max=10), label)

    prior, hole = RecordingPrior(0.2, 0.3, partial_noise=True), box(96, 44, 52)
    prior.info = replace(prior.info, supports_holes=True)
    pattern = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(0)) - 0.5
    first = {}
    for factor in (0.0, 0.25, 4.0):
        levels: list[tuple[int, float]] = []
        run(prior, factor * pattern, hole, mode="sample", scales=scales, steps=4)
        first[factor] = next(sigma for side, sigma in levels if side > 48 and sigma < math.inf)
    assert first[0.0] == pytest.approx(0.03)
    assert first[0.25] == pytest.approx(4 * contrast(0.25 * pattern, ~hole, size), rel=1e-4)
    assert first[4.0] == pytest.approx(most)


def test_samples_are_evaluated_only_around_the_parts_of_the_hole() -> None:
    prior = GaussianPrior(0.2, 0.3, partial_noise=True)
    y, hole = torch.rand(1, 3, 400, 500), torch.zeros(1, 1, 400, 500, dtype=torch.bool)
    hole[..., 304:316, 176:188] = True
    run(Tiled(prior), y, hole, mode="sample", steps=3)
    alone = run(Tiled(prior), y, hole, mode="sample", steps=3)
    assert set(prior.seen) == {(1, 3, 80, 80)}
    hole[..., 10:12, 480:490] = True
    prior.seen.clear()
    result = run(Tiled(prior), y, hole, mode="sample", steps=3)
    assert prior.seen == [(1, 3, 48, 56)] * 3 + [(1, 3, 80, 80)] * 3
    assert torch.equal(result[:, :, 12:300], y[:, :, 12:300])
    assert not torch.equal(result[..., 304:316, 176:188], alone[..., 304:316, 176:188]), "the next random numbers"


def test_parts_that_are_filled_are_known_to_those_after_them() -> None:
    noisy: list[int] = []

    class RecordingPrior(GaussianPrior):
        def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
            noisy.append(int((sigma > 0).sum()))
            return super().__call__(x, sigma, label)

    y, hole = torch.rand(1, 3, 400, 500), torch.zeros(1, 1, 400, 500, dtype=torch.bool)
    hole[..., 304:316, 176:188] = True
    hole[..., 304:306, 210:222] = True
    run(RecordingPrior(0.2, 0.3, partial_noise=True), y, hole, mode="sample", steps=3)
    assert noisy == [144 + 24] * 3 + [24] * 3, "the box of each part contains the other"


@pytest.mark.parametrize(
    ("last", "starts"),
    [
        (80, {10: (40 + 20 + 10) / 3, 20: (40 + 20) / 2 + 30 - (40 + 20 + 10) / 3, 40: 40 + 30 - (40 + 20) / 2}),
        (82, {11: (21 + 11) / 2, 21: 21 + 30 - (21 + 11) / 2, 42: 30}),
    ],
)
def test_initial_estimate_is_the_mean_fill_and_the_deviation_of_the_sample_below(
    last: int, starts: dict[int, float]
) -> None:
    """A mean fill has the value of its side, and a sample 30; a hole of 42 pixels is too wide for a mean fill."""
    found: dict[int, float] = {}

    class RecordingPrior(GaussianPrior):
        def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
            side = round(float((sigma > 0).sum(-1).max()))
            if sigma.max() == math.inf:
                return torch.full_like(x, 0.01 * side)
            middle = x.shape[-1] // 2
            found.setdefault(side, 100 * x[..., middle - 3 : middle + 3, middle - 3 : middle + 3].mean().item())
            return torch.full_like(x, 0.3)

    prior = RecordingPrior(0.2, 0.3, partial_noise=True)
    prior.info = replace(prior.info, supports_holes=True)
    y, hole = torch.zeros(1, 3, 128, 128), box(128, 40, last)
    run(prior, y, hole, mode="sample", texture="prior", steps=2)
    assert found == pytest.approx(starts, abs=2)


@pytest.mark.parametrize("size", [None, 64])
def test_window_of_a_prior_is_found_inside_its_wrappers(size: int | None) -> None:
    prior = GaussianPrior(0.2, 0.3, size=size)
    assert window_of(prior) == window_of(Tiled(prior)) == window_of(Labelled(Tiled(prior), None)) == size


def test_negated_noise_negates_the_deviation_from_the_mean() -> None:
    prior, y, hole, mean, _ = posterior_problem()
    first, second = (
        run(prior, y, hole, mode="sample", steps=60, eta=1.0, seeds=[seed])[hole] - mean for seed in (5, 5 + NEGATED)
    )
    assert (first + second).abs().max() < 0.3 * (first - second).abs().max()


class DirectionalPrior(GaussianPrior):
    """Returns the image plus a vertical ramp: an error that depends on the orientation of the image."""

    def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        return x + 0.05 * torch.linspace(-1, 1, x.shape[-2])[:, None]


@pytest.mark.parametrize("steps", [8, 16])
def test_errors_that_depend_on_orientation_cancel_over_the_views(steps: int) -> None:
    prior = DirectionalPrior()
    y, hole = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(0)) * 0.4, box(12, 3, 6)
    result = run(prior, y, hole, mode="mean", steps=steps)
    torch.testing.assert_close(result, smooth_fill(y, hole).where(hole, y), rtol=0, atol=1e-5)


def test_mean_is_evaluated_only_around_the_hole() -> None:
    prior = GaussianPrior(0.2, 0.3, partial_noise=True)
    y, hole = torch.rand(1, 3, 400, 500), torch.zeros(1, 1, 400, 500, dtype=torch.bool)
    hole[..., 300:305, 20:31] = True
    hole[..., 10:12, 480:490] = True
    result = run(Tiled(prior), y, hole, mode="mean", steps=3)
    assert set(prior.seen) == {(2, 3, 48, 48)}
    prior.info = replace(prior.info, size=1000)
    everywhere = run(prior, y, hole, mode="mean", steps=3)
    assert {shape.numel() for shape in prior.seen[3:]} == {y.numel()}
    torch.testing.assert_close(result, everywhere, rtol=0, atol=1e-3)


def test_windows_of_a_wide_hole_contain_known_pixels() -> None:
    known_fractions: list[float] = []

    class RecordingPrior(GaussianPrior):
        def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
            known_fractions.extend((sigma == 0).float().mean((1, 2, 3)).tolist())
            return super().__call__(x, sigma, label)

    prior = RecordingPrior(0.2, 0.3, partial_noise=True)
    run(prior, torch.rand(1, 3, 700, 700), box(700, 300, 420), mode="mean", steps=1)
    assert min(known_fractions) > 0.5


@pytest.mark.parametrize("prior", [GaussianPrior(0.2, 0.3, size=96), Tiled(GaussianPrior(0.2, 0.3, size=96))])
def test_windows_of_the_mean_are_not_smaller_than_those_of_the_prior(prior) -> None:
    network = prior.inner if isinstance(prior, Tiled) else prior
    run(prior, torch.rand(1, 3, 300, 300), box(300, 100, 104), mode="mean", steps=2)
    assert set(network.seen) == {(1, 3, 96, 96)}
