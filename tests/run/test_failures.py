"""Failures of one photo, and the ends of a run."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from restorekit.core.noise import image_seed
from restorekit.core.recipe import Recipe, recipe
from restorekit.core.signals import Terminated
from restorekit.run import results as results_module
from restorekit.run.engine import make_engine
from restorekit.run.failures import FULL
from restorekit.run.folder import run_jobs
from restorekit.run.manifest import MANIFEST
from restorekit.run.plan import plan_jobs
from restorekit.run.runner import Runner
from restorekit.run.settings import RunReport, Settings
from restorekit.testing import GaussianPrior
from tests.run.test_folder import save, speckle

ENGINE = make_engine("cpu", "float32")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for i, name in enumerate(("a.png", "b.png", "c.png")):
        save(tmp_path / "in" / name, 6 + i, 5, 3, seed=i)
    return tmp_path / "in"


def run(photos: Path, used: Recipe = speckle, on_done: Callable[[Any], None] = lambda job: None) -> RunReport:
    plan = plan_jobs([photos], photos.parent / "out", used, {})
    return run_jobs(plan, Runner(used, GaussianPrior(), {}, ENGINE), Settings(), on_done)


def raising(error: BaseException) -> Recipe:
    """A recipe that raises for photos of 7 rows, the second one."""

    @recipe("raising")
    def raising(y, prior, noise):
        """Raise."""
        if y.shape[-2] == 7:
            raise error
        return y

    return raising


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("two\nlines"), "ValueError: two lines"),
        (RuntimeError(""), "RuntimeError"),
        (MemoryError(), "out of memory on cpu; reduce --tile or --batch"),
        (torch.OutOfMemoryError("CUDA"), "out of memory on cpu; reduce --tile or --batch"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "out of memory on cpu"),
        (UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates"), "UnicodeEncodeError"),
    ],
)
def test_an_exception_is_the_failure_of_its_photo(photos: Path, error: Exception, message: str) -> None:
    report = run(photos, raising(error))
    assert [path.name for path in report.restored] == ["a.png", "c.png"]
    ((path, text),) = report.failed
    assert path.name == "b.png"
    assert text.startswith(message)
    assert len(text.splitlines()) == 1
    assert "Traceback (most recent call last)" in report.traces[path]


def test_the_position_in_the_recipe_is_part_of_the_message(photos: Path) -> None:
    (failure,) = run(photos, raising(KeyError("x"))).failed
    line = next(i for i, text in enumerate(Path(__file__).read_text().splitlines(), 1) if "raise error" in text)
    assert failure[1] == f"KeyError: 'x' ({__file__}, line {line}); --debug shows the traceback"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_a_full_disk_stops_the_run(photos: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    written = results_module.Results.write

    def write(self: Any, job: Any, *arguments: Any) -> None:
        if job.source.name == "b.png":
            raise OSError(number, os.strerror(number))
        written(self, job, *arguments)

    monkeypatch.setattr(results_module.Results, "write", write)
    report = run(photos)
    assert photos / "b.png" not in report.restored
    assert [path.name for path, _ in report.failed] == ["b.png"]
    assert report.stopped == FULL[number]
    monkeypatch.undo()
    second = run(photos)
    assert (sorted(second.skipped), len(second.restored)) == (sorted(report.restored), 3 - len(report.restored))


def test_an_exception_in_a_batch_is_the_failure_of_its_photo_alone(tmp_path: Path) -> None:
    for i in range(4):
        Image.fromarray(np.full((6, 5, 3), 60 * i, np.uint8)).save(tmp_path / f"{i}.png")

    @recipe("strict")
    def strict(y, prior, noise):
        """Raise for the third photo."""
        if ((y + 1) * 127.5).round().eq(120).all((1, 2, 3)).any():
            raise ValueError("the third")
        return y

    plan = plan_jobs([tmp_path], tmp_path / "out", strict, {})
    report = run_jobs(plan, Runner(strict, GaussianPrior(), {}, ENGINE), Settings(batch=4))
    assert [path.name for path in report.restored] == ["0.png", "1.png", "3.png"]
    assert [path.name for path, _ in report.failed] == ["2.png"]


def test_a_batch_that_is_interrupted_counts_what_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(4):
        save(tmp_path / f"{i}.png", 6, 5, 3, seed=i)
    written = results_module.Results.write

    def write(self: Any, job: Any, *arguments: Any) -> None:
        if job.source.name == "2.png":
            raise KeyboardInterrupt
        written(self, job, *arguments)

    monkeypatch.setattr(results_module.Results, "write", write)
    plan = plan_jobs([tmp_path], tmp_path / "out", speckle, {})
    report = run_jobs(plan, Runner(speckle, GaussianPrior(), {}, ENGINE), Settings(batch=4))
    assert report.stopped == "interrupted"
    assert tmp_path / "2.png" not in report.restored
    monkeypatch.undo()
    second = run_jobs(plan, Runner(speckle, GaussianPrior(), {}, ENGINE))
    assert sorted(second.skipped) == sorted(report.restored)


@pytest.mark.parametrize(
    ("error", "reason"), [(KeyboardInterrupt(), "interrupted"), (Terminated("terminated"), "terminated")]
)
def test_an_interrupt_keeps_the_report(photos: Path, error: BaseException, reason: str) -> None:
    report = run(photos, raising(error))
    names = {path.name for path in report.restored}
    assert "a.png" in names, "a photo that was restored before is written"
    assert "b.png" not in names
    assert (report.stopped, report.failed) == (reason, [])
    assert {path.name for path in (photos.parent / "out").iterdir()} - {MANIFEST} == names


def test_a_result_that_was_deleted_during_the_run_is_a_failure(photos: Path) -> None:
    report = run(photos, on_done=lambda job: job.targets[0].unlink() if job.source.name == "a.png" else None)
    assert [path.name for path in report.restored] == ["b.png", "c.png"]
    assert report.failed == [(photos / "a.png", f"{photos.parent / 'out' / 'a.png'}: deleted during the run")]


def test_names_that_are_not_utf8_have_a_seed(tmp_path: Path) -> None:
    names = [os.fsdecode(name) for name in (b"\xff.png", b"\xfe.png")]
    assert image_seed(0, names[0]) != image_seed(0, names[1])
    save(tmp_path / "in" / names[0], 6, 5, 3)
    report = run(tmp_path / "in")
    assert [os.fsencode(path.name) for path in report.restored] == [b"\xff.png"]
    assert run(tmp_path / "in").skipped


def test_failures_of_the_plan_are_failures_of_the_run(photos: Path) -> None:
    plan = plan_jobs([photos, photos / "none.png"], photos.parent / "out", speckle, {})
    report = run_jobs(plan, Runner(speckle, GaussianPrior(), {}, ENGINE))
    assert len(report.restored) == 3
    assert [path.name for path, _ in report.failed] == ["none.png"]


def test_an_interrupt_after_a_result_was_written_counts_it(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = results_module.Results.write

    def write(*arguments: Any) -> None:
        written(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(results_module.Results, "write", write)
    report = run(photos)
    assert (photos / "a.png" in report.restored, report.stopped) == (True, "interrupted")
