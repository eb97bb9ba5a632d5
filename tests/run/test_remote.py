"""Runs with remote inputs and outputs have the results of runs with local ones."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from restorekit.errors import ImageError, OptionError
from restorekit.run import remote_listing
from restorekit.run.plan import plan_jobs
from restorekit.run.remote import RemoteRun
from restorekit.run.remote_store import entries
from tests.run.remote import MEMORY, find, messages, png, put, records, run_remote, white
from tests.run.test_folder import fill, run, speckle

pytestmark = pytest.mark.usefixtures("stores")
TREE = ["a.png", "b.jpg", "raw.cr2", "notes.txt", ".hidden.png", "sub/c.png", "sub/deep/d.png", ".git/e.png"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The same photos in a local folder, which is returned, and in memory://bucket/in."""
    for number, name in enumerate(TREE):
        path = tmp_path / "bucket" / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(number))
        MEMORY.pipe_file(f"/bucket/in/{name}", png(number))
    return tmp_path / "bucket"


def plan(inputs: list[str], output: str | None, **side_images: str):
    with RemoteRun() as remote:
        paths = remote.paths(inputs, output, side_images)
        found = plan_jobs(paths.inputs, paths.output, fill if side_images else speckle, paths.side_images)
        return found, remote.mirror / "memory" / "bucket"


@pytest.mark.parametrize("output", [None, "out"])
@pytest.mark.parametrize(
    "names",
    ["in", "in/a.png", "in/*", "in/sub/c.png in/sub", "in/s*", "in/**/*.png", "*/sub/*.png", "in/**", "in/[ab].*"],
)
def test_remote_inputs_are_planned_like_local_ones(tree: Path, names: str, output: str | None) -> None:
    remote, root = plan([f"memory://bucket/{name}" for name in names.split()], output and f"memory://bucket/{output}")
    local = plan_jobs([tree / name for name in names.split()], output and tree / output, speckle, {})
    assert remote.jobs
    for found, expected in zip(remote.jobs, local.jobs, strict=True):
        assert found.source.relative_to(root) == expected.source.relative_to(tree)
        assert found.targets[0].relative_to(root) == expected.targets[0].relative_to(tree)
    assert remote.skipped_counts == local.skipped_counts


def test_only_folders_that_match_a_pattern_are_listed(tree: Path, monkeypatch) -> None:
    listed = []
    monkeypatch.setattr(remote_listing, "entries", lambda folder: listed.append(folder.name) or entries(folder))
    plan(["memory://bucket/in/*.png"], None)
    assert listed == ["in"]


def test_a_file_whose_name_contains_wildcards_is_not_a_pattern() -> None:
    put(**{"bucket_in_a[1]": png(), "bucket_in_a1": png()})
    found, _ = plan(["memory://bucket/in/a[1].png"], None)
    assert [job.source.name for job in found.jobs] == ["a[1].png"]


def test_remote_side_images_are_paired_like_local_ones() -> None:
    put(bucket_in_a=png(), bucket_in_b=png(), bucket_masks_a=white())
    found, root = plan(["memory://bucket/in"], "memory://bucket/out", mask="memory://bucket/masks")
    assert found.jobs[0].side_images == {"mask": root / "masks" / "a.png"}
    assert "no such file" in found.jobs[1].problem


def test_results_are_those_of_a_local_run(tree: Path) -> None:
    report = run_remote("memory://bucket/in", "memory://bucket/out", samples=2)
    run(tree / "in", tree / "out", samples=2)
    assert len(report.restored) == 4
    assert not report.failed
    files = sorted(str(path.relative_to(tree / "out")) for path in (tree / "out").rglob("*") if path.is_file())
    assert find("bucket/out") == files
    for name in files:
        if not name.endswith(".restorekit.jsonl"):
            assert MEMORY.cat_file(f"/bucket/out/{name}") == (tree / "out" / name).read_bytes()


def test_records_are_those_of_a_local_run(tree: Path) -> None:
    run_remote("memory://bucket/in", "memory://bucket/out")
    MEMORY.get("/bucket/out", str(tree / "copy"), recursive=True)
    report = run(tree / "in", tree / "copy")
    assert len(report.skipped) == 4, "the records of the remote folder are valid in a copy of it"
    assert [record["files"]["source"] for record in records("bucket/out/sub")] == ["../../in/sub/c.png"]


