import pytest
import torch

from restorekit.core.noise import NEGATED, ImageNoise, image_seed
from restorekit.errors import OptionError


def test_noise_of_an_image_does_not_depend_on_its_batch() -> None:
    x = torch.empty(3, 2, 8, 8)
    together = ImageNoise([5, 6, 7])
    first, second = together.like(x), together.like(x)
    alone = ImageNoise([6])
    assert torch.equal(alone.like(x[1:2])[0], first[1])
    assert torch.equal(alone.like(x[1:2])[0], second[1])
    assert not torch.equal(first, second)
    assert not torch.equal(first[0], first[1])


def test_noise_is_standard_normal_with_the_dtype_and_shape_of_x() -> None:
    x = torch.empty(1, 3, 200, 200, dtype=torch.float64)
    sample = ImageNoise([0]).like(x)
    assert sample.dtype == torch.float64
    assert sample.mean().abs() < 0.02
    assert sample.std().item() == pytest.approx(1, abs=0.02)
    with pytest.raises(ValueError, match="found 1 images, allowed: 2"):
        ImageNoise([0, 1]).like(x)


@pytest.mark.parametrize("seeds", [0, "12", [-1], [2**64], [1.5], [True], None, [[1]], torch.zeros(2)])
def test_seeds_that_are_no_list_of_integers_are_refused(seeds) -> None:
    with pytest.raises(OptionError, match=r"^ImageNoise: found .*, allowed: a list of integers in "):
        ImageNoise(seeds)


def test_image_seed_depends_on_run_seed_and_name() -> None:
    assert image_seed(0, "a.png") == image_seed(0, "a.png")
    assert len({image_seed(0, "a.png"), image_seed(1, "a.png"), image_seed(0, "b.png"), image_seed(0, "")}) == 4
    assert 0 <= image_seed(0, "a.png") < 2**63


def test_forks_are_independent_and_determined_by_the_seed() -> None:
    x = torch.zeros(3, 1, 8, 8)
    first, again = (ImageNoise([7]).fork(3).like(x) for _ in range(2))
    assert torch.equal(first, again)
    assert len({float(sample.sum()) for sample in first}) == 3
    noise = ImageNoise([7])
    assert not torch.equal(noise.fork(3).like(x), noise.fork(3).like(x)), "the next random numbers"
    with pytest.raises(ValueError, match="too many values"):
        ImageNoise([7, 8]).fork(3)


def test_seeds_of_the_upper_half_have_negated_noise() -> None:
    x = torch.zeros(2, 3, 8, 8)
    noise = ImageNoise([7, 7 + NEGATED])
    for _ in range(2):
        first, second = noise.like(x)
        assert torch.equal(first, -second)
    forks = ImageNoise([7]).fork(2).like(x), ImageNoise([7 + NEGATED]).fork(2).like(x)
    assert torch.equal(forks[0], -forks[1])
    assert torch.equal(ImageNoise([7 + NEGATED]).split()[0].like(x[:1]), -ImageNoise([7]).like(x[:1]))
