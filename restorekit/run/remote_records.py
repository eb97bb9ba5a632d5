"""Records of remote folders.

Object stores cannot append to a file. During a run, the records of every result are therefore a file of their own, a
part of the manifest, in the folder `.restorekit` next to the results. At the end of a run, the parts are merged into
the manifest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from restorekit.errors import ImageError
from restorekit.run.manifest import MANIFEST
from restorekit.run.mirror import url_of
from restorekit.run.remote_store import PARTS, entries, open_store, read, remove, remove_folder, write

T = TypeVar("T")
_SUFFIX = ".jsonl"
# Files that are read or deleted at the same time, in stores that allow it.
_CONNECTIONS = 16
_ATTEMPTS = 3


def part_of(target: Path) -> Path:
    """Return the file with the records of a target that are not in the manifest yet."""
    name = hashlib.sha256(target.name.encode()).hexdigest()[:32]
    return target.parent / PARTS / f"{name}{_SUFFIX}"


def download_records(folder: Path) -> None:
    """Copy the manifest of a remote folder with all its parts to the mirror."""
    lines = _merged(read(folder / MANIFEST), _for_each(read, _parts(folder)))
    (folder / MANIFEST).write_bytes(_joined(lines))


def merge_records(folder: Path) -> None:
    """Merge the parts of the manifest of a remote folder into it, and delete them.

    The parts are deleted after the manifest with their records has been read again, so that nothing is lost if this is
    interrupted at any time.
    """
    parts = _parts(folder)
    if not parts:
        return
    manifest, contents = folder / MANIFEST, _for_each(read, parts)
    for _ in range(_ATTEMPTS):
        present = read(manifest)
        lines = _merged(present, contents)
        if lines == present.splitlines():
            break
        write(manifest, _joined(lines))
    else:
        raise ImageError(f"{url_of(manifest)}: replaced by another run at the same time; the same command merges it")
    _for_each(remove, parts)
    remove_folder(folder / PARTS)


def _parts(folder: Path) -> list[Path]:
    found = entries(folder / PARTS)
    return [folder / PARTS / name for name, is_folder in found if name.endswith(_SUFFIX) and not is_folder]


def _for_each(function: Callable[[Path], T], paths: Sequence[Path]) -> list[T]:
    """Return the results of a function for files of one folder; stores that allow it are used in several threads."""
    if len(paths) < 2 or not open_store(paths[0])[0].async_impl:
        return [function(path) for path in paths]
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        return list(pool.map(function, paths))


def _merged(manifest: bytes, parts: Iterable[bytes]) -> list[bytes]:
    """Return the lines of a manifest, and then those of its parts that it does not contain."""
    lines = manifest.splitlines()
    known = set(lines)
    for part in parts:
        new = [line for line in part.splitlines() if line not in known]
        lines += new
        known |= set(new)
    return lines


def _joined(lines: Iterable[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)
