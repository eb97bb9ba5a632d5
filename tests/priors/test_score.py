import pytest
import torch
from torch import Tensor, nn

from restorekit.core.denoiser import Denoiser
from restorekit.core.ladders import geometric_ladder, ladder_for
from restorekit.errors import ModelError
from restorekit.priors.score import Data, ScorePrior
from restorekit.testing import GaussianPrior
from tests import golden

SIGMAS = geometric_ladder(1.0, 0.01, 10)[:-1]


class GaussianScore(nn.Module):
    """Score of pixels N(mean, std^2) plus noise, for data in [0, 1] as in NCSN."""

    def __init__(self, mean: float, std: float, divide: bool = False) -> None:
        super().__init__()
        self.mean, self.std, self.divide = mean, std, divide

    def forward(self, u: Tensor, label: Tensor) -> Tensor:
        sigma = SIGMAS[label].float().reshape(-1, 1, 1, 1)
        score = (self.mean - u) / (self.std**2 + sigma**2)
        return score * sigma if self.divide else score


@pytest.mark.parametrize("divide", [False, True])
def test_score_prior_of_a_gaussian_is_its_denoiser(divide: bool) -> None:
    prior = ScorePrior(GaussianScore(0.6, 0.15, divide), SIGMAS, divide=divide)
    assert isinstance(prior, Denoiser)
    x = torch.randn(10, 3, 6, 5)
    assert prior.info.levels is not None
    sigma = torch.tensor(prior.info.levels)
    torch.testing.assert_close(prior(x, sigma), GaussianPrior(0.2, 0.3)(x, sigma), rtol=0, atol=1e-5)


@pytest.mark.parametrize("divide", [False, True])
@pytest.mark.parametrize("data", ["signed", "logits"])
def test_data_in_their_own_unit_are_not_converted(data: Data, divide: bool) -> None:
    prior = ScorePrior(GaussianScore(0.6, 0.15, divide), SIGMAS, data=data, divide=divide)
    assert prior.info.levels == pytest.approx(SIGMAS.tolist())
    assert prior.info.logits == (data == "logits")
    x, sigma = 3 * torch.randn(10, 3, 6, 5), SIGMAS.float()
    torch.testing.assert_close(prior(x, sigma), GaussianPrior(0.6, 0.15)(x, sigma), rtol=0, atol=1e-5)


def test_levels_agree_with_the_authors() -> None:
    want = golden.load("ncsn_sigmas_and_preprocessing")
    for case in want.facts["parameters"]["cases"]:
        got = geometric_ladder(case["sigma_begin"], case["sigma_end"], case["num_classes"])[:-1]
        want.agrees(f"output.{case['id']}.float64", got)
        want.agrees(f"output.{case['id']}.float32", got.float())
    prior = ScorePrior(GaussianScore(0.5, 0.1), SIGMAS)
    assert (prior.info.sigma_max, prior.info.sigma_min) == pytest.approx((2.0, 0.02))
    torch.testing.assert_close(ladder_for(prior, 10)[:-1], 2 * SIGMAS)


def test_unknown_level_is_an_error_that_lists_the_levels() -> None:
    prior, x = ScorePrior(GaussianScore(0.5, 0.1), SIGMAS), torch.zeros(2, 3, 4, 4)
    with pytest.raises(ModelError, match=r"sigma 0\.7 is not a noise level .*: 2, 1\.199, 0\.7188, .*0\.02$"):
        prior(x, torch.tensor([2.0, 0.7]))
    assert torch.isfinite(prior(x, torch.tensor([2.0, 0.71881]))).all()


def test_odd_sizes_are_padded() -> None:
    seen = []

    class Net(nn.Module):
        def forward(self, u: Tensor, label: Tensor) -> Tensor:
            seen.append(tuple(u.shape[-2:]))
            return torch.zeros_like(u)

    x = torch.randn(1, 3, 7, 9)
    torch.testing.assert_close(ScorePrior(Net(), SIGMAS, multiple=2)(x, torch.tensor([2.0])), x)
    assert seen == [(8, 10)]
