"""URLs, and the paths of the copies of remote files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from restorekit.errors import OptionError
from restorekit.run.mirror import (
    is_url,
    local_path,
    mirror_of,
    mirror_path,
    new_mirror,
    recorded_file,
    recorded_name,
    url_of,
    with_urls,
)

MIRROR = new_mirror()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s3://bucket/in", True),
        ("HF://datasets/org/name", True),
        ("sftp://user@host:22/folder", True),
        ("file:///folder/a.png", False),
        ("local://a.png", False),
        ("s3:/bucket", False),
        ("C://a", False),
        ("folder/a.png", False),
        ("-", False),
    ],
)
def test_urls_are_told_from_paths(text: str, expected: bool) -> None:
    assert is_url(text) == expected


def test_urls_of_local_files_are_paths() -> None:
    assert local_path("file:///folder/a.png") == Path("/folder/a.png")
    assert local_path("folder/a.png") == Path("folder/a.png")


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("s3://bucket/in/a b.png", "s3/bucket/in/a b.png"),
        ("s3://bucket", "s3/bucket"),
        ("hdfs:///data/a.png", "hdfs/_/data/a.png"),
        ("sftp://user@host:22/a.png", "sftp/user@host:22/a.png"),
    ],
)
def test_paths_in_the_mirror_repeat_the_urls(url: str, path: str) -> None:
    assert mirror_path(url, MIRROR) == MIRROR / path
    assert url_of(MIRROR / path) == url


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("s3a://bucket/in", "s3://bucket/in"),
        ("gcs://bucket/in", "gs://bucket/in"),
        ("S3://bucket/in/", "s3://bucket/in"),
    ],
)
def test_urls_of_the_same_file_have_the_same_path(url: str, same: str) -> None:
    assert mirror_path(url, MIRROR) == mirror_path(same, MIRROR)


@pytest.mark.parametrize(
    "url", ["s3://bucket//a.png", "s3://bucket/../a.png", "s3://../a.png", "s3://bucket/./a.png", "zip://a::s3://b/c"]
)
def test_urls_that_cannot_be_paths_are_not_allowed(url: str) -> None:
    with pytest.raises(OptionError, match="found"):
        mirror_path(url, MIRROR)


def test_passwords_are_not_allowed_since_urls_are_recorded() -> None:
    with pytest.raises(OptionError, match="FSSPEC_SFTP_PASSWORD") as error:
        mirror_path("sftp://user:secret@host/a.png", MIRROR)
    assert "secret" not in str(error.value)


def test_local_paths_have_no_url() -> None:
    assert url_of(Path("/restorekit-mirror-1/s3/bucket/a.png")) is None
    assert mirror_of(Path("a.png")) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{MIRROR}/s3/bucket/a.png: damaged", "s3://bucket/a.png: damaged"),
        (f"{MIRROR}/s3/_bucket/a.png", "s3://_bucket/a.png"),
        (f"--mask: {MIRROR}/hdfs/_/a.png, {MIRROR}/s3/bucket", "--mask: hdfs:///a.png, s3://bucket"),
        (f"exists and is ../..{MIRROR}/s3/bucket/a.png", "exists and is s3://bucket/a.png"),
        (json.dumps([f"{MIRROR}/s3/bucket/a.png"]), '["s3://bucket/a.png"]'),
        (f" to {MIRROR}/s3", " to s3://"),
        ("folder/a.png", "folder/a.png"),
    ],
)
def test_texts_name_urls_instead_of_copies(text: str, expected: str) -> None:
    assert with_urls(text) == expected


@pytest.mark.parametrize(
    ("path", "folder", "name"),
    [
        ("in/a.png", "out", None),
        ("s3://bucket/in/a.png", "s3://bucket/out", None),
        ("s3://bucket/in/a.png", "s3://results/out", "s3://bucket/in/a.png"),
        ("s3://bucket/in/a.png", "out", "s3://bucket/in/a.png"),
        ("/in/a.png", "s3://bucket/out", "/in/a.png"),
    ],
)
def test_records_name_files_of_the_same_store_by_relative_paths(path: str, folder: str, name: str | None) -> None:
    file, place = (mirror_path(text, MIRROR) if is_url(text) else Path(text) for text in (path, folder))
    assert recorded_name(file, place) == name
    if name is not None:
        assert recorded_file(name, place, MIRROR / "s3" / "bucket" / "b.png") == file
