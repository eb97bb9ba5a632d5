from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
import torch
from PIL import Image
from torch import Tensor

from restorekit.core.ladders import geometric_ladder
from restorekit.core.logits import to_logits
from restorekit.errors import OptionError, RestorekitWarning
from restorekit.run.sample import Sampler, sample, write_grid
from restorekit.testing import GaussianPrior

LEVELS = tuple(geometric_ladder(2, 0.02, 10)[:-1].tolist())
FLOAT32 = {"device": "cpu", "precision": "float32"}


def with_levels() -> GaussianPrior:
    return GaussianPrior(0.2, 0.3, levels=LEVELS, sigma_min=0.02, sigma_max=2.0, size=16)


@pytest.mark.parametrize("sampler", get_args(Sampler))
def test_every_sampler_returns_samples_of_the_prior(sampler: Sampler) -> None:
    images = sample(GaussianPrior(0.2, 0.3), 4, size=24, steps=20, inner_steps=10, sampler=sampler)
    assert images.shape == (4, 3, 24, 24)
    assert images.mean().item() == pytest.approx(0.2, abs=0.05)
    assert images.std().item() == pytest.approx(0.3, abs=0.1)


def test_prior_with_levels_is_sampled_by_langevin_at_its_size() -> None:
    got = sample(with_levels(), 2, inner_steps=5, steps=10)
    assert got.shape == (2, 3, 16, 16)
    assert torch.equal(got, sample(with_levels(), 2, inner_steps=5, steps=10, sampler="langevin"))


@pytest.mark.parametrize("sampler", get_args(Sampler))
def test_samples_of_a_prior_of_logits_are_images(sampler: Sampler) -> None:
    prior = GaussianPrior(3.0, 0.5, logits=True)
    images = sample(prior, 4, size=24, steps=20, inner_steps=10, sampler=sampler, **FLOAT32)
    assert images.min() > 0.4
    assert images.max() < 1
    logits = to_logits(images)
    assert logits.mean().item() == pytest.approx(3.0, abs=0.1)
    assert logits.std().item() == pytest.approx(0.5, abs=0.15)


def test_sample_does_not_depend_on_count() -> None:
    prior = GaussianPrior(0.2, 0.3)
    assert torch.equal(sample(prior, 3, size=8, steps=5)[:2], sample(prior, 2, size=8, steps=5))
    assert not torch.equal(sample(prior, 1, size=8, steps=5), sample(prior, 1, size=8, steps=5, seed=1))


def test_grid_is_written_as_an_image(tmp_path: Path) -> None:
    write_grid(torch.zeros(5, 3, 8, 8), tmp_path / "grid.png")
    with Image.open(tmp_path / "grid.png") as grid:
        assert grid.size == (3 * 10 + 2, 2 * 10 + 2)
        assert grid.getpixel((5, 5)) in {(127, 127, 127), (128, 128, 128)}


def test_unknown_sampler_is_refused() -> None:
    with pytest.raises(OptionError, match="Did you mean 'ddim'"):
        sample(GaussianPrior(), 1, sampler="ddimm")  # type: ignore[arg-type]


def test_samples_belong_to_the_given_class() -> None:
    class Classes(GaussianPrior):
        def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
            assert label is not None
            assert label.tolist() == [1]
            return super().__call__(x, sigma)

    assert sample(Classes(classes=("sea", "street")), 2, size=8, steps=3, label="street").shape == (2, 3, 8, 8)
    with pytest.raises(OptionError, match=r"--label: unknown class .streets.\. Did you mean .street."):
        sample(Classes(classes=("sea", "street")), 1, label="streets")


@pytest.mark.parametrize("seed", [-1, "abc", 1.5, True])
def test_seeds_other_than_integers_are_refused(seed: object) -> None:
    with pytest.raises(OptionError, match=r"sample seed: found .*, allowed: an integer >= 0"):
        sample(GaussianPrior(), seed=seed, **FLOAT32)  # type: ignore[arg-type]


def test_a_new_seed_is_reported() -> None:
    with pytest.warns(RestorekitWarning, match=r"sample: seed=\d+") as found:
        images = sample(GaussianPrior(), size=16, steps=2, seed=None, **FLOAT32)
    seed = int(str(found[0].message).partition("=")[2])
    assert torch.equal(images, sample(GaussianPrior(), size=16, steps=2, seed=seed, **FLOAT32))
