import math
import re

import pytest
import torch
import torch.nn.functional as F
from skimage import data

from restorekit.builtin.denoise import denoise
from restorekit.core.denoiser import GREY_LEVEL, Denoiser, Wrapper
from restorekit.core.ladders import geometric_ladder
from restorekit.core.noise import ImageNoise
from restorekit.core.noise_estimation import estimate_sigma
from restorekit.errors import OptionError, RestorekitWarning
from restorekit.testing import GaussianPrior

PRIOR = GaussianPrior(mean=0.1, std=0.4)


class Halving(Wrapper):
    """A blind prior with D(y) = y / 2."""

    def __init__(self) -> None:
        super().__init__(PRIOR, blind=True)

    def __call__(self, x: torch.Tensor, sigma: torch.Tensor, label: torch.Tensor | None = None) -> torch.Tensor:
        assert sigma.shape == (len(x),)
        return x / 2


def run(y: torch.Tensor, prior: Denoiser | None = None, **options: object) -> torch.Tensor:
    values = {**denoise.validate(options).options, "camera_model": Halving()}
    return denoise(y, prior or PRIOR, ImageNoise(range(len(y))), **values)


def blurred_noise(level: float, count: int = 1) -> torch.Tensor:
    """Return noise of `level` grey levels that is correlated like that of a camera."""
    noise = F.avg_pool2d(ImageNoise(range(count)).like(torch.empty(count, 3, 66, 66)), 3, stride=1)
    return noise / noise.std() * level * GREY_LEVEL


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


def sample_alone(y: torch.Tensor, seed: int) -> torch.Tensor:
    return denoise(y, PRIOR, ImageNoise([seed]), sigma=50.0, mode="sample", steps=9, camera_model=Halving())


def test_samples_have_mean_and_variance_of_the_posterior() -> None:
    _, y = degraded(50)
    variance = (50 * GREY_LEVEL) ** 2
    mean, std = (0.16 * y + variance * 0.1) / (0.16 + variance), math.sqrt(0.16 * variance / (0.16 + variance))
    result = run(y, sigma=50, mode="sample", steps=200)
    inside = (y.abs() < 0.4).all(1, keepdim=True).expand_as(y)  # D is clipped to [-1, 1], which a Gaussian is not
    assert (result - mean)[inside].mean().abs() < 0.02
    assert (result - mean)[inside].std().item() == pytest.approx(std, rel=0.05)
    one_by_one = torch.cat([sample_alone(y[i : i + 1], i) for i in (0, 1)])
    torch.testing.assert_close(run(y, sigma=50, mode="sample", steps=9), one_by_one)


def test_auto_estimates_sigma_per_image() -> None:
    y = torch.zeros(2, 3, 64, 64)
    y[0] += 25 * GREY_LEVEL * ImageNoise([0]).like(y[:1])[0]
    with pytest.warns(RestorekitWarning) as found:
        result = run(y, noise="gaussian")
    assert re.fullmatch(r"white noise of sigma 2[45]\.\d grey levels; Gaussian prior used", str(found[0].message))
    assert re.fullmatch(r"no noise found .* image unchanged", str(found[1].message))
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
    with pytest.warns(RestorekitWarning, match="smallest sigma"):
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


def test_auto_chooses_the_prior_for_each_photo() -> None:
    white = 0.05 * ImageNoise([7]).like(torch.empty(1, 3, 64, 64))
    camera = blurred_noise(8)
    y = torch.cat([camera, white, torch.zeros_like(camera)])
    with pytest.warns(RestorekitWarning) as found:
        result = run(y)
    with pytest.warns(RestorekitWarning, match="Gaussian prior used"):
        expected = run(white, noise="gaussian")
    torch.testing.assert_close(result, torch.cat([camera / 2, expected, torch.zeros_like(camera)]))
    notes = {w.message.image: str(w.message) for w in found if isinstance(w.message, RestorekitWarning)}
    assert notes[0] == "camera noise or JPEG artefacts, about 4.0 grey levels; blind camera prior used"
    assert re.fullmatch(r"white noise of sigma 6\.\d grey levels; Gaussian prior used", notes[1])
    assert notes[2] == "hardly any noise, about 0.0 grey levels; blind camera prior used"


@pytest.mark.filterwarnings("ignore::restorekit.errors.RestorekitWarning")
@pytest.mark.parametrize("options", [{"sigma": 8}, {"mode": "sample"}, {"noise": "gaussian"}])
def test_auto_means_gaussian_noise_with_sigma_or_samples(options: dict[str, object]) -> None:
    y = blurred_noise(8)
    expected = run(y, **{"noise": "gaussian", **options})
    assert torch.equal(run(y, **options), expected)
    assert not torch.equal(expected, y / 2)


@pytest.mark.filterwarnings("ignore::restorekit.errors.RestorekitWarning")
def test_camera_noise_uses_the_blind_prior_for_every_photo() -> None:
    white = 0.05 * ImageNoise([7]).like(torch.empty(1, 3, 64, 64))
    assert torch.equal(run(white, noise="camera"), white / 2)
    torch.testing.assert_close(run(white, noise="camera", strength=0.5), white * 0.75)
    assert torch.equal(run(white, noise="camera", strength=0), white)


@pytest.mark.parametrize(("options", "found"), [({"sigma": 8}, "--sigma 8"), ({"mode": "sample"}, "--mode sample")])
def test_camera_noise_refuses_options_of_white_noise(options: dict[str, object], found: str) -> None:
    with pytest.raises(OptionError, match=rf"{found}(\.0)? with --noise camera; allowed: --.* or --noise gaussian"):
        denoise.validate({"noise": "camera", **options})


@pytest.mark.filterwarnings("ignore::restorekit.errors.RestorekitWarning")
def test_blind_prior_is_used_as_the_camera_prior() -> None:
    y = 0.05 * ImageNoise([7]).like(torch.empty(1, 3, 64, 64))
    assert torch.equal(run(y, Halving()), y / 2)
    for options in ({"sigma": 8}, {"noise": "gaussian"}, {"mode": "sample"}):
        with pytest.raises(OptionError, match="the prior is blind; allowed: --noise camera"):
            run(y, Halving(), **options)


@pytest.mark.parametrize(
    ("sigma", "message"),
    [
        (25 / 255, r"sigma 0.098 grey levels: the smallest sigma of the prior, 0.64, is used \(white is 255\)"),
        (250, "largest"),
    ],
)
def test_a_sigma_outside_the_range_of_the_prior_is_reported(sigma: float, message: str) -> None:
    prior = GaussianPrior(sigma_min=0.005, sigma_max=1.0)
    with pytest.warns(RestorekitWarning, match=message):
        run(degraded(10)[1], prior, sigma=sigma)
    run(degraded(10)[1], prior, sigma=0)  # the image unchanged
    run(degraded(10)[1], prior, sigma=0.005 / GREY_LEVEL)
