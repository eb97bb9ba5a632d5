"""Image files in folders, and atomic writes."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import platform
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path

from restorekit.errors import ImageError

# Suffixes of image files, and Pillow's names of their formats.
IMAGE_SUFFIXES = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".avif": "AVIF",
    ".heic": "HEIF",
    ".heif": "HEIF",
    ".jp2": "JPEG2000",
}
# Suffixes of other well-known image files; a search reports those that are not in IMAGE_SUFFIXES.
_OTHER_SUFFIXES = """
    3fr apng arw avif avifs bpg cin cr2 cr3 crw cur dcr dds dib dng dpx emf eps erf exr fff fit fits flif gif hdr heic
    heics heif heifs hif icns ico iiq j2c j2k jfif jif jls jp2 jpc jpe jpf jpm jpx jxl jxr k25 kdc mef mng mos mrw nef
    nrw orf pam pbm pcx pef pfm pgm pnm ppm psb psd qoi raf ras raw rw2 rwl sgi sr2 srf srw svg tga wbmp wmf x3f xbm xcf
    xpm
"""
KNOWN_SUFFIXES = frozenset(f".{suffix}" for suffix in _OTHER_SUFFIXES.split())
# HEIF files are read with the extra "heif".
HAS_HEIF = find_spec("pillow_heif") is not None
# End of the names of temporary files, different on every host, since process IDs are those of one host.
PARTIAL = f".{hashlib.sha256(platform.node().encode()).hexdigest()[:8]}.restorekit-part"
_PARTIAL_NAME = re.compile(rf"\..*\.([1-9][0-9]*){re.escape(PARTIAL)}", re.DOTALL)
# Names of what a run writes besides results: NAME.KIND.SUFFIX, where NAME is that of a result. They are no photos.
BY_PRODUCT = "by-product of restorekit"
_BY_PRODUCT_NAME = re.compile(
    r".+\.(?:{0})\.(?:trace|mean|std|uncertainty)\.(?:{0})".format("|".join(suffix[1:] for suffix in IMAGE_SUFFIXES)),
    re.DOTALL | re.IGNORECASE,
)
_SPECIAL = {stat.S_IFIFO: "FIFO", stat.S_IFSOCK: "socket", stat.S_IFBLK: "device", stat.S_IFCHR: "device"}


@cache
def readable_formats() -> tuple[str, ...]:
    """Return Pillow's names of the formats of `IMAGE_SUFFIXES` that it reads here, after registering pillow-heif.

    Pillow chooses the format by the contents of a file; without such a list it reads others too, and starts Ghostscript
    for PostScript.
    """
    formats = tuple(dict.fromkeys(IMAGE_SUFFIXES.values()))
    if not HAS_HEIF:
        return tuple(name for name in formats if name != "HEIF")
    from pillow_heif import register_heif_opener

    register_heif_opener(thumbnails=False)
    return formats


@dataclass(frozen=True)
class Search:
    """The image files below a folder, and what a search of it left out; all sorted by path.

    Attributes:
        images: the image files.
        skipped: files and folders that were left out, each with its kind; see `path_kind`.
        failed: files and folders that cannot be examined, each with the reason.
    """

    images: tuple[Path, ...]
    skipped: tuple[tuple[Path, str], ...]
    failed: tuple[tuple[Path, str], ...]


class Entries:
    """Absolute paths without links in the folders; the last part may be a link. Folders are resolved once."""

    def __init__(self) -> None:
        self._folders: dict[str, str] = {}

    def folder(self, path: Path) -> str:
        """Return the resolved folder of a path."""
        folder, _ = os.path.split(path)
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(folder)
        return self._folders[folder]

    def path(self, path: Path) -> str:
        """Return the resolved folder of a path, followed by its name."""
        return f"{self.folder(path)}{os.sep}{path.name}"


def path_kind(path: Path) -> str:
    """Return the kind of a path; OSError if it cannot be determined.

    Regular files are an "image", a "by-product of restorekit" (an image such as photo.jpg.trace.png), an image that
    restorekit cannot read (the suffix in lower case, such as ".cr2"), or another "file". Other paths are a "folder",
    "linked folder", "broken link", "FIFO", "socket", "device" or "missing".
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise
        return "broken link" if path.is_symlink() else "missing"
    if stat.S_ISDIR(mode):
        return "linked folder" if path.is_symlink() else "folder"
    if not stat.S_ISREG(mode):
        return _SPECIAL.get(stat.S_IFMT(mode), "device")
    suffix = path.suffix.lower()
    if _BY_PRODUCT_NAME.fullmatch(path.name):
        return BY_PRODUCT
    if suffix in IMAGE_SUFFIXES and (HAS_HEIF or IMAGE_SUFFIXES[suffix] != "HEIF"):
        return "image"
    return suffix if suffix in KNOWN_SUFFIXES else "file"


