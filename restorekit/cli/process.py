"""Settings of the process of a command, for a fast start and little memory."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Iterator

# Capacities of the caches of oneDNN and of torch's interface to it, 1024 entries by default. Two networks require about
# 100 entries for each shape of their inputs.
CAPACITIES = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "256", "LRU_CACHE_CAPACITY": "8"}


def limit_caches() -> None:
    """Let torch keep compiled kernels for a few shapes of images only, unless the environment says otherwise.

    Photos that are smaller than a tile, each of another size, would fill hundreds of MiB. There is no effect after the
    first evaluation of a network.
    """
    for name, capacity in CAPACITIES.items():
        os.environ.setdefault(name, capacity)


@contextlib.contextmanager
def paused_collection() -> Iterator[None]:
    """Pause the garbage collector while torch is imported for the first time.

    It would examine the objects of torch again and again. Later collections leave them out.
    """
    if "torch" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread.

    Loading a model takes hundreds of short operations. If other processes are running, each of them would wait for the
    other threads of torch to be scheduled.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
