"""Settings of the memory allocator of the process."""

from __future__ import annotations

import ctypes
import sys
from typing import Final

# Parameters of mallopt(3).
M_TRIM_THRESHOLD: Final = -1
M_MMAP_MAX: Final = -4
M_ARENA_MAX: Final = -8
# Free memory at the end of the heap that is kept: the largest number of bytes that mallopt accepts.
KEPT_BYTES: Final = 2**31 - 1


def reuse_large_buffers() -> None:
    """Let the process keep the memory of freed buffers, for the next ones; no effect without glibc.

    glibc maps every buffer of more than 32 MiB anew and returns it to the kernel when it is freed, so that a network
    causes a page fault for every 4 KiB of every activation. Afterwards the process keeps up to 2 GiB of free memory;
    `release_free_memory` returns it. Call it before threads are started: only new threads share one heap.
    """
    glibc = _glibc()
    if glibc is not None:
        glibc.mallopt(M_MMAP_MAX, 0)
        glibc.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
        glibc.mallopt(M_ARENA_MAX, 1)


def release_free_memory() -> None:
    """Return free memory to the kernel, as after a photo that was much larger than others; no effect without glibc."""
    glibc = _glibc()
    if glibc is not None:
        glibc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    """Return the C library of the process if it is glibc, otherwise None."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None
