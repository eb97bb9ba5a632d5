from __future__ import annotations

import warnings
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from restorekit.builtin.complete import complete
from restorekit.builtin.holes import Box, bounding_square, components
from restorekit.core.noise import ImageNoise
from restorekit.errors import ModelError, RestorekitWarning
from restorekit.priors.guided import NoisyClassifier
from restorekit.priors.tiled import Tiled
from restorekit.run.engine import make_engine
from restorekit.run.runner import Runner
from restorekit.testing import GaussianPrior
from tests.builtin.test_exemplars import pattern
from tests.builtin.test_inpaint import box

SIDE = 16
CLASSES = ("dark", "bright")


class Brightness(nn.Module):
    """Logits that depend on the mean of an image."""

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        mean = x.flatten(1).mean(1)
        return torch.stack([-40 * mean, 40 * mean], dim=1)


class ClassPrior(GaussianPrior):
    """A prior of two classes, both N(0, 0.3^2)."""

    def __init__(self, size: int | None = SIDE) -> None:
        super().__init__(0.0, 0.3, classes=CLASSES, size=size)

    def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        assert label is not None
        return super().__call__(x, sigma)


class ClassMeanPrior(ClassPrior):
    """Pixels of the class dark have the mean -0.05, of bright 0.05, without a class 0."""

    def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        assert label is not None
        self.mean = torch.tensor([-0.05, 0.05, 0.0])[label].reshape(-1, 1, 1, 1)
        return super().__call__(x, sigma, label)


def brightness_classifier(size: int = SIDE) -> NoisyClassifier:
    return NoisyClassifier(Brightness(), torch.tensor([0.01, 80.0]), classes=CLASSES, size=size)


def run(
    y: Tensor, mask: Tensor, label: int, prior=None, classifier_size: int = SIDE, refiner=None, **options: object
) -> tuple[Tensor, GaussianPrior]:
    refiner = refiner or GaussianPrior(0.0, 3.0)
    values = complete.validate({"mask": mask, "label": "bright", "steps": 6, **options}).options
    models = {"classifier": brightness_classifier(classifier_size), "refiner": Tiled(refiner)}
    with torch.no_grad():
        result = complete(
            y,
            prior or Tiled(ClassPrior()),
            ImageNoise(range(len(y))),
            mask=mask,
            **{**values, **models, "label": torch.tensor([label])},
        )
    return result, refiner


def test_class_determines_the_fill_and_known_pixels_are_bit_identical() -> None:
    y, hole = torch.rand(1, 3, 70, 50, generator=torch.Generator().manual_seed(0)) * 0.2, box(70, 20, 40)[..., :50]
    (dark, refiner), (bright, _), (unguided, _) = (
        run(y, hole, k, classifier_scale=scale) for k, scale in ((0, 50), (1, 50), (1, 0.0))
    )
    inside = (hole > 0.5).expand_as(y)
    for result in (dark, bright, unguided):
        assert torch.equal(result[~inside], y[~inside])
    assert dark[inside].mean() < unguided[inside].mean() - 0.03 < bright[inside].mean() - 0.06
    assert {shape[-1] for shape in refiner.seen} == {32, 40}, "from the prior's 16 by two up to the square"


def test_small_classifier_sees_a_square_around_the_hole() -> None:
    y, hole = torch.zeros(1, 3, 24, 24), torch.zeros(1, 1, 24, 24)
    hole[..., 2:8, 13:19] = 1
    dark, bright = (run(y, hole, k, classifier_size=8, classifier_scale=50)[0][..., 2:8, 13:19].mean() for k in (0, 1))
    assert dark < -0.03
    assert bright > 0.03
    any_size = ClassPrior(size=None)
    run(y, hole, 1, Tiled(any_size), classifier_size=8)
    assert {shape[-2:] for shape in any_size.seen} == {(64, 64)}, "a prior of any size sees the surroundings too"
    any_size.seen.clear()
    hole = torch.zeros(1, 1, 80, 80)
    hole[..., 2:8, 13:19] = 1
    run(torch.zeros(1, 3, 80, 80), hole, 1, Tiled(any_size), classifier_size=8)
    assert {shape[-2:] for shape in any_size.seen} == {(64, 64)}, "and of a corner, as large a square"
    with pytest.raises(ModelError, match="classifier requires 32 x 32 pixels, allowed: at most 16 x 16"):
        run(y, hole, 1, classifier_size=32)


