"""Records of remote folders: nothing is lost wherever a run is interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from restorekit.core.recipe import recipe
from restorekit.errors import ImageError
from restorekit.run import remote_files, remote_records, remote_store
from restorekit.run.mirror import mirror_path, new_mirror
from restorekit.run.remote_records import merge_records, part_of
from tests.run.remote import MEMORY, find, messages, png, put, records, run_remote, white
from tests.run.test_folder import run

pytestmark = pytest.mark.usefixtures("stores")
IN, OUT = "memory://bucket/in", "memory://bucket/out"
FOLDER = mirror_path(OUT, new_mirror())


@recipe("interrupted")
def interrupted(y, prior, noise):
    """End the run at a bright photo."""
    if y.mean() > 0.9:
        raise KeyboardInterrupt
    return -y


@pytest.fixture(params=["memory", "shared"])
def out(request, shared: Path) -> Iterator[str]:
    """A folder in an object store, and in a store that behaves like a file system."""
    (shared / "bucket").mkdir()
    return f"{request.param}://bucket/out"


def files(url: str, shared: Path) -> list[str]:
    if url.startswith("memory"):
        return find("bucket/out")
    return sorted(str(p.relative_to(shared / "bucket" / "out")) for p in (shared / "bucket" / "out").rglob("*"))


def add_part(name: str, *lines: str) -> None:
    """Write a part of the manifest in memory."""
    part = part_of(FOLDER / name)
    MEMORY.pipe_file(f"/bucket/out/.restorekit/{part.name}", "".join(f"{line}\n" for line in lines).encode())


def manifest() -> list[str]:
    return MEMORY.cat_file("/bucket/out/.restorekit.jsonl").decode().splitlines()


def test_parts_are_merged_and_deleted(out: str, shared: Path) -> None:
    put(bucket_in_a=png(), bucket_in_b=png(1))
    report = run_remote(IN, out)
    assert len(report.restored) == 2
    assert files(out, shared) == [".restorekit.jsonl", "a.png", "b.png"]
    assert len(run_remote(IN, out).skipped) == 2


def test_parts_are_merged_once() -> None:
    put()
    MEMORY.pipe_file("/bucket/out/.restorekit.jsonl", b"1\n2")
    add_part("a.png", "2", "3")
    add_part("b.png", "4")
    merge_records(FOLDER)
    assert manifest()[:2] == ["1", "2"]
    assert sorted(manifest()) == ["1", "2", "3", "4"]
    assert find("bucket/out") == [".restorekit.jsonl"]
    merge_records(FOLDER)
    assert sorted(manifest()) == ["1", "2", "3", "4"]


def test_a_merge_that_was_interrupted_is_repeated(monkeypatch) -> None:
    add_part("a.png", "1")
    with monkeypatch.context() as patch:
        patch.setattr(remote_records, "remove", lambda path: (_ for _ in ()).throw(ImageError("interrupted")))
        with pytest.raises(ImageError, match="interrupted"):
            merge_records(FOLDER)
    assert len(find("bucket/out")) == 2
    merge_records(FOLDER)
    assert (manifest(), find("bucket/out")) == (["1"], [".restorekit.jsonl"])


def test_a_manifest_that_another_run_replaces_is_merged_again(monkeypatch) -> None:
    add_part("a.png", "1")
    others = [b"2\n"]

    def write(path: Path, data: bytes) -> None:
        remote_store.write(path, data)
        if others:
            remote_store.write(path, others.pop())

    monkeypatch.setattr(remote_records, "write", write)
    merge_records(FOLDER)
    assert manifest() == ["2", "1"]
    add_part("b.png", "3")
    others += [b"4\n"] * 9
    with pytest.raises(ImageError, match=r"^memory://bucket/out/\.restorekit\.jsonl: replaced by another run"):
        merge_records(FOLDER)
    assert len(find("bucket/out")) == 2, "the part is kept"


def test_the_record_of_a_result_comes_first(monkeypatch) -> None:
    put(bucket_in_a=png())
    written = []
    monkeypatch.setattr(remote_files, "upload", lambda path: written.append(path.name) or remote_store.upload(path))
    run_remote(IN, OUT)
    assert written == [part_of(FOLDER / "a.png").name, "a.png"]


def test_an_interrupted_run_is_resumed(out: str, shared: Path) -> None:
    put(bucket_in_a=png(), bucket_in_c=png(2))
    MEMORY.pipe_file("/bucket/in/b.png", white())
    report = run_remote(IN, out, interrupted)
    assert report.stopped == "interrupted"
    assert files(out, shared)[:2] == [".restorekit.jsonl", "a.png"]
    put(bucket_in_b=png(1))
    report = run_remote(IN, out, interrupted)
    assert [path.name for path in report.skipped][:1] == ["a.png"]
    assert len(report.skipped + report.restored) == 3


KILLED = """
    import os, signal, sys
    from pathlib import Path
    import fsspec
    from tests.run.remote import SharedFolder, run_remote

    root, folder, moment, name = sys.argv[1:]
    moved = SharedFolder.mv
    def mv(self, part, target, **kwargs):
        if target.endswith(name) and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        moved(self, part, target, **kwargs)
        if target.endswith(name) and moment == "after":
            os.kill(os.getpid(), signal.SIGKILL)
    SharedFolder.root, SharedFolder.mv = Path(root), mv
    fsspec.register_implementation("shared", SharedFolder)
    run_remote("shared://bucket/in", "shared://bucket/out")
