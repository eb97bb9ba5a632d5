"""Folders of photos through a real engine, with recipes made here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Annotated

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from restorekit.core.files import PARTIAL
from restorekit.core.noise import NEGATED, image_seed
from restorekit.core.options import ImageOption, Option
from restorekit.core.recipe import recipe
from restorekit.errors import RestorekitWarning
from restorekit.run.engine import make_engine
from restorekit.run.folder import Settings, run_jobs
from restorekit.run.images import read_photo
from restorekit.run.job_files import sample_seed
from restorekit.run.plan import plan_jobs
from restorekit.run.png16 import encode_png16
from restorekit.run.runner import Runner
from restorekit.run.side_images import Reading
from restorekit.testing import GaussianPrior
from tests.run.test_images import SRGB, pixels

ENGINE = make_engine("cpu", "float32")


@recipe("speckle", samples=True)
def speckle(y, prior, noise, *, amount: Annotated[float, Option("Amount.", min=0)] = 0.1):
    """Add noise."""
    return y + amount * noise.like(y)


@recipe("fill")
def fill(y, prior, noise, *, mask: Annotated[Tensor, ImageOption("What to fill.")]):
    """Fill with white."""
    return torch.where(mask.expand_as(y) > 0.5, torch.ones_like(y), y)


def save(path: Path, *shape: int, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(*shape, seed=seed).squeeze()).save(path)
    return path


def save_mask(path: Path, *shape: int, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(*shape, 1, seed=seed).squeeze() > 127).save(path)
    return path


def run(inputs, output=None, recipe=speckle, side_images=None, samples=1, **settings):
    inputs = [inputs] if isinstance(inputs, Path) else inputs
    plan = plan_jobs(inputs, output, recipe, side_images or {}, samples=samples)
    runner = Runner(recipe, GaussianPrior(), side_images, ENGINE)
    return run_jobs(plan, runner, Settings(**settings))


def test_folder_tree_is_mirrored(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    save(folder / "a.png", 6, 5, 3)
    save(folder / "deep" / "er" / "b.JPG", 16, 16, 3)
    (folder / "notes.txt").write_text("not an image")
    report = run(folder, tmp_path / "out")
    assert len(report.restored) == 2
    assert not report.failed
    files = sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("[!.]*") if p.is_file())
    assert files == ["a.png", "deep/er/b.JPG"]


def test_default_output_is_next_to_the_input(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png", 6, 5, 3)
    run(tmp_path / "in")
    assert (tmp_path / "in-speckle" / "a.png").exists()
    run(tmp_path / "in" / "a.png", samples=2)
    assert (tmp_path / "in" / "a-speckle-1.png").exists()
    assert (tmp_path / "in" / "a-speckle-2.png").exists()
    one, two = (read_photo(tmp_path / "in" / f"a-speckle-{k}.png").pixels for k in (1, 2))
    assert not np.array_equal(one, two)


def test_result_does_not_depend_on_batch_or_other_photos(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for i in range(5):
        save(folder / f"{i}.png", 6 + (i == 2), 5, 3, seed=i)
    run(folder, tmp_path / "one")
    run(folder, tmp_path / "four", batch=4)
    run(folder / "3.png", tmp_path / "alone")
    for i in range(5):
        assert (tmp_path / "one" / f"{i}.png").read_bytes() == (tmp_path / "four" / f"{i}.png").read_bytes()
    assert (tmp_path / "alone" / "3.png").read_bytes() == (tmp_path / "one" / "3.png").read_bytes()
    run(folder / "3.png", tmp_path / "seeded", seed=1)
    assert (tmp_path / "seeded" / "3.png").read_bytes() != (tmp_path / "one" / "3.png").read_bytes()


def test_seed_of_a_sample_is_derived_from_seed_name_and_number() -> None:
    assert sample_seed(3, "a.png", 0) == image_seed(3, "a.png")
    seeds = {sample_seed(seed, name, number) for seed in range(4) for name in ("a.png", "b.png") for number in range(4)}
    assert len(seeds) == 32, "no two samples share a seed, such as sample 1 of seed 0 and sample 0 of seed 1"
    numbered = [sample_seed(3, "a.png", number) for number in range(6)]
    assert [later - earlier for earlier, later in zip(numbered[::2], numbered[1::2], strict=True)] == [NEGATED] * 3


def test_existing_results_are_skipped_without_overwrite(tmp_path: Path) -> None:
    photo, target = save(tmp_path / "a.png", 6, 5, 3), tmp_path / "out" / "a.png"
    run(photo, target)
    before = target.stat().st_mtime_ns
    assert run(photo, target).skipped == [photo]
    assert target.stat().st_mtime_ns == before
    assert run(photo, target, overwrite=True).restored == [photo]


def test_failed_photo_is_reported_and_others_are_restored(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    save(folder / "a.png", 6, 5, 3)
    (folder / "b.png").write_text("this is text")
    save(folder / "c.png", 1, 1, 3)
    save(folder / "d.png", 6, 5, 1)
    report = run(folder, tmp_path / "out", batch=8)
    assert [path.name for path in report.restored] == ["a.png", "c.png", "d.png"]
    assert [path.name for path, _ in report.failed] == ["b.png"]
    assert "not a readable image" in report.failed[0][1]
    with Image.open(tmp_path / "out" / "d.png") as grey:
        assert grey.mode == "L"


def test_masks_pair_by_relative_path_and_stem(tmp_path: Path) -> None:
    folder, masks = tmp_path / "in", tmp_path / "masks"
    for name in ("a", "deep/b", "c"):
        save(folder / f"{name}.png", 6, 5, 3)
    for name, column in (("a.png", 0), ("deep/b.bmp", 1)):
        marks = np.zeros((6, 5), np.uint8)
        marks[:, column] = 255
        (masks / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(marks).save(masks / name)
    report = run(folder, tmp_path / "out", fill, {"mask": masks})
    assert [path.name for path, _ in report.failed] == ["c.png"]
    assert "masks/c.png" in report.failed[0][1]
    for name, column in (("a.png", 0), ("deep/b.png", 1)):
        got, want = read_photo(tmp_path / "out" / name).pixels, read_photo(folder / name).pixels
        assert (got[:, column] == 255).all()
        keep = [i for i in range(5) if i != column]
        assert np.array_equal(got[:, keep], want[:, keep])
    side_images, readings = {"mask": masks / "a.png"}, {"mask": Reading(inverted=True)}
    assert run(folder / "a.png", tmp_path / "inv.png", fill, side_images, readings=readings).restored
    assert (read_photo(tmp_path / "inv.png").pixels[:, 1:] == 255).all()


def test_mask_of_wrong_size_fails(tmp_path: Path) -> None:
    photo, mask = save(tmp_path / "a.png", 6, 5, 3), save(tmp_path / "m.png", 6, 6, 1)
    report = run(photo, tmp_path / "o.png", fill, {"mask": mask})
    assert "6 x 6, allowed: 5 x 6, the size of the upright photo" in report.failed[0][1]


@recipe("grow", size=lambda height, width, options: (2 * height, 2 * width))
def grow(y, prior, noise):
    """Double the size."""
    return y.repeat_interleave(2, -1).repeat_interleave(2, -2)


@pytest.mark.parametrize("deep", [False, True])
def test_alpha_and_exif_size_follow_the_result_size(tmp_path: Path, deep: bool) -> None:
    values = np.full((4, 6, 4), 255, np.uint16 if deep else np.uint8)
    values[:, :3, 3] = 0
    exif = Image.Exif()
    exif[0x0100], exif[0x010E] = 6, "a description"
    exif[0x8769] = {0xA002: 6, 0xA003: 4, 0x9003: "2026:01:02 03:04:05"}
    if deep:
        (tmp_path / "a.png").write_bytes(encode_png16(values * 257, SRGB, exif.tobytes()))
    else:
        Image.fromarray(values).save(tmp_path / "a.png", exif=exif, icc_profile=SRGB)
    assert not run(tmp_path / "a.png", tmp_path / "b.png", grow).failed
    got, top = read_photo(tmp_path / "b.png"), 65535 if deep else 255
    assert got.pixels.shape == (8, 12, 3)
    assert got.pixels.dtype == (np.uint16 if deep else np.uint8)
    assert got.icc == SRGB
    assert got.alpha is not None
    assert (got.alpha[:, :4] == 0).all()
    assert (got.alpha[:, 8:] == top).all()
    assert (np.diff(got.alpha[:, 4:8].astype(int)) >= 0).all()
    with Image.open(tmp_path / "b.png") as image:
        tags = image.getexif()
        assert (tags[0x0100], tags[0x010E]) == (12, "a description")
        assert dict(tags.get_ifd(0x8769)) == {0xA002: 12, 0xA003: 8, 0x9003: "2026:01:02 03:04:05"}


def test_grey_profile_is_dropped_from_colour_result(tmp_path: Path) -> None:
    @recipe("tint", channels=3)
    def tint(y, prior, noise):
        """Three channels of one."""
        return y.expand(-1, 3, -1, -1)

    grey = SRGB[:16] + b"GRAY" + SRGB[20:]
    for name, icc in (("grey.png", grey), ("colour.png", SRGB)):
        Image.fromarray(pixels(6, 5)).save(tmp_path / name, icc_profile=icc)
    report = run([tmp_path / "grey.png", tmp_path / "colour.png"], tmp_path / "out", tint)
    assert report.notes == [
        f"{tmp_path / 'grey.png'}: the colour profile is for grey images, but the result is colour; "
        "the profile is dropped"
    ]
    assert read_photo(tmp_path / "out" / "grey.png").icc is None
    assert read_photo(tmp_path / "out" / "colour.png").icc == SRGB


def test_photos_with_side_images_of_different_sizes_are_restored_at_the_same_time(tmp_path: Path) -> None:
    shapes = []

    @recipe("sided")
    def sided(y, prior, noise, *, kernel: Annotated[Tensor, ImageOption("Any.", same_size=False)]):
        """Note what comes."""
        shapes.append((len(y), tuple(kernel.shape)))
        return y

    for name, side in (("a.png", 3), ("b.png", 3), ("c.png", 5)):
        save(tmp_path / "in" / name, 6, 5, 3)
        save(tmp_path / "kernels" / name, side, 7, 1)
    assert not run(tmp_path / "in", None, sided, {"kernel": tmp_path / "kernels"}, batch=3).failed
    assert sorted(shapes) == [(1, (1, 1, 3, 7)), (1, (1, 1, 3, 7)), (1, (1, 1, 5, 7))]


def test_photo_with_two_masks_fails_and_others_are_restored(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        save(tmp_path / "in" / name, 6, 5, 3)
        save_mask(tmp_path / "m" / name, 6, 5)
    save_mask(tmp_path / "m" / "a.bmp", 6, 5)
    report = run(tmp_path / "in", tmp_path / "out", fill, {"mask": tmp_path / "m"})
    assert [path.name for path in report.restored] == ["b.png"]
    assert "matches 2 files: a.bmp, a.png" in report.failed[0][1]


def test_recipe_warning_becomes_a_note(tmp_path: Path) -> None:
    @recipe("constant", samples=True)
    def constant(y, prior, noise):
        """Say something."""
        warnings.warn("something", RestorekitWarning, stacklevel=2)
        return y

    plan = plan_jobs([save(tmp_path / "a.png", 6, 5, 3)], tmp_path / "out", constant, {}, samples=2)
    report = run_jobs(plan, Runner(constant, GaussianPrior(), {}, ENGINE))
    assert [note.split(": ", 1)[1] for note in report.notes] == [
        "something",
        "all samples are identical",
    ]


def test_note_names_its_photo(tmp_path: Path) -> None:
    @recipe("bright")
    def bright(y, prior, noise):
        """Say something about a white image."""
        if (y == 1).all():
            warnings.warn(RestorekitWarning("something", 0), stacklevel=2)
        return y

    photos = [save(tmp_path / name, 6, 5, 3) for name in ("a.png", "b.png")]
    Image.new("RGB", (5, 6), "white").save(photos[1])
    plan = plan_jobs(photos, tmp_path / "out", bright, {})
    report = run_jobs(plan, Runner(bright, GaussianPrior(), {}, ENGINE), Settings(batch=2))
    assert report.notes == [f"{photos[1]}: something"]


def test_non_finite_result_is_not_written(tmp_path: Path) -> None:
    @recipe("broken")
    def broken(y, prior, noise):
        """Divide by zero."""
        return y / 0 * 0

    report = run(save(tmp_path / "a.png", 6, 5, 3), tmp_path / "o.png", broken)
    assert "not finite" in report.failed[0][1]
    assert not (tmp_path / "o.png").exists()


def test_partial_files_of_killed_runs_are_removed(tmp_path: Path) -> None:
    photo, out = save(tmp_path / "a.png", 6, 5, 3), tmp_path / "out"
    out.mkdir()
    dead, alive = out / f".x.png.{2**22 + 1}{PARTIAL}", out / f".x.png.{os.getpid()}{PARTIAL}"
    dead.touch()
    alive.touch()
    run(photo, out / "a.png")
    assert not dead.exists()
    assert alive.exists()


def test_killed_run_leaves_complete_files_and_resumes(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    for i in range(60):
        save(folder / f"{i:02}.png", 200, 200, 3, seed=i)
    code = (
        "import sys; from pathlib import Path; from tests.run.test_folder import run;"
        "run(Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    root = Path(__file__).parents[2]
    process = subprocess.Popen([sys.executable, "-c", code, str(folder), str(out)], cwd=root)
    deadline = time.monotonic() + 60
    while not (out.exists() and len(list(out.glob("*.png"))) >= 3) and time.monotonic() < deadline:
        os.sched_yield()
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = sorted(out.glob("*.png"))
    assert len(done) >= 3
    for path in done:
        assert read_photo(path).pixels.shape == (200, 200, 3)
    report = run(folder, out)
    assert len(report.skipped) + len(report.restored) == 60
    assert not report.failed
    assert len(list(out.glob("*.png"))) == 60
    assert not list(out.glob(f"*{PARTIAL}"))
