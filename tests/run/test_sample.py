from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
import torch
from PIL import Image
from torch import Tensor

from restorekit.core.ladders import geometric_ladder
from restorekit.errors import OptionError
from restorekit.run.engine import make_engine
from restorekit.run.sample import Sampler, draw, write_grid
from restorekit.testing import GaussianPrior

ENGINE = make_engine("cpu", "float32")


class Levelled(GaussianPrior):
    levels = geometric_ladder(2, 0.02, 10)[:-1]
    sigma_min, sigma_max, size = 0.02, 2.0, 16


@pytest.mark.parametrize("sampler", get_args(Sampler))
def test_every_sampler_draws_from_the_prior(sampler: Sampler) -> None:
    images = draw(GaussianPrior(0.2, 0.3), ENGINE, 4, size=24, steps=20, inner_steps=10, sampler=sampler)
    assert images.shape == (4, 3, 24, 24)
    assert images.mean().item() == pytest.approx(0.2, abs=0.05)
    assert images.std().item() == pytest.approx(0.3, abs=0.1)


def test_a_prior_of_few_levels_is_drawn_from_by_langevin_at_its_own_size() -> None:
    got = draw(Levelled(0.2, 0.3), ENGINE, 2, inner_steps=5, steps=10)
    assert got.shape == (2, 3, 16, 16)
    assert torch.equal(got, draw(Levelled(0.2, 0.3), ENGINE, 2, inner_steps=5, steps=10, sampler="langevin"))


def test_an_image_does_not_depend_on_how_many_are_drawn() -> None:
    prior = GaussianPrior(0.2, 0.3)
    assert torch.equal(draw(prior, ENGINE, 3, size=8, steps=5)[:2], draw(prior, ENGINE, 2, size=8, steps=5))
    assert not torch.equal(draw(prior, ENGINE, 1, size=8, steps=5), draw(prior, ENGINE, 1, size=8, steps=5, seed=1))


def test_the_grid_is_a_picture(tmp_path: Path) -> None:
    write_grid(torch.zeros(5, 3, 8, 8), tmp_path / "grid.png")
    with Image.open(tmp_path / "grid.png") as grid:
        assert grid.size == (3 * 10 + 2, 2 * 10 + 2)
        assert grid.getpixel((5, 5)) in {(127, 127, 127), (128, 128, 128)}


def test_unknown_samplers_are_named() -> None:
    with pytest.raises(OptionError, match="Did you mean 'ddim'"):
        draw(GaussianPrior(), ENGINE, 1, sampler="ddimm")  # type: ignore[arg-type]


def test_images_of_a_class() -> None:
    class Classes(GaussianPrior):
        classes = ("sea", "street")

        def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
            assert label is not None
            assert label.tolist() == [1]
            return super().__call__(x, sigma)

    assert draw(Classes(), ENGINE, 2, size=8, steps=3, label="street").shape == (2, 3, 8, 8)
    with pytest.raises(OptionError, match=r"--label: unknown class .streets.\. Did you mean .street."):
        draw(Classes(), ENGINE, 1, label="streets")
