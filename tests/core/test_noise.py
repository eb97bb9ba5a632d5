import pytest
import torch

from restorekit.core.noise import ImageNoise, image_seed


def test_noise_of_an_image_does_not_depend_on_its_batch() -> None:
    x = torch.empty(3, 2, 8, 8)
    together = ImageNoise([5, 6, 7])
    first, second = together.like(x), together.like(x)
    alone = ImageNoise([6])
    assert torch.equal(alone.like(x[1:2])[0], first[1])
    assert torch.equal(alone.like(x[1:2])[0], second[1])
    assert not torch.equal(first, second)
    assert not torch.equal(first[0], first[1])


def test_noise_is_standard_normal_and_like_what_is_asked() -> None:
    x = torch.empty(1, 3, 200, 200, dtype=torch.float64)
    draw = ImageNoise([0]).like(x)
    assert draw.dtype == torch.float64
    assert draw.mean().abs() < 0.02
    assert draw.std().item() == pytest.approx(1, abs=0.02)
    with pytest.raises(ValueError, match="1 images, but 2"):
        ImageNoise([0, 1]).like(x)


def test_seeds_depend_on_run_and_name() -> None:
    assert image_seed(0, "a.png") == image_seed(0, "a.png")
    assert len({image_seed(0, "a.png"), image_seed(1, "a.png"), image_seed(0, "b.png"), image_seed(0, "")}) == 4
    assert 0 <= image_seed(0, "a.png") < 2**63