@pytest.mark.parametrize(("inputs", "output"), [("memory://bucket/in", "{}/out"), ("{}/in", "memory://bucket/out")])
def test_one_side_may_be_local(tree: Path, inputs: str, output: str) -> None:
    for name in ("restored", "skipped"):
        report = run_remote(inputs.format(tree), output.format(tree))
        assert len(getattr(report, name)) == 4
    run(tree / "in", tree / "expected")
    expected = (tree / "expected" / "sub" / "c.png").read_bytes()
    if output.startswith("memory"):
        assert MEMORY.cat_file("/bucket/out/sub/c.png") == expected
        assert records("bucket/out/sub")[0]["files"]["source"] == str(tree / "in" / "sub" / "c.png")
    else:
        assert (tree / "out" / "sub" / "c.png").read_bytes() == expected
        assert "memory://bucket/in/sub/c.png" in (tree / "out" / "sub" / ".restorekit.jsonl").read_text()


def test_results_are_written_next_to_the_folder_by_default(tree: Path) -> None:
    run_remote("memory://bucket/in/sub/")
    assert find("bucket/in/sub-speckle") == [".restorekit.jsonl", "c.png", "deep/.restorekit.jsonl", "deep/d.png"]


def test_results_in_the_input_are_not_restored_again() -> None:
    put(bucket_in_a=png())
    for name in ("first", "second"):
        report = run_remote("memory://bucket/in", f"memory://bucket/in/{name}")
        assert [path.name for path in report.restored] == ["a.png"]


def test_copies_are_deleted_at_the_end() -> None:
    put(bucket_in_a=png())
    run_remote("memory://bucket/in", "memory://bucket/out")
    assert list(Path(tempfile.gettempdir()).iterdir()) == []


def test_originals_are_never_overwritten() -> None:
    put(bucket_in_a=png())
    with pytest.raises(OptionError, match=r"^--output: memory://bucket/in/a\.png is an input"):
        run_remote("memory://bucket/in", "memory://bucket/in", overwrite=True)
    assert MEMORY.cat_file("/bucket/in/a.png") == png()


@pytest.mark.parametrize(
    ("url", "output", "error", "message"),
    [
        ("memory://bucket/none", None, ImageError, "^memory://bucket/none: no such file or folder$"),
        ("memory://bucket/*.tif", None, ImageError, r"^memory://bucket/\*.tif: no image matches this pattern$"),
        ("unknown://bucket/in", None, OptionError, "^unknown://bucket/in: Protocol not known: unknown$"),
        ("memory://bucket//in", None, OptionError, "^memory://bucket//in: found an empty part"),
        ("memory://bucket/in", "unknown://bucket", OptionError, "^unknown://bucket: Protocol not known"),
        ("memory://bucket/in", "shared://none/out", ImageError, "^shared://none/out: shared://none does not exist$"),
        ("shared://bucket", None, OptionError, "^shared://bucket: the results cannot be written next to it"),
    ],
)
def test_urls_that_cannot_be_used_end_the_run_before_it_starts(
    shared: Path, url: str, output: str | None, error: type[Exception], message: str
) -> None:
    put(bucket_in_a=png())
    (shared / "bucket").mkdir()
    (shared / "bucket" / "a.png").write_bytes(png())
    with pytest.raises(error, match=message):
        run_remote(url, output)


def test_a_missing_input_does_not_stop_the_others() -> None:
    put(bucket_in_a=png())
    report = run_remote(["memory://bucket/none", "memory://bucket/in"], "memory://bucket/out")
    assert (len(report.restored), messages(report)) == (1, ["no such file or folder"])


def test_names_that_lead_out_of_the_mirror_are_not_allowed(monkeypatch) -> None:
    put(bucket_in_a=png())
    monkeypatch.setattr(remote_listing, "entries", lambda folder: [("..", True)])
    with pytest.raises(ImageError, match=r"^memory://bucket/in/\.\.: not allowed as the name of a file$"):
        run_remote("memory://bucket/in")
