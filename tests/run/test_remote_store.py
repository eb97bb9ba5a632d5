"""Remote files through fsspec."""

from __future__ import annotations

from pathlib import Path

import pytest
from fsspec.implementations.local import LocalFileSystem

from restorekit.errors import ImageError
from restorekit.run import remote_store
from restorekit.run.mirror import mirror_path, new_mirror, url_of
from restorekit.run.remote_store import bucket_of, check_bucket, download, entries, kind, read, remove, upload, write
from tests.run.remote import MEMORY

pytestmark = pytest.mark.usefixtures("stores")


def remote(url: str) -> Path:
    return mirror_path(url, new_mirror())


@pytest.fixture(params=["memory", "shared"])
def folder(request, shared: Path) -> Path:
    """A folder in an object store, and in a store that behaves like a file system."""
    (shared / "bucket").mkdir()
    return remote(f"{request.param}://bucket/in")


def test_files_are_written_and_read(folder: Path) -> None:
    assert (kind(folder), read(folder / "a"), entries(folder)) == ("missing", b"", [])
    for data in (b"first", b"second"):
        write(folder / "a", data)
        assert read(folder / "a") == data
    write(folder / "sub" / "b", b"")
    assert (kind(folder), kind(folder / "a")) == ("folder", "file")
    assert [entry for entry in entries(folder) if entry[0] != ".restorekit"] == [("a", False), ("sub", True)]
    remove(folder / "a")
    remove(folder / "a")
    assert kind(folder / "a") == "missing"


def test_files_are_copied_to_the_mirror_and_back(folder: Path, tmp_path: Path) -> None:
    write(folder / "a", b"data")
    assert download(folder / "a", tmp_path / "copy" / "a")
    assert not download(folder / "none", tmp_path / "copy" / "none")
    assert [path.name for path in (tmp_path / "copy").iterdir()] == ["a"]
    assert (tmp_path / "copy" / "a").read_bytes() == b"data"
    (folder / "b").parent.mkdir(parents=True, exist_ok=True)
    (folder / "b").write_bytes(b"other")
    upload(folder / "b")
    assert read(folder / "b") == b"other"


def test_a_write_that_fails_leaves_the_former_file(shared: Path, monkeypatch) -> None:
    (shared / "bucket").mkdir()
    path = remote("shared://bucket/in/a.png")
    write(path, b"former")

    def broken(self, name, *args, **kwargs):
        Path(name).write_bytes(b"inc")
        raise OSError("connection reset")

    monkeypatch.setattr(LocalFileSystem, "pipe_file", broken)
    with pytest.raises(ImageError, match=r"^shared://bucket/in/a\.png: cannot be written \(connection reset\)$"):
        write(path, b"incomplete")
    assert read(path) == b"former"


def test_a_folder_is_not_listed_in_itself(monkeypatch) -> None:
    """As s3fs does if there is an object `in/`."""
    listed = [{"name": "/bucket/in/", "type": "directory"}, {"name": "/bucket/in/a", "type": "file"}]
    monkeypatch.setattr(type(MEMORY), "ls", lambda self, path, **options: listed)
    assert entries(remote("memory://bucket/in")) == [("a", False)]


@pytest.mark.parametrize(
    ("url", "bucket"),
    [
        ("s3://bucket/in/a.png", "s3://bucket"),
        ("gs://bucket", "gs://bucket"),
        ("hf://datasets/org/name/in/a.png", "hf://datasets/org/name"),
        ("hf://org/name/in", "hf://org/name"),
        ("sftp://host/in", "sftp://host"),
        ("memory://in/a.png", None),
    ],
)
def test_bucket_or_repository_of_a_url(url: str, bucket: str | None) -> None:
    found = bucket_of(remote(url))
    assert (None if found is None else url_of(found)) == bucket


def test_errors_without_text_are_named(monkeypatch) -> None:
    def broken(self, path):
        raise TimeoutError

    monkeypatch.setattr(type(MEMORY), "info", broken)
    with pytest.raises(ImageError, match=r"^memory://bucket/in: cannot be examined \(TimeoutError\)$"):
        check_bucket(remote("memory://bucket/in"))


def test_names_of_several_words_are_kept(folder: Path) -> None:
    write(folder / "a b [1].png", b"data")
    assert ("a b [1].png", False) in entries(folder)
    assert read(folder / "a b [1].png") == b"data"
    assert remote_store.kind(folder / "a b [2].png") == "missing"
