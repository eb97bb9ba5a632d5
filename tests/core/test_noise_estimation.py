import pytest
import torch
from skimage import data

from restorekit.core.denoiser import GREY_LEVEL
from restorekit.core.noise import ImageNoise
from restorekit.core.noise_estimation import estimate_sigma, sigma_per_image

PHOTOS = {"astronaut": data.astronaut(), "chelsea": data.chelsea(), "camera": data.camera()[..., None]}


@pytest.mark.parametrize("sigma", [2, 5, 15, 25, 50])
@pytest.mark.parametrize("name", PHOTOS)
def test_noise_of_photos_is_estimated_within_a_grey_level(name: str, sigma: float) -> None:
    clean = torch.from_numpy(PHOTOS[name][:300, :400].copy()).permute(2, 0, 1)[None] / 127.5 - 1
    noisy = clean + sigma * GREY_LEVEL * ImageNoise([1]).like(clean)
    assert estimate_sigma(noisy).item() / GREY_LEVEL == pytest.approx(sigma, abs=0.6, rel=0.03)


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
