"""Types of the arguments of Python callers, and messages that name them instead of options of the command line."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from restorekit.errors import OptionError, RestorekitError

FLAG = re.compile(r"(?<![\w-])--([a-z][a-z-]*)")
# Options of the command line that have another name in Python.
RENAMED = {"model": "prior"}


@dataclass(frozen=True)
class Kind:
    """What an argument may be.

    Attributes:
        types: its types; a bool does not count as an int.
        text: description for messages.
        low: smallest number.
    """

    types: type | tuple[type, ...]
    text: str
    low: float = float("-inf")

    def allows(self, value: Any) -> bool:
        """Return whether a value is allowed."""
        types = self.types if isinstance(self.types, tuple) else (self.types,)
        wrong_bool = isinstance(value, bool) and bool not in types
        return isinstance(value, self.types) and not wrong_bool and not (isinstance(value, int) and value < self.low)


COUNT, FLAG_KIND = Kind(int, "an integer >= 1, or None", 1), Kind(bool, "True or False")
# The arguments that all recipes share, by name; None is checked by `OPTIONAL`.
KINDS = {
    "device": Kind(str, "a name such as 'auto', 'cpu' or 'cuda:1'"),
    "precision": Kind(str, "'auto', 'float32' or 'bfloat16'"),
    "tile": COUNT,
    "batch": COUNT,
    "workers": COUNT,
    "output_quality": COUNT,
    "format": Kind(str, "a format such as 'png', or None"),
    "output": Kind((str, os.PathLike), "a path, a URL, or None"),
    "lossless": Kind(bool, "True, False or None"),
    "overwrite": FLAG_KIND,
    "compile": FLAG_KIND,
    "uncertainty": FLAG_KIND,
    "trace_frames": Kind(int, "an integer >= 1", 1),
    "report": Kind((bool, str, os.PathLike), "True, False or a path"),
    "progress": Kind(Callable, "a function of two numbers"),  # type: ignore[arg-type]
}
OPTIONAL = ("tile", "batch", "workers", "output_quality", "format", "output", "lossless")


def check_arguments(where: str, **values: Any) -> None:
    """Raise OptionError if one of the arguments that all recipes share has a wrong type."""
    for name, value in values.items():
        kind = KINDS[name]
        if not (value is None and name in OPTIONAL) and not kind.allows(value):
            raise OptionError(f"{where} {name}: found {value!r:.60}, allowed: {kind.text}")


def texts(values: Any, name: str, where: str, kinds: tuple[type, ...] = (str, os.PathLike)) -> tuple[Any, ...]:
    """Return one text or path, or several, as a tuple; OptionError if there is anything else."""
    items = (values,) if isinstance(values, kinds) else values
    items = tuple(items) if isinstance(items, Sequence | Iterator | set) else (items,)
    for item in items:
        if not isinstance(item, kinds):
            allowed = "a path or a list of paths" if os.PathLike in kinds else "a text or a list of texts"
            raise OptionError(f"{where} {name}: found {type(item).__name__}, allowed: {allowed}")
    return items


@contextlib.contextmanager
def python_names() -> Iterator[None]:
    """Return a context in whose errors arguments have the names that they have in Python."""
    try:
        yield
    except RestorekitError as error:
        error.args = tuple(with_python_names(text) if isinstance(text, str) else text for text in error.args)
        raise


def with_python_names(text: str) -> str:
    """Return a message in which `--mask-channel` is `mask_channel`."""
    return FLAG.sub(lambda match: RENAMED.get(match[1], match[1].replace("-", "_")), text)
