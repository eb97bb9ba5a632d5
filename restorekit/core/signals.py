"""Stopping a run by SIGINT (Ctrl-C) or SIGTERM."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Tells a loop whether a signal arrived.

    Attributes:
        number: number of the signal; None if there was none.
    """

    def __init__(self) -> None:
        self.number: int | None = None

    @property
    def requested(self) -> bool:
        """True if a signal arrived."""
        return self.number is not None

    @property
    def exit_code(self) -> int:
        """Exit code of a process that the signal stopped: 130 for SIGINT, 143 for SIGTERM; 0 without a signal."""
        return 0 if self.number is None else 128 + self.number


@contextlib.contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Record the first SIGINT or SIGTERM instead of ending the process: `with stop_on_signals() as stop: ...`.

    The loop checks `stop.requested` after every step. A second signal has its usual effect: SIGINT raises
    KeyboardInterrupt, SIGTERM ends the process. An ignored signal stays ignored. The former handlers are restored at
    the end. Outside the main thread, which alone can handle signals, nothing is changed.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    former: dict[signal.Signals, Any] = {}

    def restore() -> None:
        for number, handler in former.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def record(number: int, frame: FrameType | None) -> None:
        stop.number = number
        restore()

    try:
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                former[number] = signal.signal(number, record)
        yield stop
    finally:
        restore()


class Terminated(KeyboardInterrupt):
    """Raised by SIGTERM within `sigterm_raises`."""


@contextlib.contextmanager
def sigterm_raises() -> Iterator[None]:
    """Raise `Terminated` at SIGTERM, as Python raises KeyboardInterrupt at SIGINT; without effect outside the main
    thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def terminate(number: int, frame: FrameType | None) -> None:
        raise Terminated("terminated")

    former = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if former is None else former)
