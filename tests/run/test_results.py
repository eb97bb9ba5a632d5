"""Existing results: which are done, replaced, kept or refused."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import pytest

from restorekit.core.options import Option
from restorekit.core.recipe import recipe
from restorekit.errors import ImageError
from restorekit.run import folder as folder_module
from restorekit.run import job_files
from restorekit.run.engine import make_engine
from restorekit.run.folder import run_jobs
from restorekit.run.formats import Encoding
from restorekit.run.manifest import MANIFEST, Manifest, digest
from restorekit.run.plan import plan_jobs
from restorekit.run.results import check_writable, planned
from restorekit.run.runner import Runner
from restorekit.run.settings import RunReport, Settings
from restorekit.run.side_images import Reading
from restorekit.testing import GaussianPrior
from tests.run.test_folder import fill, save, save_mask

ENGINE = make_engine("cpu", "float32")


@recipe("add", samples=True)
def add(y, prior, noise, *, amount: Annotated[float, Option("Amount.", min=0)] = 0.1):
    """Add noise."""
    return y + amount * noise.like(y)


def run(
    source: Path, target: Path, options: dict[str, Any] | None = None, samples: int = 1, **settings: Any
) -> RunReport:
    plan = plan_jobs([source], target, add, {}, samples=samples)
    return run_jobs(plan, Runner(add, GaussianPrior(), options or {}, ENGINE), Settings(**settings))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return save(tmp_path / "in" / "a.png", 6, 5, 3)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "out" / "a.png"


def test_record_describes_the_result(photo: Path, target: Path) -> None:
    run(photo, target, {"amount": 0.2}, seed=3)
    (record,) = Manifest(target.parent).records("a.png")
    assert record.request == {
        "recipe": "add",
        "options": {"amount": 0.2},
        "models": {"model": "GaussianPrior"},
        "seed": 3,
        "encoding": {},
        "name": "a.png",
        "source": digest(photo),
        "side_images": {},
        "sample": 0,
        "recipe_file": digest(Path(__file__)),
    }
    assert (record.sha256, record.size) == (digest(target), target.stat().st_size)
    assert (target.parent / record.files["source"]).resolve() == photo
    assert record.engine == {"device": "cpu", "precision": "float32", "tile": None}
    assert set(record.versions) == {"restorekit", "torch"}
    assert record.seconds is not None


def test_the_same_request_is_done(photo: Path, target: Path) -> None:
    assert run(photo, target).restored
    before = target.stat().st_mtime_ns, (target.parent / MANIFEST).read_bytes()
    report = run(photo, target)
    assert (report.skipped, report.restored) == ([photo], [])
    assert (target.stat().st_mtime_ns, (target.parent / MANIFEST).read_bytes()) == before


CHANGES: dict[str, dict[str, Any]] = {
    "--amount": {"options": {"amount": 0.2}},
    "seed": {"seed": 1},
    "encoding": {"encoding": Encoding(lossless=True)},
}


@pytest.mark.parametrize("name", CHANGES)
def test_another_request_replaces_keeps_or_fails(photo: Path, target: Path, name: str) -> None:
    run(photo, target)
    first = digest(target)
    report = run(photo, target, **CHANGES[name], on_change="fail")
    message = f"exists with other settings ({name}); --on-change redo or keep allows it"
    assert message in report.failed[0][1]
    assert run(photo, target, **CHANGES[name], on_change="keep").kept == [photo]
    assert digest(target) == first
    assert run(photo, target, **CHANGES[name]).restored == [photo]
    assert run(photo, target, **CHANGES[name]).skipped == [photo]


def test_a_changed_photo_is_restored_again(photo: Path, target: Path) -> None:
    run(photo, target)
    save(photo, 6, 5, 3, seed=7)
    assert "other settings (source)" in run(photo, target, on_change="fail").failed[0][1]
    assert run(photo, target).restored == [photo]


def test_the_record_is_that_of_the_photo_that_was_read(
    photo: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, restore = digest(photo), folder_module.restore_photo

    def restore_and_change(*arguments: Any) -> Any:
        save(photo, 6, 5, 3, seed=8)
        return restore(*arguments)

    monkeypatch.setattr(folder_module, "restore_photo", restore_and_change)
    run(photo, target)
    assert Manifest(target.parent).records("a.png")[0].request["source"] == before
    monkeypatch.undo()
    assert run(photo, target).restored == [photo]


def test_a_changed_side_image_is_noticed(photo: Path, tmp_path: Path) -> None:
    mask, out = save_mask(tmp_path / "m.png", 6, 5), tmp_path / "out" / "a.png"

    def fill_photo(**settings: Any) -> RunReport:
        plan = plan_jobs([photo], out, fill, {"mask": mask})
        return run_jobs(plan, Runner(fill, GaussianPrior(), {"mask": mask}, ENGINE), Settings(**settings))

    assert fill_photo().restored
    assert fill_photo().skipped
    assert fill_photo(readings={"mask": Reading(inverted=True)}).restored
    save_mask(mask, 6, 5, seed=5)
    assert fill_photo(readings={"mask": Reading(inverted=True)}).restored


def test_a_mask_that_is_read_in_another_way_is_noticed(photo: Path, tmp_path: Path) -> None:
    mask, out = save_mask(tmp_path / "m.png", 6, 5), tmp_path / "out" / "a.png"

    def fill_photo(**reading: Any) -> RunReport:
        plan, settings = plan_jobs([photo], out, fill, {"mask": mask}), Settings(readings={"mask": Reading(**reading)})
        return run_jobs(plan, Runner(fill, GaussianPrior(), {"mask": mask}, ENGINE), settings)

    assert fill_photo().restored
    request = Manifest(out.parent).records("a.png")[0].request
    assert request["side_images"]["mask"].keys() == {"sha256", "inverted"}
    for reading in ({"channel": "green"}, {"channel": "green", "resized": True}):
        assert fill_photo(**reading).restored
        assert fill_photo(**reading).skipped


def test_another_model_is_noticed(photo: Path, target: Path) -> None:
    run(photo, target)

    class Other(GaussianPrior):
        pass

    plan = plan_jobs([photo], target, add, {})
    assert run_jobs(plan, Runner(add, Other(), {}, ENGINE)).restored


def test_a_file_that_restorekit_did_not_write_is_never_replaced(photo: Path, target: Path) -> None:
    save(target, 3, 3, 3)
    own = target.read_bytes()
    for settings in ({}, {"on_change": "fail"}):
        report = run(photo, target, **settings)
        assert "is not a result of restorekit; --overwrite replaces it" in report.failed[0][1]
    assert run(photo, target, on_change="keep").kept == [photo]
    assert target.read_bytes() == own
    assert run(photo, target, overwrite=True).restored == [photo]


def test_a_result_that_was_edited_is_never_replaced(photo: Path, target: Path) -> None:
    run(photo, target)
    save(target, 9, 9, 3)
    assert "is not a result of restorekit" in run(photo, target).failed[0][1]


def test_an_earlier_result_of_the_same_size_is_not_taken_for_the_last_one(photo: Path, tmp_path: Path) -> None:
    target = tmp_path / "out" / "a.bmp"
    run(photo, target)
    first = target.read_bytes()
    run(photo, target, seed=1)
    target.write_bytes(first)
    assert len(first) == target.stat().st_size
    assert run(photo, target, seed=1).restored == [photo], "as after a kill between the record and the file"


@pytest.mark.parametrize("kind", ["empty", "missing"])
def test_a_missing_or_empty_result_is_restored(photo: Path, target: Path, kind: str) -> None:
    run(photo, target)
    expected = target.read_bytes()
    target.write_bytes(b"") if kind == "empty" else target.unlink()
    assert run(photo, target).restored == [photo]
    assert target.read_bytes() == expected
    assert len(Manifest(target.parent).records("a.png")) == 1


def test_a_folder_in_the_place_of_a_result_is_a_failure(photo: Path, target: Path) -> None:
    target.mkdir(parents=True)
    plan = plan_jobs([photo.parent], target.parent, add, {})
    report = run_jobs(plan, Runner(add, GaussianPrior(), {}, ENGINE))
    assert "found a folder or a special file, allowed: a file or nothing" in report.failed[0][1]


def test_samples_are_done_together(photo: Path, target: Path) -> None:
    assert run(photo, target, samples=2).restored
    target.with_name("a-1.png").unlink()
    assert run(photo, target, samples=2).restored == [photo]
    assert run(photo, target, samples=2).skipped == [photo]


def test_a_folder_without_rights_is_reported_before_the_restoration(
    photo: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_files, "read_photo", lambda path: pytest.fail("the photo was read"))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert "cannot be written" in run(photo, target).failed[0][1]


def test_a_file_in_the_place_of_a_folder_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(ImageError, match="out is not a folder"):
        check_writable(tmp_path / "out" / "sub" / "a.png")


def test_failures_are_recorded_and_do_not_count_as_results(photo: Path, target: Path) -> None:
    photo.write_text("this is no image")
    run(photo, target)
    assert not target.parent.exists(), "a failure alone creates no folder"
    target.parent.mkdir()
    for _ in range(2):
        run(photo, target)
    (record,) = Manifest(target.parent).records("a.png")
    assert record.error is not None
    assert record.sha256 is None
    save(photo, 6, 5, 3)
    assert run(photo, target).restored == [photo]
    assert run(photo, target).skipped == [photo]


def test_a_plan_states_what_would_be_done(tmp_path: Path, photo: Path, target: Path) -> None:
    run(photo, target)
    save(photo.with_name("b.png"), 6, 5, 3)
    save(photo.with_name("c.png"), 6, 5, 3)
    save(target.with_name("c.png"), 1, 1, 3)
    plan = plan_jobs([photo.parent], target.parent, add, {})
    before = sorted(target.parent.iterdir())
    states = planned(plan.jobs, Runner(add, GaussianPrior(), {}, ENGINE), Settings())
    assert states[:2] == ["done", "new"]
    assert "is not a result of restorekit" in states[2]
    assert planned(plan.jobs[:1], Runner(add, GaussianPrior(), {}, ENGINE), Settings(seed=1)) == ["redo"]
    assert sorted(target.parent.iterdir()) == before


def test_damaged_manifests_never_stop_a_run(photo: Path, target: Path) -> None:
    run(photo, target)
    manifest = target.parent / MANIFEST
    record = json.loads(manifest.read_text())
    for request in ({}, {"options": 3}, record["request"] | {"options": None}):
        manifest.write_text(json.dumps(record | {"request": request}) + "\n")
        assert run(photo, target).restored == [photo]


def test_only_the_missing_samples_are_written(photo: Path, target: Path) -> None:
    own = save(target.with_name("a-1.png"), 3, 3, 3).read_bytes()
    report = run(photo, target, samples=3, on_change="keep")
    assert (report.restored, report.kept) == ([photo], [photo])
    assert target.with_name("a-1.png").read_bytes() == own
    second = target.with_name("a-2.png").read_bytes()
    target.with_name("a-1.png").unlink()
    assert run(photo, target, samples=3).restored == [photo]
    assert target.with_name("a-2.png").read_bytes() == second
    assert len({target.with_name(f"a-{i}.png").read_bytes() for i in (1, 2, 3)}) == 3


def test_the_result_of_another_photo_of_the_same_name_is_not_replaced(
    photo: Path, target: Path, tmp_path: Path
) -> None:
    run(photo, target)
    first, other = target.read_bytes(), save(tmp_path / "other" / "a.png", 6, 5, 3, seed=4)
    assert f"exists and is the result of {photo}; allowed: another --output" in run(other, target).failed[0][1]
    assert target.read_bytes() == first
    photo.unlink()
    assert run(other, target).restored == [other]


def test_an_edit_that_keeps_the_size_is_noticed(photo: Path, tmp_path: Path) -> None:
    target = tmp_path / "out" / "a.bmp"
    run(photo, target)
    data = bytearray(target.read_bytes())
    data[-1] ^= 1
    target.write_bytes(data)
    assert "is not a result of restorekit" in run(photo, target).failed[0][1]


def test_a_manifest_that_is_a_folder_is_reported_before_the_restoration(
    photo: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (target.parent / MANIFEST).mkdir(parents=True)
    monkeypatch.setattr(job_files, "read_photo", lambda path: pytest.fail("the photo was read"))
    assert "allowed: a manifest" in run(photo, target).failed[0][1]


def test_a_result_that_another_run_replaced_is_a_failure(photo: Path, target: Path) -> None:
    plan = plan_jobs([photo], target, add, {})
    runner = Runner(add, GaussianPrior(), {}, ENGINE)
    report = run_jobs(plan, runner, on_done=lambda job: run(photo, target, seed=1) and None)
    assert (report.restored, report.failed[0][1]) == ([], f"{target}: replaced by another run during this one")


def test_photos_that_are_named_twice_are_counted_once_per_target(tmp_path: Path) -> None:
    for name in ("a.png", "s/a.png", "s/t/a.png"):
        save(tmp_path / "p" / name, 6, 5, 3)
    inputs = [tmp_path / "p", tmp_path / "p" / "s", tmp_path / "p" / "s" / "t"]
    plan = plan_jobs(inputs, tmp_path / "out", add, {})
    report = run_jobs(plan, Runner(add, GaussianPrior(), {}, ENGINE))
    written = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("[!.]*.png")}
    assert len(report.restored) == len(written)
    assert not any("deleted" in message for _, message in report.failed)


def test_photos_of_a_batch_have_separate_missing_samples(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        save(tmp_path / "in" / name, 6, 5, 3)
    out = tmp_path / "out"
    plan = plan_jobs([tmp_path / "in"], out, add, {}, samples=2)
    runner = Runner(add, GaussianPrior(), {}, ENGINE)
    run_jobs(plan, runner)
    kept = [out / "a-2.png", out / "b-1.png"]
    before = [path.stat().st_mtime_ns for path in kept]
    for name in ("a-1.png", "b-2.png"):
        (out / name).unlink()
    assert len(run_jobs(plan, runner, Settings(batch=2)).restored) == 2
    assert [path.stat().st_mtime_ns for path in kept] == before
    assert len(list(out.glob("*.png"))) == 4
