import pytest
import torch
from skimage import data

from restorekit.builtin.noise_level import estimate_sigma
from restorekit.core.noise import ImageNoise

LEVEL = 2 / 255
PHOTOS = {"astronaut": data.astronaut(), "chelsea": data.chelsea(), "camera": data.camera()[..., None]}


@pytest.mark.parametrize("sigma", [2, 5, 15, 25, 50])
@pytest.mark.parametrize("name", PHOTOS)
def test_noise_of_real_photos_is_estimated_within_a_level(name: str, sigma: float) -> None:
    clean = torch.from_numpy(PHOTOS[name][:300, :400].copy()).permute(2, 0, 1)[None] / 127.5 - 1
    noisy = clean + sigma * LEVEL * ImageNoise([1]).like(clean)
    assert estimate_sigma(noisy).item() / LEVEL == pytest.approx(sigma, abs=0.6, rel=0.03)


def test_each_image_of_a_batch_has_its_own_level() -> None:
    x = torch.zeros(2, 3, 64, 64)
    x[1] += 0.3 * ImageNoise([0]).like(x[:1])[0]
    got = estimate_sigma(x)
    assert got[0] == 0
    assert got[1].item() == pytest.approx(0.3, rel=0.1)
    assert estimate_sigma(torch.rand(1, 3, 1, 1)).tolist() == [0]
    assert estimate_sigma(torch.rand(1, 3, 14, 14)).isfinite().all()
