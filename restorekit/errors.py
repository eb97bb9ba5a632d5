"""Errors that a user can act on. Every message says what was found, what is allowed and where."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class RestorekitError(Exception):
    """Base of all errors that are the input's fault; the command line prints them as one line."""


class ImageError(RestorekitError):
    """A file that cannot be read, written or paired."""


class OptionError(RestorekitError):
    """An option, a plan key or a function argument outside what is allowed."""


class ModelError(RestorekitError):
    """A prior that cannot be found, loaded, or used for what was asked."""


class TrainingError(RestorekitError):
    """A training that cannot start or go on."""


class RestorekitWarning(UserWarning):
    """What a person should know of a result; the command line prints it as a note beside the photo's name.

    Arguments:
        text: one line.
        image: index of the image of the batch that it is about; None: all of them.
    """

    def __init__(self, text: str, image: int | None = None) -> None:
        super().__init__(text)
        self.image = image


def unknown(kind: str, found: str, allowed: Iterable[str], where: str) -> str:
    """One line for an unknown name: what was found, where, the nearest name and all that are allowed."""
    names = sorted(allowed)
    near = get_close_matches(found, names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"{where}: unknown {kind} {found!r}.{hint} Allowed: {', '.join(names) or 'none'}."
