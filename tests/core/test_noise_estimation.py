import io

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.stats import gamma
from skimage import data

from restorekit.core.denoiser import GREY_LEVEL
from restorekit.core.noise import ImageNoise
from restorekit.core.noise_estimation import (
    MAX_STRENGTH,
    _gradient_matrices,
    estimate_noise,
    estimate_sigma,
    sigma_per_image,
)

PHOTOS = {"astronaut": data.astronaut(), "chelsea": data.chelsea(), "camera": data.camera()[..., None]}


@pytest.mark.parametrize("sigma", [2, 5, 15, 25, 50])
@pytest.mark.parametrize("name", PHOTOS)
def test_noise_of_photos_is_estimated_within_a_grey_level_or_5_percent(name: str, sigma: float) -> None:
    clean = torch.from_numpy(PHOTOS[name][:300, :400].copy()).permute(2, 0, 1)[None] / 127.5 - 1
    noisy = clean + sigma * GREY_LEVEL * ImageNoise([1]).like(clean)
    assert estimate_sigma(noisy).item() / GREY_LEVEL == pytest.approx(sigma, abs=0.7, rel=0.045)


def test_images_of_a_batch_are_estimated_independently() -> None:
    x = torch.zeros(2, 3, 64, 64)
    x[1] += 0.3 * ImageNoise([0]).like(x[:1])[0]
    got = estimate_sigma(x)
    assert got[0] == 0
    assert got[1].item() == pytest.approx(0.3, rel=0.1)
    assert estimate_sigma(torch.rand(1, 3, 1, 1)).tolist() == [0]
    assert estimate_sigma(torch.rand(1, 3, 14, 14)).isfinite().all()


def test_sigma_per_image_is_fixed_or_estimated() -> None:
    x = 0.3 * ImageNoise([0, 1]).like(torch.empty(2, 3, 64, 64))
    assert sigma_per_image(x, 15).tolist() == pytest.approx([15 * 2 / 255] * 2)
    assert torch.equal(sigma_per_image(x, "auto"), estimate_sigma(x))


@pytest.mark.parametrize("sigma", [3, 15, 50])
@pytest.mark.parametrize("name", PHOTOS)
def test_white_noise_on_photos_is_recognized(name: str, sigma: float) -> None:
    clean = torch.from_numpy(PHOTOS[name][:300, :400].copy()).permute(2, 0, 1)[None] / 127.5 - 1
    assert estimate_noise(clean + sigma * GREY_LEVEL * ImageNoise([1]).like(clean)).is_white.all()


@pytest.mark.parametrize("name", PHOTOS)
def test_photos_without_noise_and_with_other_noise_have_no_white_noise(name: str) -> None:
    clean = torch.from_numpy(PHOTOS[name][:300, :400].copy()).permute(2, 0, 1)[None] / 127.5 - 1
    noise = ImageNoise([1]).like(clean)
    correlated = F.avg_pool2d(F.pad(noise, (1, 1, 1, 1), mode="reflect"), 3, stride=1)
    file = io.BytesIO()
    pixels = (clean + 0.05 * noise).add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)[0].permute(1, 2, 0)
    Image.fromarray(pixels.squeeze(-1).numpy()).save(file, "JPEG", quality=70)
    saved = torch.from_numpy(np.array(Image.open(file))).reshape(pixels.shape).permute(2, 0, 1)[None] / 127.5 - 1
    assert not torch.cat([estimate_noise(y).is_white for y in (clean, clean + 0.1 * correlated, saved)]).any()


def test_whiteness_is_1_for_white_noise_and_0_without_noise() -> None:
    noise = ImageNoise([0, 1]).like(torch.empty(2, 3, 64, 64))
    estimate = estimate_noise(noise * torch.tensor([0, 0.1]).reshape(2, 1, 1, 1))
    assert estimate.whiteness[0] == 0
    assert 0.7 < estimate.whiteness[1] <= 1
    assert estimate_noise(torch.rand(2, 3, 4, 4)).whiteness.tolist() == [0, 0]


def test_patches_of_noise_exceed_the_maximum_strength_with_a_probability_of_one_in_a_million() -> None:
    form = sum(matrix.T @ matrix for matrix in _gradient_matrices())
    rank, trace = int(torch.linalg.matrix_rank(form)), float(form.trace())
    assert gamma.ppf(1 - 1e-6, rank / 2, scale=2 * trace / rank) == pytest.approx(MAX_STRENGTH, rel=1e-9)
