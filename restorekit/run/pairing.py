"""Pairing of photos with the files of a folder of side images, such as masks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from restorekit.core.files import path_kind, search_images
from restorekit.errors import ImageError


def side_stems(stem: str, option: str) -> tuple[str, str]:
    """Return the stems with the suffix of an option: `photo_mask` and `photo-mask` for `photo` and "mask"."""
    return f"{stem}_{option}", f"{stem}-{option.replace('_', '-')}"


def is_side_stem(stem: str, stems: set[str], option: str) -> bool:
    """Return whether a stem is that of another one of the stems with the suffix of an option."""
    suffixes = side_stems("", option)
    return any(stem.endswith(suffix) and stem.removesuffix(suffix) in stems for suffix in suffixes)


class SideFolder:
    """The files of a folder of side images, which is searched once.

    Arguments:
        option: name of the option.
        folder: the folder.
    """

    def __init__(self, option: str, folder: Path) -> None:
        self.option = option
        self.folder = folder
        self._real = folder.resolve()
        self._roots: dict[Path, bool] = {}
        found = search_images(folder)
        # By path without suffix.
        self._images: defaultdict[str, list[Path]] = defaultdict(list)
        for path in found.images:
            self._images[_without_suffix(path)].append(path)
        self._skipped = {_without_suffix(path): (path, kind) for path, kind in found.skipped}
        self._failed = dict(found.failed)

    def is_root(self, root: Path) -> bool:
        """Return whether this is also the folder of the photos."""
        if root not in self._roots:
            self._roots[root] = root.resolve() == self._real
        return self._roots[root]

    def find(self, source: Path, root: Path) -> Path:
        """Return the side image of a photo.

        It has the path of the photo relative to its root, except that the suffix may differ and the stem may be
        followed by `_mask` or `-mask`, the name of the option; it must be if this is also the folder of the photos.

        Raises ImageError if there is none, or several.
        """
        expected = _without_suffix(self.folder / source.relative_to(root))
        suffixed = side_stems(expected, self.option)
        paths = suffixed if self.is_root(root) else (expected, *suffixed)
        found = [file for path in paths for file in self._images.get(path, ())]
        if len(found) > 1:
            names = ", ".join(path.name for path in sorted(found))
            raise ImageError(f"--{self.option}: {source} matches {len(found)} files: {names}")
        if not found:
            raise ImageError(f"--{self.option}: {self._reason(paths)}")
        return found[0]

    def _reason(self, paths: Sequence[str]) -> str:
        """Return why there is no side image with one of the paths, which have no suffix."""
        for folder in Path(paths[0]).parents:
            if folder in self._failed:
                return f"{folder}: {self._failed[folder]}"
        for path in paths:
            if path in self._skipped:
                file, kind = self._skipped[path]
                return f"{file}: found a {kind}, allowed: an image file"
        others = " or ".join(Path(path).name for path in paths[1:])
        return f"{paths[0]}.png: no such file, nor with another suffix or as {others}"


def _without_suffix(path: Path) -> str:
    return str(path).removesuffix(path.suffix)


def check_side_image(option: str, path: Path) -> None:
    """Raise ImageError if a path is neither a folder nor a regular file."""
    try:
        kind = path_kind(path)
    except OSError as error:
        raise ImageError(f"--{option}: {path}: cannot be examined ({error.strerror or error})") from error
    if kind == "missing":
        raise ImageError(f"--{option}: {path}: no such file or folder")
    if kind in ("broken link", "FIFO", "socket", "device"):
        raise ImageError(f"--{option}: {path}: found a {kind}, allowed: an image file or a folder")
