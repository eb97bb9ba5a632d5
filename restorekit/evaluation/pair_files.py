"""Files of degraded and true photos that belong together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from restorekit.core.files import IMAGE_SUFFIXES, find_images
from restorekit.errors import ImageError, OptionError

SUFFIXES = ("_real", "_mean")


class Pair(NamedTuple):
    """Two files that show the same scene; `name` is their path in the folder without suffixes."""

    name: str
    degraded: Path
    true: Path


def find_pairs(folder: Path, true_folder: Path | None = None, suffixes: tuple[str, str] | None = None) -> list[Pair]:
    """Return the pairs below one folder or two, sorted by name; ImageError if a photo has no partner.

    folder: the degraded photos and, without `true_folder`, also the true ones.
    true_folder: photos with the same relative paths; the types of the files may differ.
    suffixes: ends of the names of degraded and of true photos in one folder. Default: `SUFFIXES`.
    """
    if true_folder is not None:
        if suffixes is not None:
            raise OptionError("--suffixes: found two folders, allowed: with one folder only")
        degraded, true = images_by_name(folder), images_by_name(true_folder)
        places = f"in {folder}", f"in {true_folder}"
        expected = "the same relative path and name in both folders"
    else:
        suffixes = SUFFIXES if suffixes is None else suffixes
        if suffixes[0] == suffixes[1]:
            raise OptionError(f"--suffixes: found {suffixes[0]!r} twice, allowed: two different suffixes")
        degraded, true = _by_name(folder, suffixes)
        places = f"*{suffixes[0]}.* in {folder}", f"*{suffixes[1]}.* in {folder}"
        expected = f"pairs of *{suffixes[0]}.* and *{suffixes[1]}.*"
    unpaired = sorted(degraded.keys() ^ true.keys())
    if unpaired:
        name = unpaired[0]
        file, kind, place = (
            (degraded[name], "true", places[1]) if name in degraded else (true[name], "degraded", places[0])
        )
        raise ImageError(f"{file}: no {kind} photo {place} ({len(unpaired)} without a partner); allowed: {expected}")
    return [Pair(name, degraded[name], true[name]) for name in sorted(degraded)]


def images_by_name(folder: Path) -> dict[str, Path]:
    """Return the image files below a folder by path without suffix; ImageError if two have the same one."""
    return _by_name(folder, ("",))[0]


def _by_name(folder: Path, suffixes: Sequence[str]) -> list[dict[str, Path]]:
    """Return for every suffix the image files below the folder whose stems end with it, by path without suffixes."""
    if not folder.is_dir():
        raise ImageError(f"{folder}: no such folder (in {Path.cwd()})")
    files = find_images(folder)
    if not files:
        raise ImageError(f"{folder}: no image in this folder; allowed: {', '.join(sorted(IMAGE_SUFFIXES))}")
    found: dict[str, dict[str, Path]] = {suffix: {} for suffix in suffixes}
    for file in files:
        suffix = max((s for s in suffixes if file.stem.endswith(s)), key=len, default=None)
        if suffix is None:
            ends = " or ".join(suffixes)
            raise ImageError(
                f"{file}: the name has no suffix, allowed: names that end with {ends} (--suffixes), or two folders"
            )
        name = (file.parent / file.stem.removesuffix(suffix)).relative_to(folder).as_posix()
        if name in found[suffix]:
            raise ImageError(f"{folder}: {found[suffix][name].name} and {file.name} have the same name, allowed: one")
        found[suffix][name] = file
    return [found[suffix] for suffix in suffixes]