def test_refiner_that_supports_holes_makes_the_initial_estimate() -> None:
    class Unchanged(GaussianPrior):
        def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
            self.sigmas.append(float(sigma.max()))
            return x

    def hole_refiner() -> GaussianPrior:
        return Unchanged(partial_noise=True, supports_holes=True)

    y, hole, refiner, prior = torch.zeros(1, 3, 24, 24), box(24, 8, 14), hole_refiner(), ClassPrior()
    run(y, hole, 1, Tiled(prior), refiner=refiner)
    assert refiner.sigmas[0] == float("inf")
    assert max(refiner.sigmas[1:]) == pytest.approx(0.05)
    assert prior.sigmas[0] == pytest.approx(4.0)
    nothing_known = ClassPrior()
    run(y, torch.ones_like(hole), 1, Tiled(nothing_known), refiner=hole_refiner())
    assert nothing_known.sigmas[0] == pytest.approx(nothing_known.info.sigma_max)


def test_photos_smaller_than_the_window_may_have_empty_and_full_masks() -> None:
    y = torch.zeros(2, 3, 9, 12)
    hole = torch.zeros(2, 1, 9, 12)
    hole[0, :, 2:5, 3:7] = 1
    with pytest.warns(RestorekitWarning, match="the mask is empty; image unchanged"):
        result, _ = run(y, hole, 1)
    assert torch.equal(result[1], y[1])
    assert not torch.equal(result[0], y[0])
    assert run(y, torch.ones(2, 1, 9, 12), 1)[0].shape == y.shape


def test_results_do_not_depend_on_the_batch() -> None:
    y, hole = torch.rand(1, 3, 24, 24).expand(2, -1, -1, -1), box(24, 8, 14)
    both, _ = run(y, hole, 1)
    torch.testing.assert_close(run(y[:1], hole, 1)[0], both[:1])
    assert not torch.equal(both[0], both[1]), "the images have different noise"


def test_classifier_free_guidance_amplifies_the_class() -> None:
    y, hole = torch.zeros(1, 3, 24, 24), box(24, 8, 14)
    inside = (hole > 0.5).expand_as(y)
    dark, plain, bright = (
        run(y, hole, k, Tiled(ClassMeanPrior()), classifier_scale=0, cfg_scale=scale)[0][inside].mean()
        for k, scale in ((0, 4), (1, 0), (1, 4))
    )
    assert dark < -0.15
    assert 0.02 < plain < 0.08
    assert bright > 0.15


class SizedClassMeanPrior(ClassMeanPrior):
    """The same for windows of 128 pixels."""

    def __init__(self) -> None:
        super().__init__(size=128)


