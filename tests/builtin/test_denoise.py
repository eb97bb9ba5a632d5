import math

import pytest
import torch

from restorekit.builtin.denoise import LEVEL, denoise
from restorekit.core.noise import ImageNoise
from tests.priors.gaussian import GaussianPrior

PRIOR = GaussianPrior(mean=0.1, std=0.4)


def run(y: torch.Tensor, **options: object) -> torch.Tensor:
    return denoise(y, PRIOR, ImageNoise(range(len(y))), **denoise.checked(options))


def degraded(sigma: float, size: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    draw = ImageNoise([10, 11])
    clean = 0.1 + 0.4 * draw.like(torch.empty(2, 3, size, size))
    return clean, clean + sigma * LEVEL * draw.like(clean)


def test_the_mean_is_the_posterior_mean() -> None:
    _, y = degraded(50)
    noise = (50 * LEVEL) ** 2
    want = (0.16 * y + noise * 0.1) / (0.16 + noise)
    torch.testing.assert_close(run(y, sigma=50), want)
    torch.testing.assert_close(run(y, sigma=50, strength=0.25), y + 0.25 * (want - y))
    assert torch.equal(run(y, sigma=50, strength=0), y)


def test_samples_have_mean_and_variance_of_the_posterior() -> None:
    _, y = degraded(50)
    noise = (50 * LEVEL) ** 2
    want, deviation = (0.16 * y + noise * 0.1) / (0.16 + noise), math.sqrt(0.16 * noise / (0.16 + noise))
    got = run(y, sigma=50, mode="sample", steps=200)
    inside = (y.abs() < 0.4).all(1, keepdim=True).expand_as(y)  # D is kept in [-1, 1], which a Gaussian is not
    assert (got - want)[inside].mean().abs() < 0.02
    assert (got - want)[inside].std().item() == pytest.approx(deviation, rel=0.05)
    one_by_one = torch.cat(
        [denoise(y[i : i + 1], PRIOR, ImageNoise([i]), sigma=50.0, mode="sample", steps=9) for i in (0, 1)]
    )
    torch.testing.assert_close(run(y, sigma=50, mode="sample", steps=9), one_by_one)


def test_auto_finds_the_level_of_each_image() -> None:
    y = torch.zeros(2, 3, 64, 64)
    y[0] += 25 * LEVEL * ImageNoise([0]).like(y[:1])[0]
    got = run(y)
    want = run(y, sigma=25)
    assert (got[0] - want[0]).abs().max() < 0.02
    assert torch.equal(got[1], y[1])


def test_no_noise_is_nothing_to_do() -> None:
    _, y = degraded(0)
    assert torch.equal(run(y, sigma=0), y)
