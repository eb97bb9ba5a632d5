from __future__ import annotations

import pytest
import torch
from skimage import data
from torch import Tensor

from restorekit.builtin.holes import hole_width, smooth_fill
from restorekit.builtin.inpaint import inpaint
from restorekit.core.noise import ImageNoise
from restorekit.evaluation.baselines import biharmonic
from restorekit.evaluation.metrics import psnr
from restorekit.priors.tiled import Tiled
from tests.priors.gaussian import CorrelatedPrior, GaussianPrior


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
    torch.testing.assert_close(got, mean, rtol=0, atol=0.02)


def test_samples_of_a_prior_of_partial_noise_are_draws_of_the_posterior() -> None:
    prior, y, hole, mean, covariance = posterior_problem()
    many = y.expand(500, -1, -1, -1)
    got = run(prior, many, hole, mode="sample", steps=60, eta=1.0)[hole.expand_as(many)].reshape(500, -1)
    torch.testing.assert_close(got.mean(0), mean, rtol=0, atol=0.05)
    torch.testing.assert_close(torch.cov(got.T).double(), covariance, rtol=0, atol=0.25 * covariance.max().item())


def test_the_mean_of_any_prior_comes_near_the_posterior_mean() -> None:
    prior, y, hole, mean, _ = posterior_problem()
    prior.partial_noise = False
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
    assert torch.equal(run(prior, y, torch.zeros(1, 1, 8, 8)), y)
    assert not prior.seen
    got = run(prior, y, torch.ones(1, 1, 8, 8), steps=20)
    assert got.mean().item() == pytest.approx(0.2, abs=0.15)


def test_width_of_holes() -> None:
    assert hole_width(box(20, 5, 6)) == 1
    assert hole_width(box(20, 5, 8)) == 3
    assert 9 <= hole_width(box(40, 5, 15)) <= 11
    line = torch.zeros(1, 1, 30, 30, dtype=torch.bool)
    line[..., 10:12, :] = True
    assert hole_width(line) <= 3
    assert hole_width(torch.ones(1, 1, 16, 16, dtype=torch.bool)) >= 15


def test_the_first_guess_of_narrow_holes_is_the_biharmonic_one() -> None:
    photo = torch.from_numpy(data.astronaut()[100:164, 180:260].copy()).permute(2, 0, 1) / 127.5 - 1
    scattered = torch.rand(1, 64, 80, generator=torch.Generator().manual_seed(0)) < 0.6
    scattered[:, 30:33, 5:70] = True
    want = biharmonic(torch.where(scattered, torch.zeros(1), photo), scattered)
    got = smooth_fill(photo[None], scattered[None])[0]
    assert psnr(got, photo, scattered) == pytest.approx(psnr(want, photo, scattered), abs=0.1)


def test_the_first_guess_is_smooth_and_keeps_what_is_known() -> None:
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