@pytest.mark.parametrize(("width", "sizes"), [(60, {1: 10}), (120, {1: 10, 9: 7})])
def test_prior_of_large_windows_fills_the_hole_itself(width: int, sizes: dict[int, int]) -> None:
    y, hole = torch.zeros(1, 3, 260, 270), box(270, 130 - width // 2, 130 + width // 2)[..., :260, :]
    inside, means = (hole > 0.5).expand_as(y), []
    for label in (0, 1):
        prior = SizedClassMeanPrior()
        result, refiner = run(y, hole, label, Tiled(prior), classifier_scale=0, resample=1)
        assert not refiner.seen
        assert {shape[1:] for shape in prior.seen} == {(3, 128, 128)}
        # Classifier-free guidance takes a second evaluation at high noise levels.
        assert {n: sum(shape[0] == n for shape in prior.seen) for n in sizes} == sizes
        assert prior.sigmas[0] == pytest.approx(80)
        assert torch.equal(result[~inside], y[~inside])
        means.append(result[inside].mean())
    assert means[0] < -0.12
    assert means[1] > 0.12


def test_windows_without_a_hole_are_not_evaluated() -> None:
    y, hole = torch.zeros(1, 3, 500, 500), torch.eye(500).bool()[None, None]
    prior = ClassPrior(128)
    run(y, hole, 1, Tiled(prior), classifier_scale=0, cfg_scale=0, steps=1, resample=1)
    assert sum(shape[0] for shape in prior.seen) < 20, "all of them are 25"


def test_classifier_guides_a_prior_of_large_windows_at_the_first_size(monkeypatch) -> None:
    y, hole = torch.zeros(1, 3, 260, 270), box(270, 100, 160)[..., :260, :]
    options = {"classifier_size": 32, "cfg_scale": 0, "classifier_scale": 50, "resample": 1}
    dark, bright = (run(y, hole, k, Tiled(ClassPrior(128)), **options)[0][..., 114:146, 114:146].mean() for k in (0, 1))
    assert dark < -0.03
    assert bright > 0.03
    shapes = []
    monkeypatch.setattr(Brightness, "forward", lambda self, x, t: shapes.append(x.shape) or 40 * x.mean((2, 3))[:, :2])
    run(y, box(270, 70, 190)[..., :260, :], 1, Tiled(ClassPrior(128)), **options)
    assert shapes == [(1, 3, 32, 32)] * 6, "the first size only"


def test_classifier_with_other_classes_is_not_used() -> None:
    class OtherClasses(ClassMeanPrior):
        def __init__(self) -> None:
            super().__init__()
            self.info = replace(self.info, classes=("night", "day"))

    y, hole = torch.zeros(1, 3, 24, 24), box(24, 8, 14)
    with pytest.warns(RestorekitWarning, match="the classifier has other classes than the prior, and is not used"):
        auto = run(y, hole, 1, Tiled(OtherClasses()))[0]
    assert torch.equal(auto, run(y, hole, 1, Tiled(OtherClasses()), classifier_scale=0)[0])
    with pytest.raises(ModelError, match=r"the prior has the classes night, day, but the classifier has dark, bright"):
        run(y, hole, 1, Tiled(OtherClasses()), classifier_scale=1)
    with pytest.raises(ModelError, match="candidates: found 2, allowed: 1 with a classifier of other classes"):
        run(y, hole, 1, Tiled(OtherClasses()), classifier_scale=0, candidates=2)


@pytest.mark.parametrize("classifier_size", [SIDE, 8])
def test_classifier_chooses_among_candidates(classifier_size: int) -> None:
    y, hole, refiner = torch.zeros(1, 3, SIDE, SIDE), box(SIDE, 5, 11), GaussianPrior(0.0, 3.0)
    options = {"classifier_scale": 0, "cfg_scale": 0, "refiner": refiner, "classifier_size": classifier_size}

    def mean(label: int, **more: object) -> float:
        return float(run(y, hole, label, **options, **more)[0][..., 5:11, 5:11].mean())

    dark, bright = (mean(k, candidates=8) for k in (0, 1))
    assert dark + 0.02 < bright, "from the same eight fills"
    assert mean(1) == mean(0) == mean(0, candidates=1), "no choice without classifier guidance"
    assert {shape[0] for shape in refiner.seen} == {1}, "only the chosen fill is refined"


@pytest.mark.parametrize(("window", "scale", "passes", "candidates"), [(SIDE, 30, 1, 4), (128, 10, 2, 1)])
def test_auto_values_depend_on_the_window(window: int, scale: float, passes: int, candidates: int) -> None:
    y, hole = torch.zeros(1, 3, 24, 24), box(24, 8, 14)
    explicit = {"classifier_scale": scale, "cfg_scale": 3, "resample": passes, "candidates": candidates}
    changes = ({}, {"classifier_scale": 20}, {"cfg_scale": 0}, {"resample": 3 - passes}, {"candidates": 2})
    auto, same, *others = (
        run(y, hole, 1, Tiled(ClassMeanPrior(window)), **options)[0]
        for options in ({}, *(explicit | change for change in changes))
    )
    assert torch.equal(auto, same)
    assert not any(torch.equal(auto, other) for other in others)


def test_classifier_free_guidance_requires_a_prior_trained_without_labels() -> None:
    y, hole = torch.zeros(1, 3, 24, 24), box(24, 8, 14)
    with pytest.raises(ModelError, match="not trained without labels"):
        run(y, hole, 1, Tiled(GaussianPrior()), cfg_scale=1)


def test_grey_photo_is_completed_in_bfloat16() -> None:
    refiner, prior = GaussianPrior(0.0, 3.0, size=SIDE), ClassPrior()
    hole = box(64, 20, 44).float()
    options = {
        "label": "bright",
        "mask": hole,
        "classifier": brightness_classifier(),
        "refiner": refiner,
        "steps": 2,
    }
    y = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0)) * 0.2
    with warnings.catch_warnings(action="ignore", category=RestorekitWarning):
        result = Runner(complete, prior, options, make_engine("cpu", "bfloat16")).restore(y, [0], {"mask": hole})
    assert result.shape == y.shape
    assert torch.isfinite(result).all()
    assert {shape[1:] for shape in refiner.seen} == {(3, SIDE, SIDE)}
    assert max(shape[0] for shape in refiner.seen) > 1, "windows of the larger square are evaluated together"


