"""Remote files through fsspec. Every function takes paths in a mirror; see `restorekit.run.mirror`.

Errors of a store are ImageErrors of one line with the URL.
"""

from __future__ import annotations

import contextlib
import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import fsspec
from fsspec.core import url_to_fs

from restorekit.core.files import atomic_path
from restorekit.errors import ImageError, OptionError, RestorekitError
from restorekit.run.mirror import url_of

# Stores that replace a file only when it has arrived completely. To others, a file is copied under another name first.
_OBJECT_STORES = ("s3", "gs", "abfs", "oss", "hf", "memory")
# First parts of the URLs of repositories whose names have three parts, as hf://datasets/org/name; models have two.
_HUB_KINDS = ("datasets", "spaces", "buckets")
# Folder of records and of incomplete files, in the folder of the results.
PARTS = ".restorekit"


def open_store(path: Path) -> tuple[fsspec.AbstractFileSystem, str]:
    """Return the file system of a path and its name there; OptionError if the scheme or its package is missing."""
    url = _url(path)
    try:
        with errors_of(path, "cannot be opened"):
            store, name = url_to_fs(url)
    except ImageError as error:
        if isinstance(error.__cause__, ImportError | ValueError):
            raise OptionError(f"{url}: {error.__cause__}") from error
        raise
    return store, str(name)


@contextlib.contextmanager
def errors_of(path: Path, problem: str) -> Iterator[None]:
    """Turn any exception into an ImageError that names the URL and the problem."""
    try:
        yield
    except RestorekitError:
        raise
    except Exception as error:  # every store raises its own
        reason = " ".join(str(getattr(error, "strerror", None) or error).split()) or type(error).__name__
        raise ImageError(f"{_url(path)}: {problem} ({reason})") from error


def kind(path: Path) -> Literal["file", "folder", "missing"]:
    """Return the kind of a remote file or folder."""
    store, name = open_store(path)
    with errors_of(path, "cannot be examined"):
        store.invalidate_cache()
        try:
            return "folder" if store.info(name)["type"] == "directory" else "file"
        except FileNotFoundError:
            return "missing"


def entries(folder: Path) -> list[tuple[str, bool]]:
    """Return the names of the files and folders in a folder, each with whether it is a folder; [] if it is missing."""
    store, parent = open_store(folder)
    with errors_of(folder, "cannot be searched"):
        store.invalidate_cache()
        try:
            found = store.ls(parent, detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return []
    names = [(entry["name"].rstrip("/"), entry["type"] == "directory") for entry in found]
    # Object stores list a folder in itself if there is an object with its name.
    return sorted((posixpath.basename(name), is_folder) for name, is_folder in names if name != parent.rstrip("/"))


def download(path: Path, to: Path | None = None) -> bool:
    """Copy a remote file to a path of this machine, by default to its place in the mirror; False if it is missing."""
    (store, name), to = open_store(path), to or path
    with errors_of(path, "cannot be read"):
        to.parent.mkdir(parents=True, exist_ok=True)
        try:
            with atomic_path(to) as part:
                store.get_file(name, str(part))
        except FileNotFoundError:
            return False
    return True


def read(path: Path) -> bytes:
    """Return the contents of a remote file; nothing if it does not exist."""
    store, name = open_store(path)
    with errors_of(path, "cannot be read"):
        try:
            return bytes(store.cat_file(name))
        except FileNotFoundError:
            return b""


def upload(path: Path) -> None:
    """Replace a remote file by its copy in the mirror."""
    with errors_of(path, "cannot be written"), _replaced(path) as (store, name):
        store.put_file(str(path), name)


def write(path: Path, data: bytes) -> None:
    """Replace the contents of a remote file."""
    with errors_of(path, "cannot be written"), _replaced(path) as (store, name):
        store.pipe_file(name, data)


def remove(path: Path) -> None:
    """Delete a remote file, if it exists."""
    store, name = open_store(path)
    with errors_of(path, "cannot be deleted"), contextlib.suppress(FileNotFoundError):
        store.rm_file(name)


def remove_folder(path: Path) -> None:
    """Delete a remote folder if it is empty; in object stores, folders do not exist by themselves."""
    if not _is_object_store(path):
        store, name = open_store(path)
        with contextlib.suppress(OSError):
            store.rmdir(name)


def bucket_of(path: Path) -> Path | None:
    """Return the bucket, host or repository of a path; None in memory."""
    scheme, names = _scheme(path), _url(path).split("://", 1)[1].split("/")
    if scheme == "memory":
        return None
    count = 1 if scheme != "hf" else 3 if names[0] in _HUB_KINDS else 2
    return [path, *path.parents][max(0, len(names) - count)]


def check_bucket(path: Path) -> None:
    """Raise ImageError if the bucket or repository of a path does not exist, or the store cannot be reached."""
    bucket = bucket_of(path)
    if kind(bucket or path) == "missing" and bucket is not None:
        raise ImageError(f"{_url(path)}: {_url(bucket)} does not exist")


@contextlib.contextmanager
def _replaced(path: Path) -> Iterator[tuple[fsspec.AbstractFileSystem, str]]:
    """Yield the file system and the name to write, which becomes that of the path at the end."""
    store, name = open_store(path)
    if _is_object_store(path):
        yield store, name
        return
    folder = path.parent if path.parent.name == PARTS else path.parent / PARTS
    _, part = open_store(folder / f"{path.name[:64]}.part")
    store.makedirs(posixpath.dirname(part), exist_ok=True)
    yield store, part
    store.mv(part, name)


def _is_object_store(path: Path) -> bool:
    return _scheme(path) in _OBJECT_STORES


def _scheme(path: Path) -> str:
    return _url(path).split("://", 1)[0]


def _url(path: Path) -> str:
    url = url_of(path)
    assert url is not None, f"{path}: not in a mirror"
    return url