"""


@pytest.mark.parametrize("name", ["out/b.png", ".jsonl", "out/.restorekit.jsonl"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_killed_run_is_resumed(shared: Path, tmp_path: Path, moment: str, name: str) -> None:
    (shared / "bucket" / "in").mkdir(parents=True)
    for number, letter in enumerate("abc"):
        (shared / "bucket" / "in" / f"{letter}.png").write_bytes(png(number))
    words = [sys.executable, "-c", textwrap.dedent(KILLED), shared, tmp_path, moment, name]
    environment = {**os.environ, "TMPDIR": str(tmp_path / "killed"), "PYTHONPATH": str(Path(__file__).parents[2])}
    (tmp_path / "killed").mkdir()
    assert subprocess.run(words, env=environment, check=False).returncode == -signal.SIGKILL
    report = run_remote("shared://bucket/in", "shared://bucket/out")
    assert not report.failed
    out, local = shared / "bucket" / "out", tmp_path / "local"
    assert sorted(path.name for path in out.iterdir()) == [".restorekit.jsonl", "a.png", "b.png", "c.png"]
    run(shared / "bucket" / "in", local)
    lines = [json.loads(line) for line in (out / ".restorekit.jsonl").read_text().splitlines()]
    for letter in "abc":
        assert (out / f"{letter}.png").read_bytes() == (local / f"{letter}.png").read_bytes()
        assert any(line["output"] == f"{letter}.png" for line in lines)
    assert len(run_remote("shared://bucket/in", "shared://bucket/out").skipped) == 3


def test_records_that_were_not_merged_mark_results_among_the_photos() -> None:
    put(bucket_in_a=png())
    run_remote(IN, "memory://bucket/in/first")
    lines = MEMORY.cat_file("/bucket/in/first/.restorekit.jsonl")
    MEMORY.rm("/bucket/in/first/.restorekit.jsonl")
    MEMORY.pipe_file("/bucket/in/first/.restorekit/1.jsonl", lines)
    assert [path.name for path in run_remote(IN, "memory://bucket/in/second").restored] == ["a.png"]


def test_records_that_cannot_be_merged_are_reported(monkeypatch) -> None:
    put(bucket_in_a=png())
    with monkeypatch.context() as patch:
        patch.setattr(remote_records, "write", lambda path, data: (_ for _ in ()).throw(ImageError("denied")))
        report = run_remote(IN, OUT)
    assert messages(report) == ["denied"]
    assert len(run_remote(IN, OUT).skipped) == 1
    assert len(records("bucket/out")) == 1
