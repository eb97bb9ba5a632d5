"""Photos that are compared side by side: columns of files or folders, rows of photos that belong together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from restorekit.core.files import path_kind
from restorekit.errors import ImageError, OptionError
from restorekit.evaluation.pair_files import images_by_name

TRUTH = "truth"


@dataclass(frozen=True)
class Row:
    """Photos that belong together.

    Attributes:
        name: path without suffix below the folders; the name of the first file if the columns are files.
        files: one file per column.
        truth: the true photo; None without one.
    """

    name: str
    files: tuple[Path, ...]
    truth: Path | None = None


@dataclass(frozen=True)
class Comparison:
    """What is compared.

    Attributes:
        labels: one per column.
        rows: at least one.
        notes: photos that are left out, one line each.
    """

    labels: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


def find_comparison(
    columns: Sequence[Path], truth: Path | None = None, labels: Sequence[str] | None = None
) -> Comparison:
    """Return the rows of photos in files or in folders.

    columns: files of one row, or folders whose photos are paired by path without suffix. Photos that are not in all
        folders are left out, with a note.
    truth: a file, or a folder of photos with the same paths, which may have photos that the columns do not have.
    labels: one per column; by default the names of the files or folders.

    Raises ImageError if a file or folder does not exist or no photo is in all folders, and OptionError for a mixture of
    files and folders or a wrong number of labels.
    """
    if labels and len(labels) != len(columns):
        raise OptionError(f"--label: found {len(labels)}, allowed: one for each of the {len(columns)} columns")
    paths = [*columns, *([] if truth is None else [truth])]
    are_folders = {path: _is_folder(path) for path in paths}
    if len(set(are_folders.values())) > 1:
        folder, file = (next(path for path in paths if are_folders[path] is kind) for kind in (True, False))
        raise OptionError(f"found the folder {folder} and the file {file}, allowed: only files or only folders")
    names = tuple(labels) if labels else _labels(columns, are_folders[paths[0]])
    if not are_folders[paths[0]]:
        return Comparison(names, (Row(columns[0].name, tuple(columns), truth),))
    found = [images_by_name(path) for path in paths]
    shared = [name for name in sorted(found[0]) if all(name in files for files in found)]
    if not shared:
        where = " and ".join(str(path) for path in paths)
        raise ImageError(f"no photo has the same relative path and name in {where}")
    count = len(columns)
    rows = [
        Row(name, tuple(files[name] for files in found[:count]), None if truth is None else found[count][name])
        for name in shared
    ]
    return Comparison(names, tuple(rows), _notes(paths, found, shared, truth))


def _notes(
    paths: Sequence[Path], found: Sequence[dict[str, Path]], shared: Sequence[str], truth: Path | None
) -> tuple[str, ...]:
    """Return a note for every folder whose photos are not all compared; true photos without others do not matter."""
    notes = []
    for path, files in zip(paths, found, strict=True):
        missing = sorted(files.keys() - set(shared))
        if missing and path is not truth:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            notes.append(f"{path}: {files[missing[0]].name}{more} left out, since not all folders have it")
    return tuple(notes)


def _is_folder(path: Path) -> bool:
    try:
        kind = path_kind(path)
    except OSError as error:
        raise ImageError(f"{path}: cannot be examined ({error.strerror or error})") from error
    if kind in ("missing", "broken link"):
        raise ImageError(f"{path}: no such file or folder (in {Path.cwd()})")
    return kind in ("folder", "linked folder")


def _labels(columns: Sequence[Path], are_folders: bool) -> tuple[str, ...]:
    """Return the shortest ends of the paths that are all different; whole paths if there are none."""
    absolute = [path.absolute() for path in columns]
    if not are_folders and len({path.stem for path in columns}) == len(columns):
        return tuple(path.stem for path in columns)
    for count in range(1, max(len(path.parts) for path in absolute)):
        ends = tuple("/".join(path.parts[-count:]) for path in absolute)
        if len(set(ends)) == len(ends):
            return ends
    return tuple(map(str, columns))
