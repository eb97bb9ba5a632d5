from __future__ import annotations

import pytest
import torch

from restorekit.core.denoiser import Denoiser
from restorekit.core.ladders import geometric_ladder
from restorekit.priors.sigma_interpolated import SigmaInterpolated
from restorekit.testing import GaussianPrior

LEVELS = geometric_ladder(2, 0.02, 10)[:-1]


def prior_with_levels() -> GaussianPrior:
    return GaussianPrior(0.2, 0.3, levels=tuple(LEVELS.tolist()), sigma_min=0.02, sigma_max=2.0)


def test_trained_levels_require_one_evaluation() -> None:
    prior = prior_with_levels()
    interpolated, x = SigmaInterpolated(prior), torch.randn(10, 3, 4, 4)
    assert isinstance(interpolated, Denoiser)
    assert interpolated.info.levels is None
    sigma = LEVELS.float()
    torch.testing.assert_close(interpolated(x, sigma), GaussianPrior(0.2, 0.3)(x, sigma))
    assert len(prior.seen) == 1


def test_result_between_levels_is_interpolated() -> None:
    prior = prior_with_levels()
    x = torch.randn(3, 3, 4, 4)
    low, high = LEVELS[4], LEVELS[3]
    sigma = torch.stack([low, (low * high).sqrt(), high]).float()
    got = SigmaInterpolated(prior)(x, sigma)
    at_low, at_high = (GaussianPrior(0.2, 0.3)(x, torch.full((3,), level)) for level in (low, high))
    want = torch.stack([at_low[0], (at_low[1] + 3 * at_high[1]) / 4, at_high[2]])
    torch.testing.assert_close(got, want)


def test_sigma_outside_the_range_is_clamped() -> None:
    prior, x = prior_with_levels(), torch.randn(2, 3, 4, 4)
    got = SigmaInterpolated(prior)(x, torch.tensor([5.0, 0.001]))
    torch.testing.assert_close(got, GaussianPrior(0.2, 0.3)(x, torch.tensor([2.0, 0.02])))


def test_prior_without_levels_is_refused() -> None:
    with pytest.raises(ValueError, match="the prior accepts any sigma"):
        SigmaInterpolated(GaussianPrior())
