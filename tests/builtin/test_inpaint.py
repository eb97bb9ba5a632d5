from __future__ import annotations

import pytest
import torch
from torch import Tensor

from restorekit.builtin.holes import enlarged, halved, hole_width, scales_for
from restorekit.builtin.inpaint import inpaint
from restorekit.core.ladders import geometric_ladder
from restorekit.core.noise import ImageNoise
from restorekit.errors import RestorekitWarning
from restorekit.priors.tiled import Tiled
from restorekit.testing import GaussianPrior
from tests.priors.gaussian import CorrelatedPrior


def box(side: int, first: int, last: int) -> Tensor:
    hole = torch.zeros(1, 1, side, side, dtype=torch.bool)
    hole[..., first:last, first:last] = True
    return hole


def run(prior, y: Tensor, mask: Tensor, seeds=None, **options: object) -> Tensor:
    noise = ImageNoise(range(len(y)) if seeds is None else seeds)
    return inpaint(y, prior, noise, **inpaint.checked({"mask": mask.float(), **options}))


@pytest.mark.parametrize("mode", ["mean", "sample", "auto"])
@pytest.mark.parametrize(
    "prior", [GaussianPrior(0.2, 0.3), CorrelatedPrior(), Tiled(GaussianPrior(0.2, 0.3), window=8)]
)
def test_known_pixels_come_back_bit_for_bit(prior, mode: str) -> None:
    y = torch.rand(2, prior.channels, 8, 8) * 2 - 1
    mask = torch.cat([box(8, 2, 5), box(8, 0, 1)])
    got = run(prior, y, mask, mode=mode, steps=4)
    known = ~mask.expand_as(y)
    assert torch.equal(got[known], y[known])
    assert torch.isfinite(got).all()
    assert not torch.equal(got, y)


@pytest.mark.parametrize("mode", ["mean", "sample"])
def test_what_was_under_the_mask_does_not_matter(mode: str) -> None:
    y, mask = torch.rand(1, 1, 8, 8) * 2 - 1, box(8, 2, 5)
    other = torch.where(mask, torch.ones(1), y)
    prior = CorrelatedPrior()
    assert torch.equal(run(prior, y, mask, mode=mode, steps=4), run(prior, other, mask, mode=mode, steps=4))


def posterior_problem() -> tuple[CorrelatedPrior, Tensor, Tensor, Tensor, Tensor]:
    prior, hole = CorrelatedPrior(), box(8, 3, 5)
    draw = torch.Generator().manual_seed(0)
    root = torch.linalg.cholesky(prior.covariance)
    y = (prior.mean + root @ torch.randn(64, generator=draw, dtype=torch.float64)).reshape(1, 1, 8, 8).float()
    mean, covariance = prior.posterior(y[0, 0], hole[0, 0])
    return prior, y, hole, mean.float(), covariance


def test_the_mean_of_a_prior_of_partial_noise_is_the_posterior_mean() -> None:
    prior, y, hole, mean, _ = posterior_problem()
    got = run(prior, y, hole, mode="mean")[hole]
    torch.testing.assert_close(got, mean, rtol=0, atol=1e-4)


def test_samples_of_a_prior_of_partial_noise_are_draws_of_the_posterior() -> None:
    prior, y, hole, mean, covariance = posterior_problem()
    many = y.expand(500, -1, -1, -1)
    got = run(prior, many, hole, mode="sample", steps=60, eta=1.0)[hole.expand_as(many)].reshape(500, -1)
    torch.testing.assert_close(got.mean(0), mean, rtol=0, atol=0.05)
    torch.testing.assert_close(torch.cov(got.T).double(), covariance, rtol=0, atol=0.25 * covariance.max().item())


def test_the_mean_of_any_prior_comes_near_the_posterior_mean() -> None:
    prior, y, hole, mean, _ = posterior_problem()
    prior.partial_noise = prior.fills = False
    got = run(prior, y, hole, mode="mean", steps=100)[hole]
    assert (got - mean).abs().max() < 0.1


def test_an_answer_does_not_depend_on_the_batch_but_on_the_seed() -> None:
    prior, y = CorrelatedPrior(), torch.rand(2, 1, 8, 8)
    mask = box(8, 2, 6)
    for mode in ("mean", "sample"):
        both = run(prior, y, mask, mode=mode, steps=5, seeds=[7, 8])
        torch.testing.assert_close(both[1:], run(prior, y[1:], mask, mode=mode, steps=5, seeds=[8]))
    a, b = (run(prior, y[:1], mask, mode="sample", steps=5, seeds=[seed]) for seed in (1, 2))
    assert not torch.equal(a, b)


def test_auto_goes_by_the_width_of_the_hole() -> None:
    prior = GaussianPrior(0.2, 0.3)
    y = torch.rand(1, 3, 40, 40)
    for hole, mode in [(box(40, 10, 13), "mean"), (box(40, 8, 32), "sample")]:
        want = run(prior, y, hole, mode=mode, steps=4)
        other = run(prior, y, hole, mode="sample" if mode == "mean" else "mean", steps=4)
        got = run(prior, y, hole, steps=4)
        assert torch.equal(got, want)
        assert not torch.equal(got, other)


