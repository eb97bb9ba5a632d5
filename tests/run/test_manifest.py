"""Manifests: records, damaged lines, and several processes."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from restorekit.errors import ImageError
from restorekit.run.manifest import MANIFEST, Manifest, Record, digest, find_manifests, parse_record

RECORD = Record("a.png", {"recipe": "denoise", "options": {}}, {"source": "../a.png"}, seconds=1.5, sha256="ab", size=3)


def test_records_survive_the_file(tmp_path: Path) -> None:
    Manifest(tmp_path / "out").append(RECORD)
    failure = replace(RECORD, output="b.png", sha256=None, size=None, error="no memory")
    Manifest(tmp_path / "out").append(failure)
    manifest = Manifest(tmp_path / "out")
    assert manifest.records("a.png") == [RECORD]
    assert manifest.records("b.png") == [failure]
    assert manifest.latest_results() == {"a.png": RECORD}
    assert manifest.records("c.png") == []


def test_a_repeated_record_is_written_once_whatever_its_duration(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path)
    for record in (RECORD, replace(RECORD, seconds=9.0), replace(RECORD, size=4), RECORD):
        manifest.append(record)
    assert [r.size for r in Manifest(tmp_path).records("a.png")] == [3, 4, 3]


def test_records_of_other_processes_are_read(tmp_path: Path) -> None:
    first, second = Manifest(tmp_path), Manifest(tmp_path)
    first.append(RECORD)
    second.append(replace(RECORD, output="b.png"))
    assert first.records("b.png")
    (tmp_path / MANIFEST).write_text("")
    assert first.records("b.png") == []


def test_a_manifest_in_memory_is_much_smaller_than_its_file(tmp_path: Path) -> None:
    lines = [
        replace(RECORD, output=f"{i}.png", request={"options": {"text": f"{i}" * 1000}}).line() for i in range(100)
    ]
    (tmp_path / MANIFEST).write_text("\n".join([*lines, ""]))
    manifest = Manifest(tmp_path)
    tracemalloc.start()
    found = manifest.records("99.png")
    # Only what the manifest allocated: threads of other tests may allocate memory, too.
    ours = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, inspect.getfile(Manifest))])
    size = sum(trace.size for trace in ours.traces)
    tracemalloc.stop()
    assert found[0].request == {"options": {"text": "99" * 1000}}
    assert 0 < size < (tmp_path / MANIFEST).stat().st_size / 4


def test_processes_that_append_at_the_same_time_do_not_mix_their_lines(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from restorekit.run.manifest import Manifest, Record\n"
        "manifest = Manifest(Path(sys.argv[1]))\n"
        "for i in range(100): manifest.append(Record(f'{sys.argv[2]}-{i}.png', {'note': 'x' * 3000}))"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(i)]) for i in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    lines = (tmp_path / MANIFEST).read_text().splitlines()
    assert sorted(json.loads(line)["output"] for line in lines) == sorted(
        f"{p}-{i}.png" for p in "01" for i in range(100)
    )


def test_a_partial_line_of_a_killed_process_is_ignored(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path)
    manifest.append(RECORD)
    with (tmp_path / MANIFEST).open("a") as file:
        file.write('{"output": "b.png", "requ')
    manifest.append(replace(RECORD, output="c.png"))
    assert [bool(Manifest(tmp_path).records(name)) for name in ("a.png", "b.png", "c.png")] == [True, False, True]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b"3",
        b"\xff",
        b"{}",
        b'{"output": "../a.png", "request": {}}',
        b'{"output": 3, "request": {}}',
        b'{"output": "a.png", "request": 3}',
        b'{"output": "a.png", "request": {}, "notes": 3}',
        b'{"output": "a.png", "request": {}, "files": []}',
        b'{"output": "a.png", "request": {}, "unknown": 3}',
        b'{"output": "a.png", "request": {}, "size": "3"}',
        b'{"output": "a.png", "request": {}, "files": {"source": 3}}',
        b"[" * 100_000,
    ],
)
def test_damaged_lines_have_no_record(line: bytes) -> None:
    assert parse_record(line) is None


def test_names_that_are_not_utf8_are_recorded(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff.png")
    Manifest(tmp_path).append(replace(RECORD, output=name))
    assert Manifest(tmp_path).records(name)


def test_manifests_are_found_in_subfolders(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "b", tmp_path / "a"):
        Manifest(folder).append(RECORD)
    (tmp_path / "c" / MANIFEST).mkdir(parents=True)
    assert [m.path.parent for m in find_manifests(tmp_path)] == [tmp_path, tmp_path / "a", tmp_path / "b"]


def test_a_named_pipe_is_an_error_and_no_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / MANIFEST)
    assert Manifest(tmp_path).records("a.png") == []
    with pytest.raises(OSError, match="Illegal seek"):
        Manifest(tmp_path).append(RECORD)


def test_digest_follows_the_contents(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    assert digest(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    path.write_bytes(b"abcd")
    assert digest(path) != "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    with pytest.raises(ImageError, match="cannot be read"):
        digest(tmp_path / "none")
    with pytest.raises(ImageError, match="found a folder or a special file"):
        digest(tmp_path)
