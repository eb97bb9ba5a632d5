"""Settings of the process of a command, for a fast start."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator


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
