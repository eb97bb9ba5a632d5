import math

import pytest
import torch
from skimage import data

from restorekit.builtin.denoise import denoise
from restorekit.core.denoiser import GREY_LEVEL
from restorekit.core.ladders import geometric_ladder
from restorekit.core.noise import ImageNoise
from restorekit.core.noise_estimation import estimate_sigma
from restorekit.errors import RestorekitWarning
from restorekit.testing import GaussianPrior

PRIOR = GaussianPrior(mean=0.1, std=0.4)


def run(y: torch.Tensor, prior: GaussianPrior | None = None, **options: object) -> torch.Tensor:
    return denoise(y, prior or PRIOR, ImageNoise(range(len(y))), **denoise.validate(options).options)


def degraded(sigma: float, size: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    noise = ImageNoise([10, 11])
    clean = 0.1 + 0.4 * noise.like(torch.empty(2, 3, size, size))
    return clean, clean + sigma * GREY_LEVEL * noise.like(clean)


def test_mean_is_the_posterior_mean() -> None:
    _, y = degraded(50)
    variance = (50 * GREY_LEVEL) ** 2
    expected = (0.16 * y + variance * 0.1) / (0.16 + variance)
    torch.testing.assert_close(run(y, sigma=50), expected)
    torch.testing.assert_close(run(y, sigma=50, strength=0.25), y + 0.25 * (expected - y))
    assert torch.equal(run(y, sigma=50, strength=0), y)


def test_samples_have_mean_and_variance_of_the_posterior() -> None:
    _, y = degraded(50)
    variance = (50 * GREY_LEVEL) ** 2
    mean, std = (0.16 * y + variance * 0.1) / (0.16 + variance), math.sqrt(0.16 * variance / (0.16 + variance))
    result = run(y, sigma=50, mode="sample", steps=200)
    inside = (y.abs() < 0.4).all(1, keepdim=True).expand_as(y)  # D is clipped to [-1, 1], which a Gaussian is not
    assert (result - mean)[inside].mean().abs() < 0.02
    assert (result - mean)[inside].std().item() == pytest.approx(std, rel=0.05)
    one_by_one = torch.cat(
        [denoise(y[i : i + 1], PRIOR, ImageNoise([i]), sigma=50.0, mode="sample", steps=9) for i in (0, 1)]
    )
    torch.testing.assert_close(run(y, sigma=50, mode="sample", steps=9), one_by_one)


def test_auto_estimates_sigma_per_image() -> None:
    y = torch.zeros(2, 3, 64, 64)
    y[0] += 25 * GREY_LEVEL * ImageNoise([0]).like(y[:1])[0]
    with pytest.warns(RestorekitWarning, match="no noise found .* image unchanged"):
        result = run(y)
    expected = run(y, sigma=25)
    assert (result[0] - expected[0]).abs().max() < 0.02
    assert torch.equal(result[1], y[1])


@pytest.mark.parametrize("content", ["bars", "white background"])
def test_noise_estimate_ignores_clipped_regions(content: str) -> None:
    y = torch.from_numpy(data.astronaut()[:300, :300].copy()).permute(2, 0, 1)[None] / 127.5 - 1
    noisy = (y + 25 * GREY_LEVEL * ImageNoise([0]).like(y)).clamp(-1, 1)
    if content == "bars":
        noisy[..., :60, :] = noisy[..., -60:, :] = -1
    else:
        noisy[..., :, 200:] = (1 + 25 * GREY_LEVEL * ImageNoise([1]).like(noisy[..., :, 200:])).clamp(max=1)
    assert estimate_sigma(noisy).item() / GREY_LEVEL == pytest.approx(25, abs=3)


def test_sigma_below_the_priors_range_is_clamped() -> None:
    y = torch.rand(1, 3, 8, 8) * 2 - 1
    result = run(y, GaussianPrior(0.1, 0.1, sigma_min=0.01), sigma=1)
    torch.testing.assert_close(result, GaussianPrior(0.1, 0.1)(y, torch.tensor([0.01])))


@pytest.mark.parametrize("mode", ["mean", "sample"])
def test_prior_with_levels_denoises_any_sigma(mode: str) -> None:
    levels = tuple(geometric_ladder(2, 0.02, 10)[:-1].tolist())
    y = (
        0.1
        + 0.05 * ImageNoise([1]).like(torch.empty(1, 3, 64, 64))
        + 25 * GREY_LEVEL * ImageNoise([0]).like(torch.empty(1, 3, 64, 64))
    )
    expected = run(y, sigma=25, mode="mean", prior=GaussianPrior(0.1, 0.05))
    prior = GaussianPrior(0.1, 0.05, levels=levels, sigma_min=0.02, sigma_max=2.0)
    result = run(y, sigma=25, mode=mode, prior=prior)
    if mode == "mean":
        torch.testing.assert_close(result, expected, rtol=0, atol=0.02)
    else:
        assert result.std().item() == pytest.approx(0.05, rel=0.25)


def test_sigma_0_returns_the_image() -> None:
    _, y = degraded(0)
    assert torch.equal(run(y, sigma=0), y)
