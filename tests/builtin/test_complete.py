from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from restorekit.builtin.complete import complete
from restorekit.builtin.holes import Square, apart, square_around
from restorekit.core.noise import ImageNoise
from restorekit.errors import ModelError, RestorekitWarning
from restorekit.priors.guided import NoisyClassifier
from restorekit.priors.tiled import Tiled
from restorekit.testing import GaussianPrior
from tests.builtin.test_inpaint import box

SIDE = 16


class Brightness(nn.Module):
    """Logits that say how bright an image is."""

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        mean = x.flatten(1).mean(1)
        return torch.stack([-40 * mean, 40 * mean], dim=1)


class Recorded(GaussianPrior):
    """Knows two classes, and ignores them."""

    classes, no_label, size = ("dark", "bright"), 2, SIDE

    def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        assert label is not None
        self.first = getattr(self, "first", float(sigma.max()))
        return super().__call__(x, sigma)


def run(
    y: Tensor, mask: Tensor, label: int, prior=None, looks_at: int = SIDE, refiner=None, **options: object
) -> tuple[Tensor, GaussianPrior]:
    classifier = NoisyClassifier(Brightness(), torch.tensor([0.01, 80.0]), classes=Recorded.classes, size=looks_at)
    refiner = refiner or GaussianPrior(0.0, 3.0)
    values = complete.checked({"mask": mask, "label": "bright", "steps": 6, **options})
    values |= {"label": torch.tensor([label]), "classifier": classifier, "refiner": Tiled(refiner)}
    with torch.no_grad():
        got = complete(y, prior or Tiled(Recorded(0.0, 0.3)), ImageNoise(range(len(y))), **values)
    return got, refiner


def test_the_class_decides_and_known_pixels_stay() -> None:
    y, hole = torch.rand(1, 3, 70, 50, generator=torch.Generator().manual_seed(0)) * 0.2, box(70, 20, 40)[..., :50]
    (dark, refiner), (bright, _), (free, _) = (run(y, hole, k, guidance=g) for k, g in ((0, 50), (1, 50), (1, 0.0)))
    inside = (hole > 0.5).expand_as(y)
    for got in (dark, bright, free):
        assert torch.equal(got[~inside], y[~inside])
    assert dark[inside].mean() < free[inside].mean() - 0.03 < bright[inside].mean() - 0.06, "each class draws its way"
    assert {seen[-1] for seen in refiner.seen} == {32, 40}, "16 is the prior's, then twofold up to the square"


def test_a_small_classifier_looks_at_the_hole() -> None:
    y, hole = torch.zeros(1, 3, 24, 24), torch.zeros(1, 1, 24, 24)
    hole[..., 2:8, 13:19] = 1
    dark, bright = (run(y, hole, k, looks_at=8, guidance=50)[0][..., 2:8, 13:19].mean() for k in (0, 1))
    assert dark < -0.05
    assert bright > 0.05
    unsized = Recorded(0.0, 0.3)
    unsized.size = None
    run(y, hole, 1, Tiled(unsized), looks_at=8)
    assert {seen[-1] for seen in unsized.seen} == {64}, "a prior of any size sees what surrounds the hole"
    with pytest.raises(ModelError, match="looks at 32 x 32 pixels, allowed: those of the prior, 16 x 16, or fewer"):
        run(y, hole, 1, looks_at=32)


def test_a_refiner_that_fills_makes_the_first_guess() -> None:
    class Filling(GaussianPrior):
        partial_noise = fills = True
        asked: tuple[float, ...] = ()

        def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
            self.asked += (float(sigma.max()),)
            return x

    y, hole, refiner, prior = torch.zeros(1, 3, 24, 24), box(24, 8, 14), Filling(), Recorded(0.0, 0.3)
    run(y, hole, 1, Tiled(prior), refiner=refiner)
    assert refiner.asked[0] == float("inf")
    assert max(refiner.asked[1:]) == pytest.approx(0.1)
    assert prior.first == pytest.approx(4.0)
    everything = Recorded(0.0, 0.3)
    run(y, torch.ones_like(hole), 1, Tiled(everything), refiner=Filling())
    assert everything.first == pytest.approx(everything.sigma_max), "nothing is known to fill from"


