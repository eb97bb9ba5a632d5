"""Errors that a user can fix. Every message states what was found, what is allowed and where."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

# Longest list of names in a message.
MOST_NAMES = 100


def printable(text: str) -> str:
    r"""Return the text as one line that is safe on a terminal: characters that are not printable become escapes.

    Names in files and folders can contain line feeds, terminal escapes, and bytes that are not UTF-8.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shortened(value: object, length: int = 80) -> str:
    """Return the value as text of at most `length` characters for a message."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= length else text[: length - 3] + "..."


class RestorekitError(Exception):
    """Base class of errors that a user can fix; the command line prints them as one line (see `printable`)."""

    def __str__(self) -> str:
        return printable(super().__str__())


class ImageError(RestorekitError):
    """Raised if a file cannot be read, written or paired."""


class OptionError(RestorekitError):
    """Raised if an option, a key of a plan or an argument of a function is not allowed."""


class ModelError(RestorekitError):
    """Raised if a model cannot be found, loaded or used for the task."""


class TrainingError(RestorekitError):
    """Raised if a training run cannot start or resume, or diverges."""


class RestorekitWarning(UserWarning):
    """A warning about a result; the command line prints it as a note with the path of the photo.

    Arguments:
        text: the message, one line.
        image: index of the image in the batch; None for all images.
    """

    def __init__(self, text: str, image: int | None = None) -> None:
        super().__init__(text)
        self.image = image


def unknown(kind: str, found: str, allowed: Iterable[str], where: str) -> str:
    """Return the message for an unknown name: where it was found, the nearest allowed name and all allowed names.

    Of more than `MOST_NAMES` names, such as the classes of ImageNet, the nearest are listed.
    """
    names = sorted(allowed)
    near = get_close_matches(found, names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    if len(names) > MOST_NAMES:
        nearest = get_close_matches(found, names, n=10, cutoff=0.2) or names[:10]
        return f"{where}: unknown {kind} {found!r}.{hint} Allowed: {len(names)} names, such as {', '.join(nearest)}."
    return f"{where}: unknown {kind} {found!r}.{hint} Allowed: {', '.join(names) or 'none'}."
