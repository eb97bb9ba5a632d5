"""Errors of plugins: any exception that a plugin raises becomes one line with file and line number."""

from __future__ import annotations

import importlib
import os
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import pluggy

from restorekit.errors import RestorekitError

T = TypeVar("T")
# Folders whose frames do not belong to a plugin: restorekit, pluggy and importlib.
INTERNAL = (Path(__file__).parents[1], *(Path(str(module.__file__)).parent for module in (pluggy, importlib)))
# Number of frames of a short traceback.
FRAMES = 4
# Environment variable: whether to print tracebacks.
DEBUG = "RESTOREKIT_DEBUG"


def is_debugging() -> bool:
    """Return True if the environment variable RESTOREKIT_DEBUG asks for tracebacks."""
    return os.environ.get(DEBUG, "").lower() not in ("", "0", "false", "no", "off")


class PluginError(Exception):
    """An exception that the code of a plugin raised, in one line with file and line number.

    Arguments:
        error: the exception.
        files: the files to which the error is attributed, with the other files of their packages; if empty, the first
            file in the traceback that does not belong to restorekit.

    Attributes:
        text: type and message of the exception, one line; of a RestorekitError only the message.
        file, line: last position in the code of the plugin, not in a library; "" and 0 if unknown.
        trace: a short traceback with the frames of the plugin; "" if there are none.
    """

    def __init__(self, error: BaseException, files: Sequence[Path] = ()) -> None:
        message = " ".join(str(error).split())
        # The messages of restorekit's errors are sentences.
        is_sentence = isinstance(error, RestorekitError) and bool(message)
        self.text = message if is_sentence else f"{type(error).__name__}: {message}".rstrip(": ")
        frames = traceback.extract_tb(error.__traceback__)
        positions = [(frame.filename, frame.lineno or 0) for frame in frames if _is_external(frame.filename)]
        if isinstance(error, SyntaxError) and error.filename and error.lineno:
            positions.append((error.filename, error.lineno))
        owners = [str(file) for file in files] or [file for file, _ in positions[:1]]
        plugin_positions = [(file, line) for file, line in positions if _is_in(file, owners)]
        self.file, self.line = plugin_positions[-1] if plugin_positions else ("", 0)
        self.trace = _short_traceback(error, [frame for frame in frames if _is_in(frame.filename, owners)])
        super().__init__(f"{self.text} ({self.file}, line {self.line})" if self.file else self.text)


def _is_external(file: str) -> bool:
    return not file.startswith("<frozen") and not any(folder in Path(file).parents for folder in INTERNAL)


def _short_traceback(error: BaseException, frames: Sequence[traceback.FrameSummary]) -> str:
    """Return the last of these frames and, for a syntax error, the line of code with a mark."""
    lines = traceback.format_list(frames[-FRAMES:])
    if isinstance(error, SyntaxError):
        lines += traceback.format_exception_only(error)[:-1]
    return "".join(lines).rstrip()


def _is_in(file: str, owners: Sequence[str]) -> bool:
    """Return True if a file is one of these files or in the package of one."""
    return any(_in_same_package(owner, file) for owner in owners)


def _in_same_package(first: str, file: str) -> bool:
    """Return True if a file is the first one or in the same package."""
    package = Path(first).parent
    return file == first or ((package / "__init__.py").exists() and package in Path(file).parents)


def call_plugin(call: Callable[[], T], files: Sequence[Path] = ()) -> T:
    """Return call(); any exception, including SystemExit, becomes a `PluginError` with a position in `files`."""
    try:
        return call()
    except (Exception, SystemExit) as error:  # a plugin may raise anything, and restorekit continues
        raise PluginError(error, files) from error
