"""The folder of a mirror on this machine, which the last of the processes that use it deletes."""

from __future__ import annotations

import atexit
import shutil
from functools import cache
from pathlib import Path
from typing import BinaryIO

from restorekit.errors import ImageError
from restorekit.run.mirror import find_mirrors

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_LOCK = ".lock"


@cache
def use_mirror(mirror: Path) -> BinaryIO:
    """Create a mirror if it does not exist, and keep it until this process ends or releases it.

    Returns the file whose lock all processes share that use the mirror.
    """
    try:
        mirror.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = (mirror / _LOCK).open("ab")
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_SH)
    except OSError as error:
        raise ImageError(f"{mirror}: cannot be created for remote files ({error.strerror or error})") from error
    atexit.register(release_mirror, mirror)
    return file


def release_mirror(mirror: Path) -> None:
    """Delete a mirror, unless other processes use it."""
    use_mirror(mirror).close()
    _remove_unused(mirror)


def remove_unused_mirrors() -> None:
    """Delete the mirrors of processes that were killed."""
    if fcntl is not None:
        for mirror in find_mirrors():
            _remove_unused(mirror)


def _remove_unused(mirror: Path) -> None:
    try:
        with (mirror / _LOCK).open("rb") as file:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(mirror, ignore_errors=True)
    except OSError:
        return
