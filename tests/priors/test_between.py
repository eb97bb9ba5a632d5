from __future__ import annotations

import pytest
import torch

from restorekit.core.denoiser import Denoiser
from restorekit.core.ladders import geometric_ladder
from restorekit.priors.between import Between
from restorekit.testing import GaussianPrior


class Levelled(GaussianPrior):
    levels = geometric_ladder(2, 0.02, 10)[:-1]
    sigma_min, sigma_max = 0.02, 2.0


def test_a_level_is_one_evaluation() -> None:
    prior = Levelled(0.2, 0.3)
    between, x = Between(prior), torch.randn(10, 3, 4, 4)
    assert isinstance(between, Denoiser)
    sigma = prior.levels.float()
    torch.testing.assert_close(between(x, sigma), GaussianPrior(0.2, 0.3)(x, sigma))
    assert len(prior.seen) == 1


def test_between_levels_it_lies_between_their_answers() -> None:
    prior = Levelled(0.2, 0.3)
    x = torch.randn(3, 3, 4, 4)
    low, high = prior.levels[4], prior.levels[3]
    sigma = torch.stack([low, (low * high).sqrt(), high]).float()
    got = Between(prior)(x, sigma)
    at_low, at_high = (GaussianPrior(0.2, 0.3)(x, torch.full((3,), level)) for level in (low, high))
    want = torch.stack([at_low[0], (at_low[1] + 3 * at_high[1]) / 4, at_high[2]])
    torch.testing.assert_close(got, want)


def test_levels_outside_are_the_nearest() -> None:
    prior, x = Levelled(0.2, 0.3), torch.randn(2, 3, 4, 4)
    got = Between(prior)(x, torch.tensor([5.0, 0.001]))
    torch.testing.assert_close(got, GaussianPrior(0.2, 0.3)(x, torch.tensor([2.0, 0.02])))


def test_a_prior_of_any_sigma_needs_none_of_it() -> None:
    with pytest.raises(ValueError, match="knows every sigma"):
        Between(GaussianPrior())
