"""Large photos in strips, and several photos at the same time."""

from __future__ import annotations

import threading
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import pytest
import torch
from torch import Tensor

from restorekit.core.options import ImageOption, Option
from restorekit.core.recipe import Recipe, recipe
from restorekit.errors import RestorekitWarning
from restorekit.models.registry import load_prior
from restorekit.priors.tiled import Tiled
from restorekit.run.engine import make_engine
from restorekit.run.folder import run_jobs
from restorekit.run.images import read_photo
from restorekit.run.photo import Photo
from restorekit.run.plan import plan_jobs
from restorekit.run.restoration import photo_sample, restore_photo
from restorekit.run.runner import Runner
from restorekit.run.settings import Settings
from restorekit.testing import GaussianPrior
from tests.run.test_folder import save
from tests.run.test_images import pixels

ENGINE = make_engine("cpu", "float32")


def photo(height: int, width: int, dtype: type = np.uint8) -> Photo:
    values = pixels(height, width, 3)
    return Photo(values if dtype is np.uint8 else values.astype(np.uint16) * 257)


def blur_recipe(shapes: list[tuple[int, ...]], **options: object) -> Recipe:
    @recipe("blur", **options)  # type: ignore[arg-type]
    def blur(y, prior, noise):
        """Average 9 x 9 pixels."""
        shapes.append(tuple(y.shape))
        warnings.warn(RestorekitWarning(f"sigma {float(y.mean()):.0f}"), stacklevel=2)
        padded = torch.nn.functional.pad(y, (4, 4, 4, 4), mode="reflect")
        return torch.nn.functional.avg_pool2d(padded, 9, 1)

    return blur


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(("height", "width"), [(300, 50), (513, 40), (256, 64), (200, 1300)])
def test_strips_give_the_same_image(height: int, width: int, dtype: type) -> None:
    image, shapes = photo(height, width, dtype), list[tuple[int, ...]]()
    whole, _ = restore_photo(Runner(blur_recipe(shapes), GaussianPrior(), {}, ENGINE), image, 0, {})
    assert shapes == [(1, 3, height, width)]
    runner = Runner(blur_recipe(shapes, strips=lambda sample, info, options: {}), GaussianPrior(), {}, ENGINE)
    strips, notes = restore_photo(runner, image, 0, {}, max_pixels=64 * width * 2)
    assert len(shapes) > 4
    assert max(shape[2] for shape in shapes[2:]) <= 64 + 2 * 32 + 63, "the memory is bounded"
    assert strips.pixels.dtype == dtype
    assert np.abs(strips.pixels.astype(int) - whole.pixels).max() <= 1
    assert len(notes) == 1, "notes are those of the sample"


@pytest.mark.parametrize("height", [5, 40, 64, 65, 128, 129, 193])
def test_strips_cover_photos_of_any_height(height: int) -> None:
    runner = Runner(blur_recipe([], strips=lambda sample, info, options: {}), GaussianPrior(), {}, ENGINE)
    image = Photo(np.full((height, 30, 3), 77, np.uint8))
    result, _ = restore_photo(runner, image, 0, {}, max_pixels=100)
    assert np.array_equal(result.pixels, image.pixels)


def test_neighbouring_strips_are_blended() -> None:
    count = 0

    @recipe("flat", strips=lambda sample, info, options: {})
    def flat(y, prior, noise):
        """Black and white in turn."""
        nonlocal count
        count += 1
        return torch.full_like(y, 1.0 if count % 2 else -1.0)

    result, _ = restore_photo(Runner(flat, GaussianPrior(), {}, ENGINE), photo(256, 8), 0, {}, max_pixels=64 * 8 * 2)
    rows = result.pixels[:, 0, 0].astype(int)
    assert np.abs(np.diff(rows)).max() <= 255 / 16 + 1
    assert (rows[32:56] == rows[32]).all()


def test_options_of_strips_come_from_a_sample_of_the_photo() -> None:
    levels: list[float] = []

    def choose(sample: Tensor, info: object, options: object) -> dict[str, float]:
        return {"level": float(sample.mean())}

    @recipe("shift", strips=choose)
    def shift(y, prior, noise, *, level: Annotated[float, Option("Level.")] = 9.0):
        """Subtract the level."""
        levels.append(level)
        return y

    image = photo(300, 40)
    restore_photo(Runner(shift, GaussianPrior(), {}, ENGINE), image, 0, {}, max_pixels=5000)
    mean = float(image.tensor().mean())
    assert levels[0] == 9.0, "the sample itself is restored with the options of the user, for the notes"
    assert levels[1:] == pytest.approx([mean] * (len(levels) - 1))
    assert len(levels) > 3


