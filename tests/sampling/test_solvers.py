"""Solvers beside the posterior of a Gaussian prior, which is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from restorekit.core.filters import Blur, Downsample, gaussian_kernel
from restorekit.core.ladders import karras_ladder
from restorekit.core.noise import ImageNoise
from restorekit.core.operators import Composition, LinearOperator, Masking, grayscale
from restorekit.sampling.solvers import solve_diffpir, solve_pigdm
from restorekit.testing import GaussianPrior

MEAN, STD, COUNT, SIDE = 0.1, 0.3, 600, 4
KNOWN = torch.rand(1, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(3)) > 0.5
OPERATORS = {
    "masking": Masking(KNOWN),
    "box": Downsample(2, "box"),
    "blur": Blur(gaussian_kernel(0.6)),
    "grey": grayscale(),
    "grey and small": Composition(Downsample(2, "box"), grayscale()),
}


def posterior(operator: LinearOperator, y: Tensor, sigma_y: float) -> tuple[Tensor, Tensor]:
    """Mean and variance of every value of an image (3, SIDE, SIDE), given y (1, ...)."""
    eye = torch.eye(3 * SIDE**2).reshape(-1, 3, SIDE, SIDE)
    matrix = operator.forward(eye).flatten(1).T.double()
    gain = (
        STD**2
        * matrix.T
        @ torch.linalg.inv(STD**2 * matrix @ matrix.T + sigma_y**2 * torch.eye(len(matrix), dtype=torch.float64))
    )
    mean = MEAN + gain @ (y.flatten().double() - matrix @ torch.full((3 * SIDE**2,), MEAN, dtype=torch.float64))
    variance = STD**2 * (1 - (gain @ matrix).diagonal())
    return mean.float(), variance.float()


def problem(name: str, sigma_y: float) -> tuple[LinearOperator, Tensor]:
    draw = ImageNoise([5])
    clean = MEAN + STD * draw.like(torch.empty(1, 3, SIDE, SIDE))
    y = OPERATORS[name].forward(clean)
    return OPERATORS[name], y + sigma_y * ImageNoise([6]).like(y)


def solved(solver, name: str, sigma_y: float, **options: float) -> tuple[Tensor, Tensor, LinearOperator]:
    operator, y = problem(name, sigma_y)
    noise = ImageNoise(range(COUNT))
    ladder = karras_ladder(20, 0.002, 60)
    start = float(ladder[0]) * noise.like(torch.empty(COUNT, 3, SIDE, SIDE))
    many = y.expand(COUNT, -1, -1, -1)
    return solver(GaussianPrior(MEAN, STD), operator, many, sigma_y, start, ladder, noise, **options), y, operator


@pytest.mark.parametrize("name", OPERATORS)
def test_pigdm_samples_the_posterior_of_a_gaussian_prior(name: str) -> None:
    got, y, operator = solved(solve_pigdm, name, 0.1, prior_variance=STD**2)
    mean, variance = posterior(operator, y, 0.1)
    torch.testing.assert_close(got.flatten(1).mean(0), mean, rtol=0, atol=0.05)
    torch.testing.assert_close(got.flatten(1).var(0), variance, rtol=0.3, atol=0.003)


@pytest.mark.parametrize("name", ["masking", "box", "grey"])
def test_pigdm_without_noise_fits_the_measurement(name: str) -> None:
    got, y, operator = solved(solve_pigdm, name, 0.0, prior_variance=STD**2)
    assert (operator.forward(got) - y).abs().max() < 0.02


@pytest.mark.parametrize("name", OPERATORS)
def test_diffpir_is_biased_but_nearer_to_the_posterior_mean_than_the_prior(name: str) -> None:
    got, y, operator = solved(solve_diffpir, name, 0.1)
    mean, _ = posterior(operator, y, 0.1)
    blind = (mean - MEAN).square().mean()
    assert (got.flatten(1).mean(0) - mean).square().mean() < 0.35 * blind
    assert torch.isfinite(got).all()


@pytest.mark.parametrize("solver", [solve_pigdm, solve_diffpir], ids=lambda f: f.__name__)
def test_one_step_and_the_batch(solver) -> None:
    operator, y = problem("box", 0.1)
    ladder = torch.tensor([2.0, 0.0], dtype=torch.float64)
    prior = GaussianPrior(MEAN, STD)

    def run(seeds: list[int]) -> Tensor:
        noise = ImageNoise(seeds)
        start = 2 * noise.like(torch.empty(len(seeds), 3, SIDE, SIDE))
        return solver(prior, operator, y.expand(len(seeds), -1, -1, -1), 0.1, start, ladder, noise)

    torch.testing.assert_close(run([1, 2])[1:], run([2]))
