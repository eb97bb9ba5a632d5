"""Remote inputs, listed once: empty files in the mirror stand for them, so that a run is planned as for local ones."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

from restorekit.errors import ImageError
from restorekit.run.discovery import has_wildcard
from restorekit.run.manifest import MANIFEST
from restorekit.run.mirror import url_of
from restorekit.run.remote_records import download_records
from restorekit.run.remote_store import PARTS, entries, kind


def list_input(path: Path) -> None:
    """Create empty files for the remote files that a path in a mirror names, or that match it as a pattern.

    Nothing is created if there are none. The records of the folders are downloaded, since they state which of the
    photos are results of other ones.
    """
    found = kind(path)
    if found == "file":
        _place(path, is_folder=False)
    elif found == "folder":
        _list_folder(path, ())
    elif has_wildcard(str(path)):
        first = next(number for number, part in enumerate(path.parts) if has_wildcard(part))
        _list_folder(Path(*path.parts[:first]), path.parts[first:])


def _list_folder(root: Path, pattern: tuple[str, ...]) -> None:
    """Create empty files for the files below a folder.

    pattern: parts of a pattern that the paths have to match as far as it goes; a part `**` ends it.
    """
    folders = [root]
    while folders:
        folder = folders.pop()
        found = entries(folder)
        _place(folder, is_folder=True)
        if any(name in (MANIFEST, PARTS) for name, _ in found):
            download_records(folder)
        for name, is_folder in found:
            path = folder / name
            if name in ("", ".", "..") or path.name != name:
                raise ImageError(f"{url_of(folder)}/{name}: not allowed as the name of a file")
            if name.startswith(".") or not _may_match(path.relative_to(root).parts, pattern):
                continue
            if is_folder:
                folders.append(path)
            else:
                _place(path, is_folder=False)


def _may_match(parts: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    for part, expected in zip(parts, pattern, strict=False):
        if "**" in expected:
            return True
        if not fnmatchcase(part, expected):
            return False
    return True


def _place(path: Path, is_folder: bool) -> None:
    """Create an empty file or folder that stands for a remote one."""
    try:
        (path if is_folder else path.parent).mkdir(parents=True, exist_ok=True)
        if not is_folder:
            path.touch()
    except OSError as error:
        raise ImageError(f"{url_of(path)}: cannot be copied to this machine ({error.strerror or error})") from error
