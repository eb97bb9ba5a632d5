"""Running code that is not restorekit's: whatever it raises becomes one line that says where."""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pluggy

T = TypeVar("T")
# Frames of these lie between restorekit and a plugin.
BETWEEN = tuple(Path(str(file)).parent for file in (__file__, pluggy.__file__, importlib.__file__))
# Calls that a short traceback shows.
FRAMES = 4


class ForeignError(Exception):
    """What foreign code raised, in one line with its place.

    Attributes:
        text: the kind of the error and its message, one line.
        file, line: last place in the foreign code itself, not in a library that it called; "" and 0 when unknown.
        trace: the last few calls, a short traceback.

    Arguments:
        error: what was raised.
        home: the one file that is meant; by default the first foreign one, with its package.
    """

    def __init__(self, error: BaseException, home: Path | None = None) -> None:
        self.text = f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")
        frames = traceback.extract_tb(error.__traceback__)
        foreign = [(frame.filename, frame.lineno or 0) for frame in frames if _is_foreign(frame.filename)]
        if isinstance(error, SyntaxError) and error.filename and error.lineno:
            foreign.append((error.filename, error.lineno))
        first = str(home) if home is not None else foreign[0][0] if foreign else ""
        own = [place for place in foreign if _are_one_plugin(first, place[0])]
        self.file, self.line = own[-1] if own else ("", 0)
        self.trace = "".join(traceback.format_list(frames[-FRAMES:])).rstrip()
        super().__init__(f"{self.text} ({self.file}, line {self.line})" if self.file else self.text)


def _is_foreign(file: str) -> bool:
    return not file.startswith("<frozen") and not any(folder in Path(file).parents for folder in BETWEEN)


def _are_one_plugin(first: str, file: str) -> bool:
    """Whether a file is the first one, or lies in its package."""
    package = Path(first).parent
    return file == first or ((package / "__init__.py").exists() and package in Path(file).parents)


def attempt(call: Callable[[], T], home: Path | None = None) -> T:
    """call(); whatever it raises, also an attempt to end the process, is a `ForeignError` (see there for home)."""
    try:
        return call()
    except (Exception, SystemExit) as error:  # foreign code may raise anything, and restorekit goes on
        raise ForeignError(error, home) from error