def search_images(folder: Path, ignore: Callable[[Path], bool] = lambda path: False) -> Search:
    """Search a folder and its sub-folders for image files.

    Only regular files and links to them are images. Linked sub-folders are skipped, not followed: a link may form a
    loop, or lead to a folder that is searched already or lies outside the input. Hidden files and folders, such as
    `._a.jpg` of macOS, and files that are not images are ignored.

    ignore: called with every other file and sub-folder; those for which it returns True are ignored too.
    """
    images: list[Path] = []
    skipped: list[tuple[Path, str]] = []
    failed: list[tuple[Path, str]] = []
    folders = [folder]
    while folders:
        parent = folders.pop()
        try:
            paths = list(parent.iterdir())
        except OSError as error:
            failed.append((parent, f"cannot be searched ({error.strerror or error})"))
            continue
        for path in paths:
            if path.name.startswith(".") or ignore(path):
                continue
            try:
                kind = path_kind(path)
            except OSError as error:
                failed.append((path, f"cannot be examined ({error.strerror or error})"))
                continue
            if kind == "image":
                images.append(path)
            elif kind == "folder":
                folders.append(path)
            elif kind not in ("file", "missing"):
                skipped.append((path, kind))
    return Search(tuple(sorted(images)), tuple(sorted(skipped)), tuple(sorted(failed)))


def find_images(folder: Path) -> list[Path]:
    """Return the image files below a folder, sorted by path, if there is one.

    Raises ImageError if the folder or a sub-folder cannot be searched.
    """
    if path_kind(folder) == "missing":
        return []
    found = search_images(folder)
    for path, reason in found.failed:
        raise ImageError(f"{path}: {reason}")
    return list(found.images)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 digest of a file as hexadecimal digits; OSError if it cannot be read.

    The digest of an unchanged file (size and time of modification) is computed once.
    """
    found = path.stat()
    return _sha256(path, found.st_ino, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=256)
def _sha256(path: Path, *state: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to `path`. The file replaces `path` at the end; after an error it is deleted.

    The temporary name contains the process ID and identifies the host, so that `remove_partial_files` keeps the files
    of running processes and of other hosts.
    """
    part = path.with_name(f".{path.name[:32]}.{os.getpid()}{PARTIAL}")
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


def remove_partial_files(folder: Path) -> None:
    """Delete the temporary files in a folder that were written on this host by processes that no longer run.

    Everything else is kept: folders, links, files with other names, and files that must not be deleted.
    """
    try:
        paths = list(folder.iterdir())
    except OSError:
        return
    for path in paths:
        match = _PARTIAL_NAME.fullmatch(path.name)
        if match is None or _is_alive(int(match[1])):
            continue
        with contextlib.suppress(OSError):
            if stat.S_ISREG(path.lstat().st_mode):
                path.unlink()


def _is_alive(pid: int) -> bool:
    if os.name == "nt":
        return True  # os.kill would terminate the process
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
