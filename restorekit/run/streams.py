"""A photo from standard input, and a result to standard output."""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from restorekit.core.files import IMAGE_SUFFIXES, readable_formats
from restorekit.errors import ImageError

STANDARD = Path("-")


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
            sys.stdout.buffer.write(self.target.read_bytes())
            sys.stdout.buffer.flush()


@contextlib.contextmanager
def standard_files(source: Path, target: Path | None, suffix: str | None) -> Iterator[StandardFiles]:
    """Yield files for a source and a target, of which at least one is `-`; they are deleted at the end.

    A photo from standard input is written to standard output by default.

    suffix: suffix of the format on standard output; None for that of the photo.
    """
    with tempfile.TemporaryDirectory(prefix="restorekit-") as name:
        folder = Path(name)
        to_output = target == STANDARD or (target is None and source == STANDARD)
        if source == STANDARD:
            data = sys.stdin.buffer.read()
            source = folder / f"standard-input{_suffix(data)}"
            source.write_bytes(data)
        if to_output:
            target = folder / "output" / f"standard-output{suffix or source.suffix.lower()}"
        yield StandardFiles(source, target, to_output)


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
