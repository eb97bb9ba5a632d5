"""Photos of a run: files, folders and patterns on the command line, and what is left out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePath

from restorekit.core.files import BY_PRODUCT, IMAGE_SUFFIXES, Search, path_kind, search_images
from restorekit.errors import OptionError
from restorekit.run.mirror import url_of

# Kinds of what is left out, besides those of `path_kind`.
EXCLUDED = "excluded"
RESULT = "result of restorekit"
_EXPLANATIONS = {"linked folder": " (not followed; name it as an input)", EXCLUDED: " (--exclude)"}
# Singular and plural of the kinds whose plural differs.
_NAMES = {kind: (kind, f"{kind}s") for kind in ("broken link", "linked folder", "FIFO", "socket", "device")}
_NAMES |= {RESULT: (RESULT, "results of restorekit"), BY_PRODUCT: (BY_PRODUCT, "by-products of restorekit")}


@dataclass(frozen=True)
class Found:
    """A photo that was found.

    Attributes:
        path: the photo.
        root: the folder to which the paths of its results and side images are relative.
        in_folder: whether the root is an input, whose tree is mirrored; False for files and patterns.
    """

    path: Path
    root: Path
    in_folder: bool

    @property
    def relative(self) -> Path:
        """Path of the photo in its root."""
        return self.path.relative_to(self.root)


@dataclass
class Inputs:
    """The photos of a run, in the order of the inputs and sorted by path in each of them.

    Attributes:
        photos: the photos.
        skipped: files and folders that were left out, each with its kind.
        failed: inputs and sub-folders that cannot be used, each with the reason.
    """

    photos: list[Found] = field(default_factory=list)
    skipped: list[tuple[Path, str]] = field(default_factory=list)
    failed: list[tuple[Path, str]] = field(default_factory=list)


def find_photos(inputs: Sequence[Path], ignored: Iterable[Path], exclude: Sequence[str] = ()) -> Inputs:
    """Return the photos that files, folders and patterns name.

    inputs: files; folders, which are searched with their sub-folders; patterns such as `photos/*.jpg` and
        `photos/**/*.jpg`, unless a file of that name exists. A pattern stands for the files and folders that match it;
        with `**`, which matches any number of folders, for the files. Hidden files and folders do not match.
    ignored: files and folders in the searched folders that are not searched.
    exclude: patterns of files and folders to leave out; see `matches`.
    """
    finder = _Finder(frozenset(path.resolve() for path in ignored), exclude)
    for path in inputs:
        if is_pattern(path):
            finder.add_pattern(path)
        else:
            finder.add_path(path)
    return finder.found


def is_pattern(path: Path) -> bool:
    """Return whether a path contains wildcards and does not exist."""
    return has_wildcard(str(path)) and not os.path.lexists(path)


def matches(path: PurePath, patterns: Sequence[str]) -> bool:
    """Return whether a relative path, one of its folders, or the name of one of them matches a pattern.

    The patterns are those of the shell, and `*` also matches `/`. Upper and lower case differ. A trailing `/` is
    ignored.
    """
    folders = [parent for parent in path.parents if parent.name]
    names = {text for part in (path, *folders) for text in (part.as_posix(), part.name)}
    return any(fnmatchcase(name, pattern.rstrip("/")) for pattern in patterns for name in names)


def describe_skipped(skipped: Iterable[tuple[Path, str]]) -> str:
    """Return what was left out by kind and number, such as "3 .cr2 (not readable by restorekit), 1 broken link"."""
    counts = sorted(Counter(kind for _, kind in skipped).items())
    return ", ".join(
        f"{number} {_NAMES.get(kind, (kind, kind))[number > 1]}{_explanation(kind)}" for kind, number in counts
    )


def _explanation(kind: str) -> str:
    if kind in IMAGE_SUFFIXES:
        return " (requires the extra 'heif')"
    return " (not readable by restorekit)" if kind.startswith(".") else _EXPLANATIONS.get(kind, "")


class _Finder:
    """Collects photos; `ignored` holds resolved paths."""

    def __init__(self, ignored: frozenset[Path], exclude: Sequence[str]) -> None:
        self.ignored = ignored
        self.exclude = exclude
        self.found = Inputs()

    def add_path(self, path: Path) -> None:
        """Add a file or folder that was named."""
        kind = self._kind(path)
        if kind in ("folder", "linked folder"):
            self._add_folder(path)
        elif kind == "missing":
            self.found.failed.append((path, f"no such file or folder{_folder_of(path)}"))
        elif kind and matches(Path(path.name) if path.is_absolute() else path, self.exclude):
            self.found.skipped.append((path, EXCLUDED))
        elif kind == BY_PRODUCT:
            self.found.skipped.append((path, kind))
        elif kind in ("image", "file") or kind.startswith("."):
            self.found.photos.append(Found(path, path.parent, in_folder=False))
        elif kind:
            self.found.failed.append((path, f"found a {kind}, allowed: an image file or a folder"))

    def _add_folder(self, folder: Path) -> None:
        search = self._search(folder)
        if not search.images and not search.failed:
            reason = f"no image in this folder; allowed: {', '.join(sorted(IMAGE_SUFFIXES))}"
            found = describe_skipped(search.skipped)
            self.found.failed.append((folder, f"{reason}; found {found}" if found else reason))
            return
        self.found.photos += [Found(path, folder, in_folder=True) for path in search.images]
        self.found.skipped += search.skipped
        self.found.failed += search.failed

    def _search(self, folder: Path) -> Search:
        """Search a folder; the result also contains what `exclude` leaves out."""
        real = folder.resolve()
        inside = {path for path in self.ignored if real in path.parents}
        excluded: list[tuple[Path, str]] = []

        def ignore(path: Path) -> bool:
            relative = path.relative_to(folder)
            entry = path.resolve() if path.is_symlink() else real / relative
            if not inside.isdisjoint((entry, *entry.parents)):
                return True
            if matches(relative, self.exclude):
                excluded.append((path, EXCLUDED))
                return True
            return False

        search = search_images(folder, ignore if inside or self.exclude else lambda path: False)
        return replace(search, skipped=tuple(sorted([*search.skipped, *excluded])))

    def add_pattern(self, pattern: Path) -> None:
        """Add the files and folders that match a pattern."""
        parts = pattern.parts
        first = next(index for index, part in enumerate(parts) if has_wildcard(part))
        root, rest = Path(*parts[:first]), [*parts[first:], *(["*"] if parts[-1] == "**" else [])]
        if any("**" in part and part != "**" for part in rest):
            raise OptionError(f"{pattern}: found ** in a name, allowed: ** between slashes, such as photos/**/*.jpg")
        paths = set(root.glob("/".join(rest)))
        before = len(self.found.photos) + len(self.found.failed)
        if "**" in rest:
            self._add_recursive(root, paths)
        else:
            self._add_matches(root, paths)
        if len(self.found.photos) + len(self.found.failed) == before:
            self.found.failed.append((pattern, f"no image matches this pattern{_folder_of(pattern)}"))

    def _add_recursive(self, root: Path, paths: Set[Path]) -> None:
        """Add those of the paths that a search of the root finds."""
        search = self._search(root)
        self.found.photos += [Found(path, root, in_folder=False) for path in search.images if path in paths]
        self.found.skipped += [
            (path, kind) for path, kind in search.skipped if path in paths or kind == "linked folder"
        ]
        self.found.failed += search.failed

    def _add_matches(self, root: Path, paths: Set[Path]) -> None:
        """Add the paths like named ones; files that are no images and hidden files are left out."""
        for path in sorted(paths):
            relative = path.relative_to(root)
            kind = self._kind(path)
            if any(part.startswith(".") for part in relative.parts) or kind in ("", "file", "missing"):
                continue
            if matches(relative, self.exclude):
                self.found.skipped.append((path, EXCLUDED))
            elif kind in ("folder", "linked folder"):
                self._add_folder(path)
            elif kind == "image":
                self.found.photos.append(Found(path, root, in_folder=False))
            else:
                self.found.skipped.append((path, kind))

    def _kind(self, path: Path) -> str:
        """Return the kind of a path; "" if it cannot be examined, which is then a failure."""
        try:
            return path_kind(path)
        except OSError as error:
            self.found.failed.append((path, f"cannot be examined ({error.strerror or error})"))
            return ""


def _folder_of(path: Path) -> str:
    """Return " (in FOLDER)" with the folder to which a local path is relative."""
    return "" if url_of(path) else f" (in {Path.cwd()})"


def has_wildcard(text: str) -> bool:
    """Return whether a path is a pattern, unless a file of that name exists."""
    return any(character in text for character in "*?[")