def test_a_mask_of_nothing_returns_the_photo_and_a_mask_of_all_samples() -> None:
    prior, y = GaussianPrior(0.2, 0.3), torch.rand(1, 3, 8, 8)
    with pytest.warns(RestorekitWarning, match="marks nothing"):
        assert torch.equal(run(prior, y, torch.zeros(1, 1, 8, 8)), y)
    assert not prior.seen
    with pytest.warns(RestorekitWarning, match="marks everything"):
        got = run(prior, y, torch.ones(1, 1, 8, 8), steps=20)
    assert got.mean().item() == pytest.approx(0.2, abs=0.15)


@pytest.mark.parametrize("mode", ["mean", "sample"])
def test_a_prior_of_few_levels_is_asked_at_these_alone(mode: str) -> None:
    class Levelled(GaussianPrior):
        levels = geometric_ladder(2, 0.02, 10)[:-1]
        sigma_min, sigma_max = 0.02, 2.0

        def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
            assert all((self.levels - s).abs().min() < 1e-4 for s in sigma.double()), "a level that it does not know"
            return super().__call__(x, sigma, label)

    y, mask = torch.rand(1, 3, 8, 8) * 0.2, box(8, 2, 5)
    got = run(Levelled(0.2, 0.1), y, mask, mode=mode, steps=30)
    assert torch.equal(got[~mask.expand_as(y)], y[~mask.expand_as(y)])
    assert (got - 0.2).abs().max() < 0.5


def test_langevin_can_be_had_with_any_prior() -> None:
    prior, y, hole, mean, _ = posterior_problem()
    many = y.expand(100, -1, -1, -1)
    got = run(prior, many, hole, mode="sample", method="langevin", steps=8, inner_steps=15)[hole.expand_as(many)]
    torch.testing.assert_close(got.reshape(100, -1).mean(0), mean, rtol=0, atol=0.1)
    ddnm = run(prior, many[:1], hole, mode="sample", method="ddnm", steps=8)
    assert not torch.equal(ddnm, run(prior, many[:1], hole, mode="sample", method="langevin", steps=8))


def test_width_of_holes() -> None:
    assert hole_width(box(20, 5, 6)) == 1
    assert hole_width(box(20, 5, 8)) == 3
    assert 9 <= hole_width(box(40, 5, 15)) <= 11
    line = torch.zeros(1, 1, 30, 30, dtype=torch.bool)
    line[..., 10:12, :] = True
    assert hole_width(line) <= 3
    assert hole_width(torch.ones(1, 1, 16, 16, dtype=torch.bool)) >= 15


def test_scales_go_by_the_width_of_the_hole() -> None:
    assert scales_for(box(256, 100, 110)) == 1
    assert scales_for(box(256, 100, 130)) == 2
    assert scales_for(box(256, 50, 150)) == 4
    assert scales_for(box(100, 10, 90)) == 2, "no image smaller than that"
    y, hole = torch.rand(1, 3, 9, 7), box(9, 3, 6)[..., :7]
    small, narrow = halved(y, hole)
    assert small.shape == (1, 3, 5, 4)
    assert narrow.shape == (1, 1, 5, 4)
    assert enlarged(small, y).shape == y.shape
    flat = torch.full((1, 3, 8, 8), 0.4)
    small, narrow = halved(flat, box(8, 2, 6))
    assert torch.equal(narrow, box(4, 1, 3))
    torch.testing.assert_close(small[~narrow.expand_as(small)], torch.full((36,), 0.4))


def test_a_wide_hole_is_filled_from_small_to_large() -> None:
    sizes = []

    class Watched(GaussianPrior):
        def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
            sizes.append(x.shape[-1])
            return super().__call__(x, sigma)

    y, hole = torch.full((1, 3, 128, 128), 0.2), box(128, 40, 80)
    got = run(Watched(0.2, 0.05), y, hole, mode="sample", steps=5)
    assert sizes == [32] * 5 + [64] * 5 + [128] * 5
    assert torch.equal(got[~hole.expand_as(y)], y[~hole.expand_as(y)])
    assert (got - 0.2).abs().max() < 0.4
    sizes.clear()
    run(Watched(0.2, 0.05), y, hole, mode="sample", steps=5, scales=1)
    assert sizes == [128] * 5


def test_a_prior_that_fills_is_asked_for_its_fill_first() -> None:
    _, y, hole, _, _ = posterior_problem()
    levels: list[float] = []

    class Watched(CorrelatedPrior):
        def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
            levels.append(float(sigma.max()))
            return super().__call__(x, sigma, label)

    run(Watched(), y, hole, mode="mean")
    assert levels[:4] == [float("inf")] * 4
    assert len(levels) == 8
    assert max(levels[4:]) < 0.04
    levels.clear()
    run(Watched(), y, hole, mode="sample", scales=1, steps=6)
    assert levels[0] == float("inf")
    assert levels[1] == pytest.approx(1.0)
    assert len(levels) == 7
