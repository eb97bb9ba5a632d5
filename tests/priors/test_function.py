import pytest
import torch
from torch import Tensor, nn

import restorekit as rk
from restorekit.errors import ModelError
from restorekit.testing import GaussianPrior

INFO = rk.PriorInfo(channels=3, size=None, sigma_min=0.01, sigma_max=1.0)
GAUSSIAN = GaussianPrior(std=0.4)


def shrink(x: Tensor, sigma: Tensor) -> Tensor:
    assert sigma.shape == (len(x),)
    return GAUSSIAN(x, sigma)


def test_a_function_is_a_prior() -> None:
    prior, y = rk.prior_from(shrink, INFO), torch.randn(2, 3, 20, 24)
    assert isinstance(prior, rk.Denoiser)
    assert prior.info == INFO
    torch.testing.assert_close(prior(y, 0.3), GAUSSIAN(y, torch.full((2,), 0.3)))
    torch.testing.assert_close(
        rk.denoise(y, prior, sigma=30, precision="float32"), rk.denoise(y, GAUSSIAN, sigma=30, precision="float32")
    )


def test_a_function_with_classes_receives_the_label() -> None:
    info = rk.PriorInfo(3, None, 0.01, 1.0, classes=("a", "b"))
    prior = rk.prior_from(lambda x, sigma, label: x * label.reshape(-1, 1, 1, 1), info)
    assert prior(torch.ones(2, 3, 4, 4), 0.5, torch.tensor([0, 1])).amax((1, 2, 3)).tolist() == [0, 1]


def test_a_module_is_part_of_the_prior() -> None:
    class Network(nn.Conv2d):
        def forward(self, x: Tensor, sigma: Tensor) -> Tensor:  # type: ignore[override]
            return super().forward(x)

    assert len(list(rk.prior_from(Network(3, 3, 1), INFO).parameters())) == 2


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_results_are_converted_to_the_type_of_x(dtype: torch.dtype) -> None:
    prior = rk.prior_from(lambda x, sigma: x.to(dtype), INFO)
    assert prior(torch.zeros(1, 3, 4, 4), 0.1).dtype == torch.float32


@pytest.mark.parametrize("function", [nn.Conv2d(3, 3, 3, padding=1), lambda x: x, nn.Identity()])
def test_functions_without_sigma_are_refused(function) -> None:
    message = r"the function must accept \(x, sigma\); for a network without sigma: lambda x, sigma: net\(x\)$"
    with pytest.raises(ModelError, match=f"^prior_from: {message}"):
        rk.prior_from(function, INFO)
    rk.prior_from(lambda x, sigma: function(x), INFO)
    with pytest.raises(ModelError, match=r"must accept \(x, sigma, label\)"):
        rk.prior_from(shrink, rk.PriorInfo(3, None, 0.01, 1.0, classes=("a", "b")))


def test_a_class_is_refused() -> None:
    with pytest.raises(ModelError, match=r"found the class GaussianPrior, allowed: an instance of it, GaussianPrior\("):
        rk.prior_from(GaussianPrior, INFO)


def test_wrong_functions_are_refused() -> None:
    with pytest.raises(ModelError, match=r"returned \(2, 1, 4, 4\) torch.float32, allowed: a tensor \(2, 3, 4, 4\)"):
        rk.prior_from(lambda x, sigma: x[:, :1], INFO)(torch.zeros(2, 3, 4, 4), 0.1)
    with pytest.raises(ModelError, match=r"returned \(2, 3, 4, 4\) torch.bool, allowed: a tensor .* of floats"):
        rk.prior_from(lambda x, sigma: x > 0, INFO)(torch.zeros(2, 3, 4, 4), 0.1)
    with pytest.raises(ModelError, match="returned NoneType"):
        rk.prior_from(lambda x, sigma: None, INFO)(torch.zeros(2, 3, 4, 4), 0.1)  # type: ignore[arg-type,return-value]
    with pytest.raises(ModelError, match="found function, int, allowed: a function"):
        rk.prior_from(shrink, 3)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match=r"the prior is a function .* rk.prior_from makes a prior of a function"):
        rk.denoise(torch.zeros(1, 3, 4, 4), shrink, sigma=10)  # type: ignore[call-overload]