def test_bounding_square_stays_inside_the_image_where_possible() -> None:
    hole = torch.zeros(1, 1, 40, 60)
    hole[..., 0:6, 50:60] = 1
    assert bounding_square(hole, 8) == Box(0, 40, 20, 20)
    assert bounding_square(hole, 30) == Box(0, 30, 30, 30)
    assert bounding_square(hole, 50) == Box(-5, 10, 50, 50)
    assert bounding_square(torch.ones(1, 1, 40, 60), 8) == Box(-10, 0, 60, 60), "at most the longer side of the image"
    x = torch.rand(1, 1, 40, 60)
    for square in (Box(0, 40, 20, 20), Box(-5, 10, 50, 50), Box(-10, -10, 70, 80)):
        part = square.crop(x, 7.0)
        assert part.shape == (1, 1, square.height, square.width)
        assert torch.equal(square.paste(part, x), x)
        assert (square.paste(part + 1, x) != x).sum() == (part != 7).sum()


def test_components_are_split_by_distance() -> None:
    hole = torch.zeros(1, 1, 50, 90, dtype=torch.bool)
    hole[..., 2:5, 2:5] = hole[..., 6:9, 10:13] = hole[..., 40:49, 70:88] = True
    first, second = components(hole, 8)
    assert torch.equal(first | second, hole)
    assert first.sum() == 18, "the two near parts are one component"
    (single,) = components(hole, 64)
    assert torch.equal(single, hole)
    assert list(components(torch.zeros_like(hole), 8)) == []


def test_distant_holes_are_filled_one_by_one_at_full_detail() -> None:
    y = torch.zeros(1, 3, 40, 200)
    hole = torch.zeros(1, 1, 40, 200)
    hole[..., 10:18, 4:12] = hole[..., 10:18, 180:188] = 1
    prior = ClassPrior()
    result, refiner = run(y, hole, 1, Tiled(prior))
    assert (result != y).any(1).sum() == hole.sum()
    assert {shape[-1] for shape in prior.seen} == {SIDE}
    assert {shape[-1] for shape in refiner.seen} == {SIDE}, "each square is as small as the window"


def test_texture_of_the_photo_is_copied_into_the_fill() -> None:
    y, hole = pattern(256, 256), box(256, 64, 192)
    known = ~hole.expand_as(y)
    errors = {}
    for texture in ("photo", "prior"):
        options = {"steps": 2, "resample": 1, "classifier_scale": 0, "texture": texture}
        result, _ = run(y, hole, 0, prior=ClassPrior(size=64), **options)
        assert torch.equal(result[known], y[known])
        errors[texture] = (result - y)[~known].abs().mean().item()
    assert errors["photo"] < 0.15 < errors["prior"]


def test_texture_of_the_photo_requires_known_patches_and_small_windows() -> None:
    y, hole = pattern(SIDE, SIDE), box(SIDE, 4, 12)
    with pytest.warns(RestorekitWarning, match="texture photo: too little of the photo is known"):
        copied, _ = run(y, hole, 0, steps=2, texture="photo")
    assert torch.equal(copied, run(y, hole, 0, steps=2)[0])
    with pytest.raises(ModelError, match="a window of less than 128 pixels, found 128"):
        run(y, hole, 0, prior=ClassPrior(size=128), steps=2, texture="photo")
