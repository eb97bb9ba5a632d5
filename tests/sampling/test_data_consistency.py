from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from restorekit.checks.gaussian import GaussianPrior
from restorekit.core.denoiser import denoise_at
from restorekit.core.ladders import geometric_ladder, karras_ladder
from restorekit.core.noise import ImageNoise
from restorekit.core.operators import Identity, Masking
from restorekit.priors.known_pixels import KnownPixels
from restorekit.sampling.data_consistency import plug_and_play, project, sample_ddnm
from tests.priors.gaussian import CorrelatedPrior

HOLE = torch.zeros(1, 1, 80, 80, dtype=torch.bool)
HOLE[..., 10:60, 20:70] = True
OPERATOR = Masking(~HOLE)


def photo(count: int = 1) -> Tensor:
    return 0.2 + 0.3 * ImageNoise(range(count)).like(torch.empty(count, 3, 80, 80))


def start(y: Tensor, noise: ImageNoise, sigma: float = 20.0) -> Tensor:
    return noise.like(y) * sigma


def test_projection_changes_only_the_measured_part() -> None:
    x, y = photo(), OPERATOR.forward(photo() + 1)
    got = project(OPERATOR, y, x)
    torch.testing.assert_close(OPERATOR.forward(got), y)
    hole = HOLE.expand_as(x)
    assert torch.equal(got[hole], x[hole])
    torch.testing.assert_close(project(Identity(), y, x), y)


@pytest.mark.parametrize("resample", [1, 3])
@pytest.mark.parametrize("eta", [0.0, 0.85, 1.0])
def test_samples_keep_known_pixels_and_have_the_statistics_of_the_prior_elsewhere(eta: float, resample: int) -> None:
    prior, y, noise = GaussianPrior(0.2, 0.3), photo(), ImageNoise([3])
    ladder = karras_ladder(20, 0.005, 80)
    got = sample_ddnm(
        prior, OPERATOR, OPERATOR.forward(y), start(y, noise), ladder, noise, eta=eta, resample=resample, clip=False
    )
    hole = HOLE.expand_as(y)
    torch.testing.assert_close(got[~hole], y[~hole])
    assert got[hole].mean().item() == pytest.approx(0.2, abs=0.02)
    assert got[hole].std().item() == pytest.approx(0.3, abs=0.03)


def test_one_step_is_finite_and_results_do_not_depend_on_the_batch() -> None:
    prior, y = GaussianPrior(0.2, 0.3), photo(2)

    def run(chosen: slice, steps: int) -> Tensor:
        noise = ImageNoise([5, 6][chosen])
        first = start(y[chosen], noise)
        ladder = karras_ladder(20, 0.1, steps)
        return sample_ddnm(prior, OPERATOR, OPERATOR.forward(y[chosen]), first, ladder, noise, resample=2)

    assert torch.isfinite(run(slice(0, 2), 1)).all()
    torch.testing.assert_close(run(slice(0, 2), 4)[1:], run(slice(1, 2), 4))


def test_plug_and_play_keeps_known_pixels_and_converges_to_the_mean() -> None:
    y = photo()
    observed = OPERATOR.forward(y)
    got = plug_and_play(GaussianPrior(0.2, 0.3), OPERATOR, observed, torch.zeros_like(y), geometric_ladder(3, 0.3, 60))
    hole = HOLE.expand_as(y)
    torch.testing.assert_close(got[~hole], y[~hole])
    torch.testing.assert_close(got[hole], torch.full_like(got[hole], 0.2), rtol=0, atol=1e-3)


def test_plug_and_play_cycles_through_the_priors() -> None:
    priors, ladder = [GaussianPrior(0.2, 0.3), GaussianPrior(0.2, 0.3)], geometric_ladder(3, 0.3, 5)
    plug_and_play(priors, OPERATOR, OPERATOR.forward(photo()), torch.zeros(1, 3, 80, 80), ladder)
    assert [prior.sigmas for prior in priors] == [pytest.approx(ladder[:-1][start::2].tolist()) for start in range(2)]


def test_known_pixels_condition_the_prior() -> None:
    prior = CorrelatedPrior()
    hole = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    hole[..., 2:5, 3:6] = True
    y = torch.rand(1, 1, 8, 8)
    mean, _ = prior.posterior(y[0, 0], hole[0, 0])
    given = KnownPixels(prior, hole, y)
    got = given(torch.randn(1, 1, 8, 8) * 50, torch.tensor([50.0]))
    torch.testing.assert_close(got[hole], mean.float(), rtol=0, atol=0.01)
    assert torch.equal(got[~hole], y[~hole])
    torch.testing.assert_close(denoise_at(given, y, math.inf)[hole], mean.float(), rtol=0, atol=1e-4)
    with pytest.raises(ValueError, match="not trained on partial noise"):
        KnownPixels(GaussianPrior(), hole, y)
