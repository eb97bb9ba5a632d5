"""How files of remote jobs come and go."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from restorekit.core.recipe import recipe
from restorekit.errors import ImageError
from restorekit.run import remote_files, remote_store
from restorekit.run.manifest import Manifest, Record
from restorekit.run.mirror import with_urls
from restorekit.run.plan import Job, Plan, plan_jobs
from restorekit.run.remote import RemoteRun
from restorekit.run.remote_files import RemoteFiles
from restorekit.run.results import planned
from restorekit.run.runner import Runner
from restorekit.run.settings import Settings
from restorekit.testing import GaussianPrior
from tests.run.remote import ENGINE, MEMORY, find, messages, png, put, records, run_remote, white
from tests.run.test_folder import fill, speckle

pytestmark = pytest.mark.usefixtures("stores")
IN, OUT = "memory://bucket/in", "memory://bucket/out"


@recipe("fragile")
def fragile(y, prior, noise):
    """Fail for bright photos."""
    if y.mean() > 0.9:
        raise ValueError("too bright")
    return -y


def states(**settings) -> list[str]:
    with RemoteRun() as remote:
        paths = remote.paths([IN], OUT, {})
        plan = plan_jobs(paths.inputs, paths.output, speckle, {})
        return planned(
            plan.jobs, Runner(speckle, GaussianPrior(), {}, ENGINE), Settings(**settings), remote.transfer(plan)
        )


def test_results_that_exist_are_skipped() -> None:
    put(bucket_in_a=png(), bucket_in_b=png(1))
    run_remote(IN, OUT)
    before = MEMORY.info("/bucket/out/a.png")["created"], MEMORY.cat_file("/bucket/out/.restorekit.jsonl")
    report = run_remote(IN, OUT)
    assert [path.name for path in report.skipped] == ["a.png", "b.png"]
    assert (MEMORY.info("/bucket/out/a.png")["created"], MEMORY.cat_file("/bucket/out/.restorekit.jsonl")) == before


@pytest.mark.parametrize(
    ("settings", "outcome"),
    [({}, "restored"), ({"on_change": "keep"}, "kept"), ({"on_change": "fail"}, "failed"), ({"seed": 1}, "restored")],
)
def test_changed_photos_follow_the_setting(settings, outcome: str) -> None:
    put(bucket_in_a=png())
    run_remote(IN, OUT)
    put(bucket_in_a=png(1))
    report = run_remote(IN, OUT, **settings)
    assert len(getattr(report, outcome)) == 1
    assert len(records("bucket/out")) == (2 if outcome != "kept" else 1)


@pytest.mark.parametrize("overwrite", [False, True])
def test_files_that_restorekit_did_not_write_are_replaced_only_on_request(overwrite: bool) -> None:
    put(bucket_in_a=png(), bucket_out_a=png(7))
    report = run_remote(IN, OUT, overwrite=overwrite)
    assert (MEMORY.cat_file("/bucket/out/a.png") == png(7)) != overwrite
    if not overwrite:
        assert messages(report) == [f"{OUT}/a.png: exists, but is not a result of restorekit; --overwrite replaces it"]
        assert records("bucket/out")[0]["error"] == messages(report)[0]


@pytest.mark.parametrize("output", [OUT, "memory://results/out", "{}"])
def test_results_of_another_photo_are_not_replaced(output: str, tmp_path: Path) -> None:
    put(bucket_in_a=png(), bucket_other_a=png(1))
    run_remote(IN, output.format(tmp_path))
    report = run_remote("memory://bucket/other", output.format(tmp_path))
    (message,) = messages(report)
    assert message.endswith(f"a.png: exists and is the result of {IN}/a.png; allowed: another --output, or --overwrite")
    assert len(run_remote(IN, output.format(tmp_path)).skipped) == 1


def test_a_dry_run_finds_the_states_and_writes_nothing() -> None:
    put(bucket_in_a=png(), bucket_in_b=png(1), bucket_in_c=png(2))
    run_remote(IN, OUT)
    MEMORY.rm("/bucket/out/a.png")
    put(bucket_in_b=png(7), bucket_out_c=png(7))
    before = {name: MEMORY.cat_file(name) for name in MEMORY.find("/")}
    failed = f"failed: {OUT}/c.png: exists, but is not a result of restorekit; --overwrite replaces it"
    assert [with_urls(state) for state in states()] == ["new", "redo", failed]
    assert {name: MEMORY.cat_file(name) for name in MEMORY.find("/")} == before


def test_a_mask_of_several_photos_is_copied_once(monkeypatch) -> None:
    put(bucket_in_a=png(), bucket_in_b=png(1), bucket_in_c=png(2), bucket_mask=white())
    copied = []
    monkeypatch.setattr(
        remote_files, "download", lambda path, *to: copied.append(path.name) or remote_store.download(path, *to)
    )
    with RemoteRun() as remote:
        paths = remote.paths([IN], OUT, {"mask": "memory://bucket/mask.png"})
        plan = plan_jobs(paths.inputs, paths.output, fill, paths.side_images)
        transfer = remote.transfer(plan)
        for job in plan.jobs:
            transfer.fetch(job)
            transfer.publish(job)
            assert job.side_images["mask"].read_bytes() == white()
    assert copied.count("mask.png") == 1


def test_files_of_a_job_are_deleted_after_it() -> None:
    put(bucket_in_a=png(), bucket_in_b=png(1), bucket_masks_a=white(), bucket_masks_b=white())
    with RemoteRun() as remote:
        paths = remote.paths([IN], OUT, {"mask": "memory://bucket/masks"})
        plan = plan_jobs(paths.inputs, paths.output, fill, paths.side_images)
        transfer = remote.transfer(plan)
        for job in plan.jobs:
            transfer.fetch(job)
            assert job.source.stat().st_size > 0
            job.targets[0].parent.mkdir(exist_ok=True)
            job.targets[0].write_bytes(png())
            transfer.publish(job)
            assert not job.source.exists()
            assert not job.side_images["mask"].exists()
            assert job.targets[0].stat().st_size == 0
    assert find("bucket/out") == ["a.png", "b.png"]


def test_a_photo_that_cannot_be_read_fails_alone(monkeypatch) -> None:
    put(bucket_in_a=png(), bucket_in_b=png(1), bucket_in_c=png(2))
    get_file = type(MEMORY).get_file

    def broken(self, name, *args, **kwargs):
        if name.endswith("in/a.png"):
            raise ConnectionError("connection reset\nby peer")
        if name.endswith("in/b.png"):
            raise FileNotFoundError(name)
        return get_file(self, name, *args, **kwargs)

    monkeypatch.setattr(type(MEMORY), "get_file", broken)
    report = run_remote(IN, OUT)
    assert [path.name for path in report.restored] == ["c.png"]
    assert messages(report) == [f"{IN}/a.png: cannot be read (connection reset by peer)", f"{IN}/b.png: no such file"]
    assert [record["output"] for record in records("bucket/out")] == ["c.png"]


@pytest.mark.parametrize("name", ["put_file", "pipe_file"])
def test_a_result_that_cannot_be_written_is_a_failure(monkeypatch, name: str) -> None:
    put(bucket_in_a=png())
    with monkeypatch.context() as patch:

        def broken(self, *args, **kwargs):
            raise PermissionError("access denied")

        patch.setattr(type(MEMORY), name, broken)
        report = run_remote(IN, OUT)
    assert "cannot be written (access denied)" in messages(report)[0]
    assert len(report.restored) == (name == "pipe_file"), "the result exists, its record is not in the manifest yet"
    assert ("a.png" in find("bucket/out")) == (name == "pipe_file")
    report = run_remote(IN, OUT)
    assert len(report.restored if name == "put_file" else report.skipped) == 1
    assert find("bucket/out") == [".restorekit.jsonl", "a.png"]


def test_failures_are_recorded() -> None:
    MEMORY.pipe_file("/bucket/in/a.png", white())
    put(bucket_in_b=png())
    report = run_remote(IN, OUT, fragile)
    assert len(report.restored) == len(report.failed) == 1
    report = run_remote(IN, OUT, fragile)
    assert len(report.skipped) == len(report.failed) == 1
    (record,) = [record for record in records("bucket/out") if record["output"] == "a.png"]
    assert "too bright" in record["error"]


def test_a_transfer_can_be_pickled() -> None:
    put(bucket_in_a=png(), bucket_in_b=png(1))
    with RemoteRun() as remote:
        paths = remote.paths([IN], OUT, {})
        plan = plan_jobs(paths.inputs, paths.output, speckle, {})
        first, second = (pickle.loads(pickle.dumps((remote.transfer(plan), job))) for job in plan.jobs)
        for transfer, job in (first, second):
            transfer.fetch(job)
        assert first[1].source.read_bytes() == png()
        second[0].publish(second[1])
        assert first[1].source.exists()


def test_a_published_job_can_be_repeated_in_the_same_mirror() -> None:
    """A worker that was killed after it published a job."""
    put(bucket_in_a=png())
    with RemoteRun() as remote:
        paths = remote.paths([IN], OUT, {})
        (job,) = plan_jobs(paths.inputs, paths.output, speckle, {}).jobs
        for _ in range(2):
            transfer = RemoteFiles(remote.mirror, [job])
            transfer.fetch(job)
            assert job.targets[0].is_file() == bool(find("bucket/out"))
            job.targets[0].parent.mkdir(exist_ok=True)
            job.targets[0].write_bytes(png(1))
            transfer.publish(job)
        MEMORY.rm("/bucket/out/a.png")
        RemoteFiles(remote.mirror, [job]).fetch(job)
        assert not job.targets[0].exists()


def test_records_of_a_worker_that_was_killed_are_published_by_the_next_one() -> None:
    put(bucket_in_a=png())
    with RemoteRun() as remote:
        paths = remote.paths([IN], OUT, {})
        (job,) = plan_jobs(paths.inputs, paths.output, speckle, {}).jobs
        for _ in range(2):
            transfer = RemoteFiles(remote.mirror, [job])
            transfer.fetch(job)
            job.targets[0].parent.mkdir(exist_ok=True)
            Manifest(job.targets[0].parent).append(Record("a.png", {"seed": 0}))
            job.targets[0].write_bytes(png(1))
        transfer.publish(job)
        remote.finish(Plan((job,)))
    assert [record["output"] for record in records("bucket/out")] == ["a.png"]


def test_what_an_interrupted_run_has_not_published_is_published_at_its_end() -> None:
    put(bucket_in_a=png())
    with RemoteRun() as remote:
        paths = remote.paths([IN], OUT, {})
        plan = plan_jobs(paths.inputs, paths.output, speckle, {})
        (target,) = plan.jobs[0].targets
        remote.transfer(plan).fetch(plan.jobs[0])
        target.parent.mkdir(exist_ok=True)
        Manifest(target.parent).append(Record("a.png", {"seed": 0}))
        target.write_bytes(png(1))
        assert remote.finish(plan) == []
    assert find("bucket/out") == [".restorekit.jsonl", "a.png"]


def test_a_job_that_was_not_fetched_publishes_nothing() -> None:
    put(bucket_in_a=png())
    with RemoteRun() as remote:
        source, target = (remote.mirror / "memory" / "bucket" / name / "a.png" for name in ("in", "out"))
        target.parent.mkdir(parents=True)
        target.write_bytes(png())
        transfer = RemoteFiles(remote.mirror, [])
        transfer.publish(Job(source, (target,), {}))
        assert find("bucket/out") == []
        with pytest.raises(ImageError, match="no such file"):
            transfer.fetch(Job(source.with_name("none.png"), (target,), {}))