def test_recipe_that_requires_the_whole_photo_gets_it() -> None:
    shapes: list[tuple[int, ...]] = []
    runner = Runner(blur_recipe(shapes, strips=lambda sample, info, options: None), GaussianPrior(), {}, ENGINE)
    restore_photo(runner, photo(300, 40), 0, {}, max_pixels=100)
    assert shapes == [(1, 3, 300, 40)]


def test_sample_of_a_photo_is_spread_over_it() -> None:
    values = np.zeros((3000, 100, 3), np.uint8)
    values[2900:] = 255
    sample = photo_sample(Photo(values))
    assert sample.shape == (1, 3, 1024, 100)
    assert float(((sample + 1) / 2).mean()) == pytest.approx(100 / 1024, abs=0.01)


def test_denoise_restores_large_photos_in_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    from restorekit.builtin.denoise import denoise

    seen: list[int] = []
    original = Tiled._evaluate

    def evaluate(self: Tiled, inner: object, x: Tensor, sigma: Tensor, label: Tensor | None) -> object:
        seen.append(x.shape[-2])
        return original(self, inner, x, sigma, label)  # type: ignore[arg-type]

    monkeypatch.setattr(Tiled, "_evaluate", evaluate)
    generator = np.random.default_rng(0)
    clean = np.linspace(60, 180, 96)[None, :, None] * np.ones((320, 1, 3))
    image = Photo((clean + generator.normal(0, 20, clean.shape)).round().clip(0, 255).astype(np.uint8))
    runner = Runner(denoise, load_prior("ddpm-photo"), {}, ENGINE)
    whole, notes = restore_photo(runner, image, 0, {})
    assert seen == [320]
    strips, strip_notes = restore_photo(runner, image, 0, {}, max_pixels=96 * 128)
    assert len(seen) > 4
    assert max(seen[2:]) < 320
    assert notes[0].startswith("white noise of sigma")
    assert strip_notes == notes
    assert np.abs(strips.pixels.astype(int) - whole.pixels).mean() < 0.5


def marking_recipe(shapes: list[tuple[int, ...]]) -> Recipe:
    @recipe("mark", region="mask")
    def mark(y, prior, noise, *, mask: Annotated[Tensor, ImageOption("What to mark.")]):
        """Replace marked pixels by a value that differs between the calls."""
        shapes.append(tuple(y.shape))
        assert y.shape[-2:] == mask.shape[-2:]
        return torch.where(mask > 0.5, -1 + 0.1 * len(shapes), y)

    return mark


def test_only_marked_regions_of_large_photos_are_restored() -> None:
    image, shapes = photo(700, 900), list[tuple[int, ...]]()
    mask = torch.zeros(1, 1, 700, 900)
    boxes = [(0, 3, 0, 5), (500, 560, 600, 660), (520, 530, 700, 899), (690, 700, 300, 310)]
    for top, bottom, left, right in boxes:
        mask[..., top:bottom, left:right] = 1
    runner = Runner(marking_recipe(shapes), GaussianPrior(), {"mask": "m.png"}, ENGINE)
    result, _ = restore_photo(runner, image, 0, {"mask": mask}, max_pixels=600_000)
    marked = mask[0, 0].numpy() > 0.5
    assert np.array_equal(result.pixels[~marked], image.pixels[~marked])
    values = [np.unique(result.pixels[top:bottom, left:right]).tolist() for top, bottom, left, right in boxes]
    assert all(len(found) == 1 for found in values), "every hole comes from one region, with its surroundings"
    assert len(shapes) == 3, "holes that are close to each other are restored together"
    assert shapes[0] == (1, 3, 192, 192)
    assert not np.array_equal(image.pixels[marked], result.pixels[marked])


