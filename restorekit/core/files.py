"""Image files in folders, and atomic writes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

# Suffixes of image files, and Pillow's names of their formats.
IMAGE_SUFFIXES = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
}
PARTIAL = ".restorekit-part"


def find_images(folder: Path) -> list[Path]:
    """Return the image files below a folder, sorted by path."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to `path`. The file replaces `path` at the end; after an error it is deleted.

    The temporary name contains the process ID, so that `remove_partial_files` keeps the files of running processes.
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
    """Delete the temporary files in a folder that were written by processes that no longer run."""
    for part in folder.glob(f".*{PARTIAL}"):
        pid = part.name.removesuffix(PARTIAL).rpartition(".")[2]
        if not (pid.isdigit() and _is_alive(int(pid))):
            part.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    if os.name == "nt":
        return True  # os.kill would terminate the process
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
