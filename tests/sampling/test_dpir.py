from __future__ import annotations

import pytest
import torch

from restorekit.core.filters import Blur, Downsample, gaussian_kernel
from restorekit.core.noise import ImageNoise
from restorekit.core.operators import Identity, Masking
from restorekit.sampling.dpir import solve_dpir
from tests.priors.gaussian import GaussianPrior


@pytest.mark.parametrize(
    "operator",
    [Identity(), Downsample(2), Blur(gaussian_kernel(0.8), "valid"), Masking(torch.rand(1, 1, 12, 12) > 0.5)],
)
def test_of_a_measurement_without_noise_the_answer_agrees_with_it(operator) -> None:
    x = 0.3 * torch.randn(2, 3, 12, 12)
    y = operator.forward(x)
    got = solve_dpir(GaussianPrior(0.0, 0.3), operator, y, 0.0, ImageNoise([0, 1]), steps=4)
    assert got.shape == x.shape
    torch.testing.assert_close(operator.forward(got), y, rtol=1e-3, atol=1e-3)


def test_at_one_level_it_settles_at_the_minimum_of_the_half_quadratic_objective() -> None:
    std, sigma_y, sigma = 0.5, 0.2, 0.3
    truth = std * torch.randn(1, 1, 8, 8)
    y = truth + sigma_y * torch.randn(truth.shape)
    ladder = torch.tensor([sigma] * 60 + [0.0], dtype=torch.float64)
    last = []
    solve_dpir(
        GaussianPrior(0.0, std, 1), Identity(), y, sigma_y, ImageNoise([0]), steps=60, ladder=ladder, weight=1.0,
        on_step=lambda index, x, denoised: last.append((x, denoised)),
    )  # fmt: skip
    after, denoised = last[-1]
    a, b, c = 1 / sigma_y**2, 1 / std**2, 1 / sigma**2
    # (a |y - x|^2 + c |x - z|^2 + b |z|^2) / 2, x the proximal point, z the denoised one.
    both = torch.linalg.solve(torch.tensor([[a + c, -c], [-c, b + c]]), torch.tensor([a, 0.0]))
    torch.testing.assert_close(after, both[0] * y, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(denoised, both[1] * y, rtol=1e-4, atol=1e-4)


def test_levels_of_the_prior_are_kept_to_and_one_step_is_enough() -> None:
    prior = GaussianPrior()
    prior.levels = torch.tensor([1.0, 0.5, 0.1])
    seen = []

    class Watching(GaussianPrior):
        levels = prior.levels

        def __call__(self, x, sigma, label=None):
            seen.append(float(sigma[0]))
            return super().__call__(x, sigma, label)

    y = torch.zeros(1, 3, 8, 8)
    solve_dpir(Watching(), Identity(), y, 0.1, ImageNoise([0]), steps=5)
    assert set(seen) <= {0.5, 0.10000000149011612}
    seen.clear()
    got = solve_dpir(Watching(), Downsample(2), y, 0.0, ImageNoise([0]), steps=1, start=torch.ones(1, 3, 16, 16))
    assert len(seen) == 1
    torch.testing.assert_close(Downsample(2).forward(got), y, rtol=0, atol=1e-4)
