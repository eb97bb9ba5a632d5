"""The manifest of a folder of results: one line of JSON for every result, from which it can be reproduced."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import BaseModel, ConfigDict

from restorekit.core.files import file_sha256
from restorekit.errors import ImageError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

MANIFEST = ".restorekit.jsonl"


@dataclass(frozen=True)
class Record:
    """One result, or one failure.

    Attributes:
        output: name of the file in the folder of the manifest.
        request: what determines the result: digests of the photo and the side images, recipe, options, digests of the
            models, seed, number of the sample, and encoding. Two records with the same request have the same result.
        files: the photo ("source") and its side images by name, relative to the folder of the manifest.
        models: the models by name of their option, as the user stated them; those of the Hub with their commit.
        engine: kind of the device, precision and tile size.
        versions: versions of the packages that determine the result.
        seconds: duration of the restoration, without reading and writing.
        notes: notes on the result.
        sha256, size: digest and number of bytes of the output; None after a failure.
        error: why there is no result; None if there is one.
    """

    output: str
    request: Mapping[str, Any]
    files: Mapping[str, str] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    engine: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    seconds: float | None = None
    notes: tuple[str, ...] = ()
    sha256: str | None = None
    size: int | None = None
    error: str | None = None

    def line(self) -> str:
        """Return the record as one line of JSON; None and empty values are omitted."""
        return json.dumps({key: value for key, value in asdict(self).items() if value not in (None, {}, ())})

    def repeats(self, other: Record) -> bool:
        """Return True if the records differ at most in the duration."""
        return {**asdict(self), "seconds": None} == {**asdict(other), "seconds": None}


class Manifest:
    """The manifest of one folder; other processes may append to it at the same time.

    Arguments:
        folder: the folder of the results, which need not exist yet.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / MANIFEST
        # Positions of the lines by output: the records of a large folder would take more memory than its photos.
        self._positions: dict[str, list[int]] = {}
        self._read = 0

    def records(self, output: str) -> list[Record]:
        """Return the records of an output, oldest first."""
        self._update()
        if output not in self._positions:
            return []
        with self.path.open("rb") as file:
            found = [_record_at(file, position) for position in self._positions[output]]
        return [record for record in found if record is not None and record.output == output]

    def latest_results(self) -> dict[str, Record]:
        """Return the last record of every output that is not a failure."""
        self._update()
        results = {output: [r for r in self.records(output) if r.error is None] for output in self._positions}
        return {output: records[-1] for output, records in results.items() if records}

    def append(self, record: Record) -> None:
        """Append a record, unless it repeats the last record of its output."""
        previous = self.records(record.output)
        if previous and record.repeats(previous[-1]):
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab+", buffering=0) as file, _locked(file):
            data = (self._line_break(file) + record.line() + "\n").encode()
            if file.write(data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
            os.fsync(file)

    @staticmethod
    def _line_break(file: FileIO) -> str:
        """Return a line break if a process that was killed left a part of a line."""
        if not file.seek(0, os.SEEK_END):
            return ""
        file.seek(-1, os.SEEK_END)
        return "" if file.read(1) == b"\n" else "\n"

    def _update(self) -> None:
        """Read the lines that were appended since the last call."""
        size = self.path.stat().st_size if self.path.is_file() else 0
        if size < self._read:
            self._positions, self._read = {}, 0
        if size == self._read:
            return
        with self.path.open("rb") as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                record = parse_record(line)
                if record is not None:
                    self._positions.setdefault(record.output, []).append(self._read)
                self._read += len(line)


def _record_at(file: BinaryIO, position: int) -> Record | None:
    file.seek(position)
    return parse_record(file.readline())


class _Line(BaseModel):
    """The types of a line; the manifest may have been changed by hand."""

    model_config = ConfigDict(extra="forbid", strict=True)

    output: str
    request: dict[str, Any]
    files: dict[str, str] = {}
    models: dict[str, str] = {}
    engine: dict[str, Any] = {}
    versions: dict[str, str] = {}
    seconds: float | None = None
    notes: list[str] = []
    sha256: str | None = None
    size: int | None = None
    error: str | None = None


def parse_record(line: bytes) -> Record | None:
    """Return the record of a line; None for a damaged line."""
    try:
        values = dict(_Line.model_validate(json.loads(line)))
    except (ValueError, RecursionError):
        return None
    record = Record(**{**values, "notes": tuple(values["notes"])})
    # An output never leaves the folder.
    return record if Path(record.output).name == record.output else None


@contextlib.contextmanager
def _locked(file: FileIO) -> Iterator[None]:
    """Wait until no other process appends, where the system and the file system have locks.

    Without them, a line is still written by one call. Closing the file ends the lock.
    """
    if fcntl is not None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
    yield


def find_manifests(path: Path) -> Iterator[Manifest]:
    """Yield the manifests of a folder and its subfolders, sorted by path."""
    for file in sorted(path.rglob(MANIFEST)):
        if file.is_file():
            yield Manifest(file.parent)


def digest(path: Path) -> str:
    """Return the SHA-256 digest of a file as hexadecimal digits; ImageError if it cannot be read.

    The digest of an unchanged file (size and time of modification) is computed once.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ImageError(f"{path}: found a folder or a special file, allowed: a file")
        return file_sha256(path)
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror or error})") from error
