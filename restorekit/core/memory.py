"""Settings of the process that limit its memory: the allocator of the C library and the caches of torch."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Final

# Parameters of mallopt(3).
M_TRIM_THRESHOLD: Final = -1
M_MMAP_MAX: Final = -4
M_ARENA_MAX: Final = -8
# Free memory at the end of the heap that is kept: the largest number of bytes that mallopt accepts.
KEPT_BYTES: Final = 2**31 - 1
# Capacities of the caches of oneDNN and of torch's interface to it, 1024 entries by default. Two networks require about
# 100 entries for each shape of their inputs.
CAPACITIES = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "256", "LRU_CACHE_CAPACITY": "8"}


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


def limit_caches() -> None:
    """Let torch keep compiled kernels for a few shapes of images only, unless the environment says otherwise.

    Photos that are smaller than a tile, each of another size, would fill hundreds of MiB. There is no effect after the
    first evaluation of a network.
    """
    for name, capacity in CAPACITIES.items():
        os.environ.setdefault(name, capacity)


def _glibc() -> ctypes.CDLL | None:
    """Return the C library of the process if it is glibc, otherwise None."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None