@pytest.mark.parametrize("seed", range(5))
def test_all_marked_pixels_of_any_mask_are_restored(seed: int) -> None:
    generator = np.random.default_rng(seed)
    height, width = generator.integers(60, 700, 2)
    mask = np.zeros((height, width), np.float32)
    for _ in range(generator.integers(1, 12)):
        top, left = generator.integers(0, height), generator.integers(0, width)
        mask[top : top + generator.integers(1, 90), left : left + generator.integers(1, 90)] = 1
    image, shapes = photo(height, width), list[tuple[int, ...]]()
    runner = Runner(marking_recipe(shapes), GaussianPrior(), {"mask": "m.png"}, ENGINE)
    sides = {"mask": torch.from_numpy(mask)[None, None]}
    result, _ = restore_photo(runner, image, 0, sides, max_pixels=int(height * width) - 1)
    marked = mask > 0.5
    assert np.array_equal(result.pixels[~marked], image.pixels[~marked])
    values = 12.75 * np.arange(1, len(shapes) + 1)
    assert all(np.abs(values - value).min() < 1 for value in np.unique(result.pixels[marked]))


def test_a_region_that_is_too_large_is_not_separated() -> None:
    image, shapes = photo(300, 400), list[tuple[int, ...]]()
    runner = Runner(marking_recipe(shapes), GaussianPrior(), {"mask": "m.png"}, ENGINE)
    restore_photo(runner, image, 0, {"mask": torch.ones(1, 1, 300, 400)}, max_pixels=50_000)
    restore_photo(runner, image, 0, {"mask": torch.zeros(1, 1, 300, 400)}, max_pixels=50_000)
    assert shapes == [(1, 3, 300, 400)] * 2


def test_windows_of_photos_of_different_sizes_are_evaluated_together(tmp_path: Path) -> None:
    counts: list[int] = []

    class Counted(GaussianPrior):
        def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
            counts.append(len(x))
            return super().__call__(x, sigma, label)

    barrier = threading.Barrier(3)

    @recipe("smooth")
    def smooth(y, prior, noise):
        """D(y, 0.5)."""
        barrier.wait(10)
        return prior(y, torch.full((len(y),), 0.5))

    for number, (height, width) in enumerate(((40, 50), (33, 70), (64, 32))):
        save(tmp_path / "in" / f"{number}.png", height, width, 3, seed=number)
    plan = plan_jobs([tmp_path / "in"], tmp_path / "out", smooth, {})
    report = run_jobs(plan, Runner(smooth, Counted(size=32), {}, ENGINE), Settings(batch=3))
    assert len(report.restored) == 3
    assert len(counts) < 3
    for number in range(3):
        image = read_photo(tmp_path / "in" / f"{number}.png").tensor()
        expected = GaussianPrior()(image, torch.tensor([0.5]))[0]
        got = read_photo(tmp_path / "out" / f"{number}.png").tensor()[0]
        torch.testing.assert_close(got, expected, rtol=0, atol=1.01 / 255)


def test_every_device_restores_photos(tmp_path: Path) -> None:
    engine = replace(ENGINE, other_devices=(torch.device("cpu"), torch.device("cpu")))
    priors: set[int] = set()
    barrier = threading.Barrier(3)

    @recipe("who")
    def who(y, prior, noise):
        """Note the prior."""
        barrier.wait(10)
        priors.add(id(prior.inner.inner))
        return y

    for number in range(3):
        save(tmp_path / "in" / f"{number}.png", 8, 8, 3, seed=number)
    plan = plan_jobs([tmp_path / "in"], tmp_path / "out", who, {})
    report = run_jobs(plan, Runner(who, GaussianPrior(), {}, engine))
    assert [path.name for path in report.restored] == ["0.png", "1.png", "2.png"]
    assert len(priors) == 3
    for number in range(3):
        name = f"{number}.png"
        assert np.array_equal(read_photo(tmp_path / "out" / name).pixels, read_photo(tmp_path / "in" / name).pixels)


def test_result_of_a_network_does_not_depend_on_the_photos_in_its_batch(tmp_path: Path) -> None:
    from restorekit.builtin.denoise import denoise

    for number, (height, width) in enumerate(((40, 56), (33, 64), (48, 32))):
        save(tmp_path / "in" / f"{number}.png", height, width, 3, seed=number)
    runner = Runner(denoise, load_prior("ddpm-photo"), {"sigma": 20}, make_engine("cpu", "float32", tile=32))
    for batch in (1, 3):
        plan = plan_jobs([tmp_path / "in"], tmp_path / str(batch), denoise, {})
        assert len(run_jobs(plan, runner, Settings(batch=batch)).restored) == 3
    for number in range(3):
        one, three = (read_photo(tmp_path / str(batch) / f"{number}.png").pixels.astype(int) for batch in (1, 3))
        assert np.abs(one - three).max() <= 1
