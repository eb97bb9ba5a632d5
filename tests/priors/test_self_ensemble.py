from __future__ import annotations

import pytest
import torch
from torch import Tensor

from restorekit.core.denoiser import Denoiser
from restorekit.priors.self_ensemble import N_VIEWS, SelfEnsembleView, self_ensemble_view
from restorekit.priors.tiled import Tiled, only_where
from restorekit.testing import GaussianPrior
from tests.priors.gaussian import CorrelatedPrior


class BrighterToTheRight(GaussianPrior):
    """A prior that is not equivariant."""

    def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        return super().__call__(x, sigma) + torch.linspace(-1, 1, x.shape[-1])


@pytest.mark.parametrize("index", range(N_VIEWS))
def test_views_of_an_equivariant_prior_return_its_result(index: int) -> None:
    prior, x = CorrelatedPrior(), torch.randn(2, 1, 8, 8)
    assert isinstance(SelfEnsembleView(prior, index), Denoiser)
    level = torch.rand(2, 1, 8, 8) > 0.5
    for sigma in (torch.tensor([0.2, 0.5]), 0.3 * level):
        torch.testing.assert_close(SelfEnsembleView(prior, index)(x, sigma), prior(x, sigma), rtol=0, atol=1e-5)


def test_errors_average_out_over_all_views() -> None:
    x, sigma = torch.randn(1, 3, 6, 9), torch.tensor([0.3])
    views = torch.stack([SelfEnsembleView(BrighterToTheRight(0.1, 0.3), index)(x, sigma) for index in range(N_VIEWS)])
    assert len({tuple(view.flatten().tolist()) for view in views}) == 4, "left, right, up and down, each twice"
    torch.testing.assert_close(views.mean(0), GaussianPrior(0.1, 0.3)(x, sigma), rtol=0, atol=1e-5)


def test_view_of_tiled_prior_applies_to_its_windows() -> None:
    x, sigma = torch.randn(1, 3, 40, 56), torch.tensor([0.3])
    hole = torch.zeros(1, 1, 40, 56, dtype=torch.bool)
    hole[..., 3:9, 4:20] = True
    tiled = only_where(Tiled(GaussianPrior(0.1, 0.3), window=16), hole)
    got = self_ensemble_view(tiled, 5)
    assert isinstance(got, Tiled)
    assert isinstance(got.inner, SelfEnsembleView)
    assert got.where is tiled.where
    torch.testing.assert_close(got(x, sigma), tiled(x, sigma))


def test_unknown_views_are_refused() -> None:
    with pytest.raises(ValueError, match="allowed: 0 to 7"):
        SelfEnsembleView(GaussianPrior(), 8)
