"""Results of earlier runs among the photos of a run."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from restorekit.core.files import Entries
from restorekit.run.manifest import MANIFEST, Manifest

_NUMBER = re.compile(r"-[1-9][0-9]*$")


def find_earlier_results(photos: Iterable[Path], recipe: str) -> set[Path]:
    """Return the photos that are results of other photos of the same run.

    A result is recognised by the manifest of its folder, or by its name: `photo-RECIPE.png` is the result of photo.png,
    and `folder-RECIPE/photo.png` that of `folder/photo.png`. Results without their photos are photos like any other,
    so that a folder of results can be restored with another recipe.
    """
    photos, entries = list(photos), Entries()
    stems = {(entries.folder(photo), photo.stem) for photo in photos}
    files = {entries.path(photo) for photo in photos}
    folders = {photo.parent: entries.folder(photo) for photo in photos}
    manifests = {folder: Manifest(folder) for folder in folders if _has_manifest(folder)}
    mirrored = {folder: _mirrored(Path(folder), recipe) for folder in set(folders.values())}
    name = re.compile(rf"(.+)-{re.escape(recipe)}(-[1-9][0-9]*)?", re.DOTALL)
    found = set()
    for photo in photos:
        folder, stem = entries.folder(photo), photo.stem
        match = name.fullmatch(stem)
        keys = [(folder, match[1])] if match else []
        keys += [(source, text) for source in mirrored[folder] for text in (stem, _NUMBER.sub("", stem))]
        if not stems.isdisjoint(keys) or not files.isdisjoint(_recorded_sources(manifests, photo, entries)):
            found.add(photo)
    return found


def _mirrored(folder: Path, recipe: str) -> list[str]:
    """Return the folders whose photos have their results in a folder, as the names state."""
    sources = []
    for parent in (folder, *folder.parents):
        name = parent.name.removesuffix(f"-{recipe}")
        if name and name != parent.name:
            sources.append(str(parent.with_name(name) / folder.relative_to(parent)))
    return sources


def _has_manifest(folder: Path) -> bool:
    with contextlib.suppress(OSError):
        return (folder / MANIFEST).is_file()
    return False


def _recorded_sources(manifests: Mapping[Path, Manifest], photo: Path, entries: Entries) -> Iterator[str]:
    """Yield the photos of which a file is the result, as its folder's manifest states.

    A recorded source that is the file itself does not count: the folder was renamed to that of the photos.
    """
    if not manifests or photo.parent not in manifests:
        return
    with contextlib.suppress(OSError, ValueError):
        for record in manifests[photo.parent].records(photo.name):
            source = record.files.get("source")
            if record.error is None and isinstance(source, str):
                path = entries.path(Path(os.path.normpath(photo.parent.absolute() / source)))
                if path != entries.path(photo):
                    yield path
