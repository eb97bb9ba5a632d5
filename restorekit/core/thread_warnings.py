"""Recording of warnings in one thread while other threads run.

`warnings.catch_warnings` changes the filters of all threads.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from restorekit.errors import RestorekitWarning

# Modules whose warnings `record_warnings` receives in addition to those of restorekit: they read and write files.
MODULES = r"(PIL|tifffile|imagecodecs|pillow_heif|restorekit)\b"


@dataclass
class _Recorder:
    category: type[Warning]
    messages: list[Warning] = field(default_factory=list)


_recorder: ContextVar[_Recorder | None] = ContextVar("recorder", default=None)
_lock = threading.Lock()
_stack = ExitStack()
_users = 0


@contextmanager
def record_warnings(category: type[Warning]) -> Iterator[list[Warning]]:
    """Record the warnings of a category that this thread emits; yield the list of them.

    Warnings other than `RestorekitWarning` are recorded only if they are attributed to a module that reads or writes
    files, and if no filter of the caller turns them into exceptions first.
    """
    recorder = _Recorder(category)
    with warnings_by_thread():
        token = _recorder.set(recorder)
        try:
            yield recorder.messages
        finally:
            _recorder.reset(token)


@contextmanager
def warnings_by_thread() -> Iterator[None]:
    """Let every thread record its own warnings; a run holds this around all its threads."""
    global _users
    with _lock:
        _users += 1
        if _users == 1:
            _install()
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _stack.close()


def _install() -> None:
    """Pass the warnings to the recorders of their threads."""
    _stack.enter_context(warnings.catch_warnings())
    warnings.filterwarnings("always", module=MODULES)
    warnings.simplefilter("always", RestorekitWarning)
    show = warnings.showwarning

    def record(message: Warning | str, category: type[Warning], *details: Any, **more: Any) -> None:
        recorder = _recorder.get()
        if recorder is not None and isinstance(message, recorder.category):
            recorder.messages.append(message)
        else:
            show(message, category, *details, **more)

    warnings.showwarning = record
