"""Errors of plugins: any exception that a plugin raises becomes one line with file and line number."""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pluggy

T = TypeVar("T")
# Folders whose frames do not belong to a plugin: restorekit, pluggy and importlib.
INTERNAL = (Path(__file__).parents[1], *(Path(str(module.__file__)).parent for module in (pluggy, importlib)))
# Number of frames of a short traceback.
FRAMES = 4


class PluginError(Exception):
    """An exception that the code of a plugin raised, in one line with file and line number.

    Arguments:
        error: the exception.
        file: the file to which the error is attributed; None for the first file in the traceback that belongs to a
            plugin, and the other files of its package.

    Attributes:
        text: type and message of the exception, one line.
        file, line: last position in the code of the plugin, not in a library; "" and 0 if unknown.
        trace: a short traceback.
    """

    def __init__(self, error: BaseException, file: Path | None = None) -> None:
        self.text = f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")
        frames = traceback.extract_tb(error.__traceback__)
        positions = [(frame.filename, frame.lineno or 0) for frame in frames if _is_external(frame.filename)]
        if isinstance(error, SyntaxError) and error.filename and error.lineno:
            positions.append((error.filename, error.lineno))
        first = str(file) if file is not None else positions[0][0] if positions else ""
        plugin_positions = [position for position in positions if _in_same_package(first, position[0])]
        self.file, self.line = plugin_positions[-1] if plugin_positions else ("", 0)
        self.trace = "".join(traceback.format_list(frames[-FRAMES:])).rstrip()
        super().__init__(f"{self.text} ({self.file}, line {self.line})" if self.file else self.text)


def _is_external(file: str) -> bool:
    return not file.startswith("<frozen") and not any(folder in Path(file).parents for folder in INTERNAL)


def _in_same_package(first: str, file: str) -> bool:
    """Return True if a file is the first one or in the same package."""
    package = Path(first).parent
    return file == first or ((package / "__init__.py").exists() and package in Path(file).parents)


def call_plugin(call: Callable[[], T], file: Path | None = None) -> T:
    """Return call(); any exception, including SystemExit, becomes a `PluginError`, which describes `file`."""
    try:
        return call()
    except (Exception, SystemExit) as error:  # a plugin may raise anything, and restorekit continues
        raise PluginError(error, file) from error
