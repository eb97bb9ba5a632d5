"""Verifying results with the digests in their manifests."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from restorekit.core.files import Entries, search_images
from restorekit.errors import ImageError
from restorekit.run.manifest import MANIFEST, Manifest, Record, digest, find_manifests

Condition = Literal["ok", "changed", "missing", "unreadable", "unknown"]


def verify(paths: Sequence[Path]) -> list[tuple[Path, Condition]]:
    """Compare results with the digests in their manifests.

    paths: results, or folders, which are searched recursively.
    Returns the files, each once, with their condition: "ok" if it has the digest of one of its records, "changed",
    "missing", "unreadable", or "unknown" for images in the folders that no record names.
    """
    checked: dict[str, tuple[Path, Condition]] = {}
    entries = Entries()
    for path in paths:
        found = _checked_folder(path) if path.is_dir() else [(path, _condition(path, recorded_results(path)))]
        for file, condition in found:
            checked.setdefault(entries.path(file), (file, condition))
    return list(checked.values())


def _checked_folder(folder: Path) -> Iterator[tuple[Path, Condition]]:
    """Yield the results in a folder, and then the images that are neither results nor made into results."""
    entries, known = Entries(), set()
    for manifest in find_manifests(folder):
        for output, records in _results(manifest).items():
            file = manifest.path.parent / output
            named = (manifest.path.parent / name for record in records for name in record.files.values())
            known |= {entries.path(file), *map(os.path.realpath, named)}
            yield file, _condition(file, records)
    if not known:
        raise ImageError(f"{folder}: no record of a result; allowed: a folder with {MANIFEST}")
    search = search_images(folder)
    for file, _ in search.failed:
        yield file, "unreadable"
    for file in search.images:
        if known.isdisjoint((entries.path(file), os.path.realpath(file))):
            yield file, "unknown"


def _condition(file: Path, records: Sequence[Record]) -> Condition:
    if not file.exists():
        return "missing"
    try:
        found = digest(file)
    except ImageError:
        return "unreadable"
    return "ok" if found in {record.sha256 for record in records} else "changed"


def recorded_results(path: Path) -> list[Record]:
    """Return the records of a result that are not failures, oldest first; ImageError if there is none."""
    records = _results(Manifest(path.parent)).get(path.name, [])
    if not records:
        raise ImageError(f"{path}: no record in {path.parent / MANIFEST}; allowed: a result of restorekit")
    return records


def _results(manifest: Manifest) -> dict[str, list[Record]]:
    """Return the records that are not failures by output, sorted."""
    try:
        outputs = sorted(manifest.latest_results())
        return {output: [r for r in manifest.records(output) if r.error is None] for output in outputs}
    except OSError as error:
        raise ImageError(f"{manifest.path}: cannot be read ({error.strerror or error})") from error
