"""A photo from standard input, and a result to standard output."""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from PIL import Image

from restorekit.core.files import IMAGE_SUFFIXES, readable_formats
from restorekit.errors import ImageError, OptionError
from restorekit.run.discovery import is_pattern

STANDARD = Path("-")
# Name of the file that stands for standard input, without suffix.
INPUT_STEM = "standard-input"


@dataclass(frozen=True)
class StandardFiles:
    """Files that stand for the standard streams.

    Attributes:
        source: the photo.
        target: the file to write; None for the default of the run.
        to_output: whether `target` is to be copied to standard output.
    """

    source: Path
    target: Path | None
    to_output: bool

    def write_output(self) -> None:
        """Copy the result to standard output; nothing is written if there is no result."""
        if self.target is not None and self.target.is_file():
            data = self.target.read_bytes()
            try:
                sys.stdout.buffer.write(data)
                sys.stdout.buffer.flush()
            except OSError as error:
                raise ImageError(f"-: standard output cannot be written ({error.strerror or error})") from error


@contextlib.contextmanager
def standard_files(source: Path, target: Path | None, suffix: str | None) -> Iterator[StandardFiles]:
    """Yield files for a source and a target, of which at least one is `-`; they are deleted at the end.

    A photo from standard input is written to standard output by default.

    suffix: suffix of the format on standard output; None for that of the photo.

    Raises OptionError if the photo from standard input would be written to a folder, or several photos to standard
    output, and ImageError for a closed stream or data that are no image.
    """
    to_output = target == STANDARD or (target is None and source == STANDARD)
    _check_streams(source, target, to_output)
    with tempfile.TemporaryDirectory(prefix="restorekit-") as name:
        folder = Path(name)
        if source == STANDARD:
            data = _read_input()
            source = folder / f"{INPUT_STEM}{_suffix(data)}"
            source.write_bytes(data)
        if to_output:
            target = folder / "output" / f"standard-output{suffix or source.suffix.lower()}"
        yield StandardFiles(source, target, to_output)


def _check_streams(source: Path, target: Path | None, to_output: bool) -> None:
    if to_output and source != STANDARD and (source.is_dir() or is_pattern(source)):
        kind = "a folder" if source.is_dir() else "a pattern"
        raise OptionError(f"--output: - is one image, but the input {source} is {kind}; allowed: one photo")
    if target is not None and not to_output and (target.is_dir() or target.suffix.lower() not in IMAGE_SUFFIXES):
        allowed = ", ".join(sorted(IMAGE_SUFFIXES))
        raise OptionError(f"--output: {target} is no image file, but the input is -; allowed: - or a file ({allowed})")
    # Python sets a stream that is closed at its start to None.
    if to_output and cast(object, sys.stdout) is None:
        raise ImageError("-: standard output is closed")


def _read_input() -> bytes:
    if cast(object, sys.stdin) is None:
        raise ImageError("-: standard input is closed")
    try:
        return sys.stdin.buffer.read()
    except OSError as error:
        raise ImageError(f"-: standard input cannot be read ({error.strerror or error})") from error


def _suffix(data: bytes) -> str:
    """Return the suffix of the format of an encoded image."""
    formats = {file_format: suffix for suffix, file_format in reversed(IMAGE_SUFFIXES.items())}
    try:
        with Image.open(io.BytesIO(data), formats=readable_formats()) as image:
            return formats[str(image.format)]
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        found = f"{len(data)} bytes" if data else "nothing"
        raise ImageError(
            f"-: found {found} on standard input, allowed: an image ({', '.join(readable_formats())})"
        ) from error