def test_photos_smaller_than_the_window_and_masks_of_nothing_and_all() -> None:
    y = torch.zeros(2, 3, 9, 12)
    hole = torch.zeros(2, 1, 9, 12)
    hole[0, :, 2:5, 3:7] = 1
    with pytest.warns(RestorekitWarning, match="marks nothing"):
        got, _ = run(y, hole, 1)
    assert torch.equal(got[1], y[1])
    assert not torch.equal(got[0], y[0])
    assert run(y, torch.ones(2, 1, 9, 12), 1)[0].shape == y.shape


def test_answers_do_not_depend_on_the_batch() -> None:
    y, hole = torch.rand(1, 3, 24, 24).expand(2, -1, -1, -1), box(24, 8, 14)
    both, _ = run(y, hole, 1)
    torch.testing.assert_close(run(y[:1], hole, 1)[0], both[:1])
    assert not torch.equal(both[0], both[1]), "each image has its own noise"


class Knowing(Recorded):
    """Pixels of the class dark have the mean -0.05, of bright 0.05, of none 0."""

    def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        assert label is not None
        self.mean = torch.tensor([-0.05, 0.05, 0.0])[label].reshape(-1, 1, 1, 1)
        return super().__call__(x, sigma, label)


def test_guidance_without_a_classifier_leans_away_from_no_class() -> None:
    y, hole = torch.zeros(1, 3, 24, 24), box(24, 8, 14)
    inside = (hole > 0.5).expand_as(y)
    dark, plain, bright = (
        run(y, hole, k, Tiled(Knowing(0.0, 0.3)), guidance=0, free=g)[0][inside].mean()
        for k, g in ((0, 4), (1, 0), (1, 4))
    )
    assert dark < -0.15
    assert 0.02 < plain < 0.08
    assert bright > 0.15


def test_the_strength_by_itself() -> None:
    y, hole = torch.zeros(1, 3, 24, 24), box(24, 8, 14)
    found, wanted, weaker = (
        run(y, hole, 1, Tiled(Knowing(0.0, 0.3)), **options)[0]
        for options in ({}, {"guidance": 10, "free": 3}, {"guidance": 10, "free": 0})
    )
    assert torch.equal(found, wanted)
    assert not torch.equal(found, weaker)


def test_guidance_without_a_classifier_needs_a_prior_for_it() -> None:
    y, hole = torch.zeros(1, 3, 24, 24), box(24, 8, 14)
    with pytest.raises(ModelError, match="not trained without labels"):
        run(y, hole, 1, Tiled(GaussianPrior()), free=1)


def test_squares() -> None:
    hole = torch.zeros(1, 1, 40, 60)
    hole[..., 0:6, 50:60] = 1
    assert square_around(hole, 8) == Square(0, 40, 20)
    assert square_around(hole, 30) == Square(0, 30, 30)
    assert square_around(hole, 50) == Square(-5, 10, 50)
    assert square_around(torch.ones(1, 1, 40, 60), 8) == Square(-10, 0, 60), "no wider than holds all that is known"
    x = torch.rand(1, 1, 40, 60)
    for square in (Square(0, 40, 20), Square(-5, 10, 50), Square(-10, -10, 80)):
        part = square.cut(x, 7.0)
        assert part.shape == (1, 1, square.side, square.side)
        assert torch.equal(square.put(part, x), x)
        assert (square.put(part + 1, x) != x).sum() == (part != 7).sum()


def test_parts_that_lie_apart() -> None:
    hole = torch.zeros(1, 1, 50, 90, dtype=torch.bool)
    hole[..., 2:5, 2:5] = hole[..., 6:9, 10:13] = hole[..., 40:49, 70:88] = True
    first, second = apart(hole, 8)
    assert torch.equal(first | second, hole)
    assert first.sum() == 18, "the two near ones are one"
    (alone,) = apart(hole, 64)
    assert torch.equal(alone, hole)
    assert apart(torch.zeros_like(hole), 8) == []


def test_holes_far_apart_are_filled_one_by_one_at_full_detail() -> None:
    y = torch.zeros(1, 3, 40, 200)
    hole = torch.zeros(1, 1, 40, 200)
    hole[..., 10:18, 4:12] = hole[..., 10:18, 180:188] = 1
    prior = Recorded(0.0, 0.3)
    got, refiner = run(y, hole, 1, Tiled(prior))
    assert (got != y).any(1).sum() == hole.sum()
    assert {seen[-1] for seen in prior.seen} == {SIDE}
    assert {seen[-1] for seen in refiner.seen} == {SIDE}, "each square is as small as the window"
