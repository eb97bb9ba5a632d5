"""Plans: targets, side images, problems and what is left out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import pytest
from torch import Tensor

from restorekit.core.options import ImageOption
from restorekit.core.recipe import recipe
from restorekit.errors import ImageError, OptionError
from restorekit.run.plan import Plan, plan_jobs
from tests.core.test_files import NOT_UTF8, lock, touch


@recipe("fill")
def fill(y, prior, noise, *, mask: Annotated[Tensor, ImageOption("What to fill.")]):
    """Fill with white."""
    return y


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def plan(*inputs: str, output: str | None = None, mask: str | None = None, **options) -> Plan:
    side_images = {} if mask is None else {"mask": Path(mask)}
    return plan_jobs([Path(text) for text in inputs], output and Path(output), fill, side_images, **options)


def targets(found: Plan) -> list[str]:
    """Targets of the photos without problems, relative to the working folder."""
    return [
        path.absolute().relative_to(Path.cwd()).as_posix()
        for job in found.jobs
        if not job.problem
        for path in job.targets
    ]


def problems(found: Plan) -> list[str]:
    return [job.problem for job in found.jobs if job.problem]


# Targets


@pytest.mark.parametrize(
    ("inputs", "output", "expected"),
    [
        (["in/a.png"], None, ["in/a-fill.png"]),
        (["in"], None, ["in-fill/a.png", "in-fill/s/b.JPG"]),
        (["in/*.png"], None, ["in/a-fill.png"]),
        (["in/**/*"], None, ["in/a-fill.png", "in/s/b-fill.JPG"]),
        (["in/a.png"], "x.png", ["x.png"]),
        (["in/a.png"], "x.PNG", ["x.PNG"]),
        (["in/*.png"], "x.png", ["x.png"]),
        (["in/a.png"], "out", ["out/a.png"]),
        (["in/a.png"], "out.v2", ["out.v2/a.png"]),
        (["in"], "out", ["out/a.png", "out/s/b.JPG"]),
        (["in/s/b.JPG", "in/a.png"], "out", ["out/b.JPG", "out/a.png"]),
        (["in/**/*"], "out", ["out/a.png", "out/s/b.JPG"]),
    ],
)
def test_targets_of_files_folders_and_patterns(folder, inputs: list[str], output, expected: list[str]) -> None:
    touch(folder, "in/a.png", "in/s/b.JPG")
    assert targets(plan(*inputs, output=output)) == expected


def test_samples_are_numbered_and_the_format_replaces_the_suffix(folder: Path) -> None:
    touch(folder, "a.JPG")
    assert targets(plan("a.JPG", samples=2, suffix=".png")) == ["a-fill-1.png", "a-fill-2.png"]


def test_existing_folder_with_an_image_suffix_is_a_folder(folder: Path) -> None:
    touch(folder, "a.png", "b.png")
    for name in ("album.png", "album.heic", "album.cr2"):
        (folder / name).mkdir()
        assert targets(plan("a.png", "b.png", output=name)) == [f"{name}/a.png", f"{name}/b.png"]


@pytest.mark.parametrize("inputs", [["a.png", "b.png"], ["in"], ["*.png"], ["a.png", "none.png"]])
def test_file_as_output_of_several_photos_is_refused(folder: Path, inputs: list[str]) -> None:
    touch(folder, "a.png", "b.png", "in/c.png")
    with pytest.raises(OptionError, match=r"--output: x\.png is the name of a file, but .*; allowed: a folder"):
        plan(*inputs, output="x.png")


@pytest.mark.parametrize("name", ["o.cr2", "o.GIF", "o.dng"])
def test_image_suffix_that_cannot_be_written_is_refused(folder: Path, name: str) -> None:
    touch(folder, "a.png")
    with pytest.raises(OptionError, match=rf"--output: {name}: {name[1:].lower()} cannot be written, allowed: .*\.png"):
        plan("a.png", output=name)


def test_inputs_are_never_targets(folder: Path) -> None:
    touch(folder, "in/a.png", "m/a.png")
    (folder / "in" / "link.png").symlink_to(folder / "m" / "x.png")
    touch(folder, "m/x.png")
    for inputs, output, mask in [
        (["in/a.png"], "in/a.png", None),
        (["in"], "in", None),
        (["in/a.png"], "m/a.png", "m/a.png"),
        (["in/a.png"], "m", "m"),
        (["in/a.png", "in/link.png"], "in/../in", None),
    ]:
        with pytest.raises(OptionError, match="is an input; originals are never overwritten"):
            plan(*inputs, output=output, mask=mask)
    with pytest.raises(OptionError, match=r"m/x\.png is an input"):
        plan("in/link.png", output="m/x.png")


def test_photos_with_the_same_target_fail_and_the_others_are_restored(folder: Path) -> None:
    touch(folder, "in/a.jpg", "in/a.png", "in/b.png", "other/b.png", "other/c.png")
    found = plan("in", suffix=".png", output="out")
    assert targets(found) == ["out/b.png"]
    assert problems(found) == [
        "--output: in/a.jpg and in/a.png would both be written to out/a.png",
        "--output: in/a.png and in/a.jpg would both be written to out/a.png",
    ]
    found = plan("in/b.png", "other", "in/a.png", output="out")
    assert targets(found) == ["out/c.png", "out/a.png"]
    assert [job.source.as_posix() for job in found.jobs if job.problem] == ["in/b.png", "other/b.png"]
    assert len(problems(plan("in/a.jpg", "in/a.png", suffix=".png", samples=3))) == 2


def test_photo_that_is_named_twice_is_restored_once(folder: Path) -> None:
    touch(folder, "in/a.png", "in/b.png", "in/c.cr2")
    (folder / "link").symlink_to("in")
    assert targets(plan("in/a.png", "in/../in/a.png", "in/*.png", "link/b.png", output="o")) == ["o/a.png", "o/b.png"]
    assert targets(plan("in", "in/a.png")) == ["in-fill/a.png", "in-fill/b.png", "in/a-fill.png"]
    assert plan("in", "in").skipped == ((Path("in/c.cr2"), ".cr2"),)


@pytest.mark.parametrize("name", ["n" * 251 + ".png", "ü" * 124 + ".png", NOT_UTF8 * 62 + ".png"])
def test_target_whose_name_is_too_long_fails_and_the_others_are_restored(folder: Path, name: str) -> None:
    touch(folder, f"in/{name}", "in/a.png")
    found = plan("in/*.png")
    assert targets(found) == ["in/a-fill.png"]
    assert "bytes, allowed: at most 255" in problems(found)[0]
    assert len(targets(plan("in"))) == 2
    assert len(problems(plan("in", samples=2))) == (len(os.fsencode(name)) > 253)


def test_names_that_are_not_utf8_are_planned(folder: Path) -> None:
    touch(folder, f"in/{NOT_UTF8}.png", f"m/{NOT_UTF8}.png")
    (job,) = plan("in", mask="m").jobs
    assert (job.targets[0].name, job.side_images["mask"].name, job.problem) == (*[f"{NOT_UTF8}.png"] * 2, "")


# Inputs


def test_run_without_a_photo_is_an_error_of_one_line(folder: Path) -> None:
    os.mkfifo(folder / "fifo.png")
    touch(folder, "a.png", "raw/b.dng")
    for inputs, message in [
        (["fifo.png"], r"^fifo\.png: found a FIFO, allowed: an image file or a folder$"),
        (["none"], r"^none: no such file or folder \(in .*\)$"),
        (["raw"], r"^raw: no image in this folder; allowed: .*; found 1 \.dng \(not readable by restorekit\)$"),
        (["none", "fifo.png"], r"^none: no such file .*; fifo\.png: found a FIFO"),
        ([], r"^no photo to restore; found no input$"),
        (["*.webp"], r"^\*\.webp: no image matches this pattern"),
    ]:
        with pytest.raises(ImageError, match=message):
            plan(*inputs)
    with pytest.raises(ImageError, match=r"^no photo to restore; found 1 excluded \(--exclude\)$"):
        plan("a.png", exclude=["a.*"])


def test_inputs_that_cannot_be_used_are_failures_and_the_rest_is_restored(folder: Path, monkeypatch) -> None:
    os.mkfifo(folder / "fifo.png")
    touch(folder, "in/a.png", "in/locked/b.png", "in/x.nef", "in/y.NEF")
    (folder / "in" / "broken.png").symlink_to("nowhere.png")
    lock(monkeypatch, Path("in/locked"))
    found = plan("in", "fifo.png")
    assert targets(found) == ["in-fill/a.png"]
    assert [(path.as_posix(), reason) for path, reason in found.failed] == [
        ("in/locked", "cannot be searched (Permission denied)"),
        ("fifo.png", "found a FIFO, allowed: an image file or a folder"),
    ]
    assert found.skipped_counts == {".nef": 2, "broken link": 1}
    assert found.skipped_text == "2 .nef (not readable by restorekit), 1 broken link"


def test_results_of_photos_of_the_run_are_skipped(folder: Path) -> None:
    touch(folder, "re/b.png", "re/b-fill.png", "re/c-fill.png")
    found = plan("re")
    assert [job.source.name for job in found.jobs] == ["b.png", "c-fill.png"]
    assert found.skipped == ((Path("re/b-fill.png"), "result of restorekit"),)
    assert found.skipped_text == "1 result of restorekit"
    assert targets(plan("re/b.png", "re/b-fill.png")) == ["re/b-fill.png"], "the shell expands re/*.png to both"
    assert targets(plan("re/b-fill.png")) == ["re/b-fill-fill.png"]


def test_outputs_and_masks_inside_the_input_are_excluded_but_parent_folders_are_allowed(folder: Path) -> None:
    touch(folder, "in/a.png", "in/out/a.png", "in/masks/a.png")
    assert len(plan("in", output="in/out", mask="in/masks").jobs) == 1
    assert targets(plan("in/masks", output=".")) == ["a.png"]
    found = plan("in", output="in/out", mask="in/masks/a.png")
    assert [job.source.as_posix() for job in found.jobs] == ["in/a.png"]
    assert found.skipped == ()


# Side images


def test_masks_are_one_for_all_or_pair_by_path(folder: Path) -> None:
    touch(folder, "in/a.png", "in/s/b.jpg", "m/a_mask.png", "m/s/b.PNG", "one.png")
    sides = [job.side_images["mask"].as_posix() for job in plan("in", mask="m").jobs]
    assert sides == ["m/a_mask.png", "m/s/b.PNG"]
    assert {job.side_images["mask"] for job in plan("in", mask="one.png").jobs} == {Path("one.png")}


def test_masks_next_to_the_photos_are_no_photos(folder: Path) -> None:
    touch(folder, "in/a.png", "in/a_mask.png", "in/s/b.jpg", "in/s/b-mask.png", "in/c_mask.png")
    found = plan("in", mask="in")
    assert [job.source.name for job in found.jobs] == ["a.png", "c_mask.png", "b.jpg"]
    assert [job.side_images["mask"].name for job in found.jobs if not job.problem] == ["a_mask.png", "b-mask.png"]
    assert targets(plan("in/a.png", "in/a_mask.png", mask="in")) == ["in/a-fill.png"]
    assert len(plan("in", mask="in/a_mask.png").jobs) == 4, "only the mask itself is no photo"


def test_photo_without_a_mask_or_with_two_fails_and_the_others_are_restored(folder: Path) -> None:
    touch(folder, "in/a.png", "in/b.png", "in/c.png", "m/a.png", "m/a.bmp", "m/c.png")
    found = plan("in", mask="m")
    assert targets(found) == ["in-fill/c.png"]
    assert "matches 2 files: a.bmp, a.png" in problems(found)[0]
    assert "m/b.png: no such file" in problems(found)[1]
    with pytest.raises(ImageError, match=r"--mask: none\.png: no such file"):
        plan("in", mask="none.png")


def test_every_folder_is_listed_once_whatever_the_number_of_photos(folder: Path, monkeypatch) -> None:
    for number in range(200):
        touch(folder, f"in/{number % 2}/{number}.png", f"m/{number % 2}/{number}.png")
    listings: list[str] = []
    iterdir = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda self: (listings.append(self.as_posix()), iterdir(self))[1])
    monkeypatch.setattr(Path, "glob", None)
    assert len(targets(plan("in", output="out", mask="m"))) == 200
    assert sorted(listings) == ["in", "in/0", "in/1", "m", "m/0", "m/1"]
