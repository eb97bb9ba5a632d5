import math

import pytest
import torch
from skimage import data

from restorekit.builtin.denoise import LEVEL, denoise
from restorekit.builtin.noise_level import estimate_sigma
from restorekit.core.ladders import geometric_ladder
from restorekit.core.noise import ImageNoise
from restorekit.errors import RestorekitWarning
from restorekit.testing import GaussianPrior

PRIOR = GaussianPrior(mean=0.1, std=0.4)


def run(y: torch.Tensor, prior: GaussianPrior | None = None, **options: object) -> torch.Tensor:
    return denoise(y, prior or PRIOR, ImageNoise(range(len(y))), **denoise.checked(options))


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
    with pytest.warns(RestorekitWarning, match="no noise found"):
        got = run(y)
    want = run(y, sigma=25)
    assert (got[0] - want[0]).abs().max() < 0.02
    assert torch.equal(got[1], y[1])


@pytest.mark.parametrize("what", ["bars", "white background"])
def test_auto_is_not_misled_by_what_holds_no_noise(what: str) -> None:
    y = torch.from_numpy(data.astronaut()[:300, :300].copy()).permute(2, 0, 1)[None] / 127.5 - 1
    noisy = (y + 25 * LEVEL * ImageNoise([0]).like(y)).clamp(-1, 1)
    if what == "bars":
        noisy[..., :60, :] = noisy[..., -60:, :] = -1
    else:
        noisy[..., :, 200:] = (1 + 25 * LEVEL * ImageNoise([1]).like(noisy[..., :, 200:])).clamp(max=1)
    assert estimate_sigma(noisy).item() / LEVEL == pytest.approx(25, abs=3)


def test_a_level_under_the_priors_least_is_taken_for_the_least() -> None:
    class Coarse(GaussianPrior):
        sigma_min = 0.01

    y = torch.rand(1, 3, 8, 8) * 2 - 1
    got = denoise(y, Coarse(0.1, 0.1), ImageNoise([0]), **denoise.checked({"sigma": 1}))
    torch.testing.assert_close(got, GaussianPrior(0.1, 0.1)(y, torch.tensor([0.01])))


@pytest.mark.parametrize("mode", ["mean", "sample"])
def test_a_prior_of_few_levels_denoises_any_noise(mode: str) -> None:
    class Levelled(GaussianPrior):
        levels = geometric_ladder(2, 0.02, 10)[:-1]
        sigma_min, sigma_max = 0.02, 2.0

    y = (
        0.1
        + 0.05 * ImageNoise([1]).like(torch.empty(1, 3, 64, 64))
        + 25 * LEVEL * ImageNoise([0]).like(torch.empty(1, 3, 64, 64))
    )
    want = run(y, sigma=25, mode="mean", prior=GaussianPrior(0.1, 0.05))
    got = run(y, sigma=25, mode=mode, prior=Levelled(0.1, 0.05))
    if mode == "mean":
        torch.testing.assert_close(got, want, rtol=0, atol=0.02)
    else:
        assert got.std().item() == pytest.approx(0.05, rel=0.25)


def test_no_noise_is_nothing_to_do() -> None:
    _, y = degraded(0)
    assert torch.equal(run(y, sigma=0), y)
