from __future__ import annotations

import pytest
import torch
from torch import Tensor

from restorekit.core.denoiser import Denoiser
from restorekit.priors.tiled import Tiled, only_where
from restorekit.priors.turned import TURNS, Turned, turned
from restorekit.testing import GaussianPrior
from tests.priors.gaussian import CorrelatedPrior


class Leaning(GaussianPrior):
    """A prior with a preference: brighter to the right."""

    def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        return super().__call__(x, sigma) + torch.linspace(-1, 1, x.shape[-1])


@pytest.mark.parametrize("way", range(TURNS))
def test_a_prior_without_a_preference_stays_what_it_is(way: int) -> None:
    prior, x = CorrelatedPrior(), torch.randn(2, 1, 8, 8)
    assert isinstance(Turned(prior, way), Denoiser)
    level = torch.rand(2, 1, 8, 8) > 0.5
    for sigma in (torch.tensor([0.2, 0.5]), 0.3 * level):
        torch.testing.assert_close(Turned(prior, way)(x, sigma), prior(x, sigma), rtol=0, atol=1e-5)


def test_preferences_cancel_over_all_ways() -> None:
    x, sigma = torch.randn(1, 3, 6, 9), torch.tensor([0.3])
    ways = torch.stack([Turned(Leaning(0.1, 0.3), way)(x, sigma) for way in range(TURNS)])
    assert len({tuple(w.flatten().tolist()) for w in ways}) == 4, "left, right, up, down, each twice"
    torch.testing.assert_close(ways.mean(0), GaussianPrior(0.1, 0.3)(x, sigma), rtol=0, atol=1e-5)


def test_the_windows_of_a_tiled_prior_are_turned() -> None:
    x, sigma = torch.randn(1, 3, 40, 56), torch.tensor([0.3])
    hole = torch.zeros(1, 1, 40, 56, dtype=torch.bool)
    hole[..., 3:9, 4:20] = True
    tiled = only_where(Tiled(GaussianPrior(0.1, 0.3), window=16), hole)
    got = turned(tiled, 5)
    assert isinstance(got, Tiled)
    torch.testing.assert_close(got(x, sigma), tiled(x, sigma))


def test_ways_that_there_are_not() -> None:
    with pytest.raises(ValueError, match="allowed: 0 to 7"):
        Turned(GaussianPrior(), 8)
