"""Images in tar files ("shards") of the format of webdataset, streamed, for data that do not fit a disk.

The files of a sample follow each other, and their names are equal up to the first dot: an image, and optionally its
class. Shards are divided among the processes. Every process reads its shards in a random order in every epoch, and
shuffles the files in a buffer. The order is a function of the seed and the process alone: a resumed run reads the
shards of the current epoch again, without decoding images, up to the sample where it stopped.

The package webdataset is not used: its order depends on the workers, and cannot be resumed.
"""

from __future__ import annotations

import itertools
import json
import random
import sys
import tarfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec

from restorekit.core.files import IMAGE_SUFFIXES
from restorekit.errors import TrainingError

LABELS = (".cls", ".json")
# Larger files are not images.
MAX_FILE_SIZE = 2**28
# Number of samples that can replace a damaged one.
SPARES = 8


@dataclass(frozen=True)
class Sample:
    """The files of a sample.

    Attributes:
        name: the shard and the image, for messages.
        image: the image file.
        label: the file of the class by suffix, those of `LABELS`.
    """

    name: str
    image: bytes
    label: dict[str, bytes] = field(default_factory=dict)


def check_exist(urls: Sequence[str]) -> None:
    """Raise TrainingError if a shard on this machine does not exist; remote ones are opened when they are read."""
    for url in urls:
        if "://" not in url and not Path(url).is_file():
            raise TrainingError(f"data.shards: {url} does not exist (in {Path.cwd()})")


def read_shard(url: str, note: Callable[[str], None]) -> Iterator[Sample]:
    """Yield the samples of a shard that have an image; damaged parts are skipped.

    note: called with the reason of each damage. TrainingError if the shard does not exist or cannot be opened, or if
    reading it fails for another reason than damage, such as a lost connection.
    """
    with _open(url) as file:
        key, image_name, files = "", "", dict[str, bytes]()
        reader: Any = _Reader(file, url)
        try:
            with tarfile.open(fileobj=reader, mode="r|*") as archive:
                for member in archive:
                    path = PurePosixPath(member.name)
                    stem, _, extension = path.name.partition(".")
                    suffix = f".{extension.lower().rpartition('.')[2]}"
                    is_image = suffix in IMAGE_SUFFIXES
                    if not member.isfile() or not stem or not (is_image or suffix in LABELS):
                        continue
                    if member.size > MAX_FILE_SIZE:
                        note(f"{url}: {member.name} has {member.size} bytes, allowed: {MAX_FILE_SIZE}")
                        continue
                    if str(path.parent / stem) != key:
                        yield from _sample(url, image_name, files)
                        key, image_name, files = str(path.parent / stem), "", {}
                    if is_image and image_name:
                        continue
                    content = archive.extractfile(member)
                    assert content is not None
                    files["image" if is_image else suffix] = content.read()
                    image_name = member.name if is_image else image_name
        except (tarfile.TarError, EOFError) as error:
            note(f"{url}: cannot be read to its end ({_reason(error)})")
        yield from _sample(url, image_name, files)


def _sample(url: str, name: str, files: dict[str, bytes]) -> Iterator[Sample]:
    if name:
        yield Sample(f"{url}: {name}", files.pop("image"), files)


def _open(url: str) -> Any:
    """Open a local or remote file; TrainingError if that is not possible."""
    try:
        return fsspec.open(url, "rb").open()
    except Exception as error:  # every store raises its own
        if isinstance(error, FileNotFoundError):
            raise TrainingError(f"data.shards: {url} does not exist (in {Path.cwd()})") from error
        raise TrainingError(f"data.shards: {url} cannot be opened ({_reason(error)})") from error


class _Reader:
    """A file whose `read` raises TrainingError if it fails."""

    def __init__(self, file: Any, url: str) -> None:
        self._file, self._url = file, url

    def read(self, size: int) -> bytes:
        try:
            content: bytes = self._file.read(size)
        except Exception as error:  # every store raises its own
            text = f"data.shards: {self._url} cannot be read to its end ({_reason(error)}); --resume continues"
            raise TrainingError(text) from error
        return content


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


class Samples:
    """The endless, shuffled sequence of the samples of some shards.

    Arguments:
        urls: the shards of this process.
        seed: text that determines the order.
        buffer_size: number of bytes of image files that are shuffled at a time.
    """

    def __init__(self, urls: Sequence[str], seed: str, buffer_size: int) -> None:
        self.urls, self.seed, self.buffer_size = urls, seed, buffer_size
        self._has_noted = False

    def note(self, reason: str) -> None:
        """Print a note about the first damage; later calls have no effect."""
        if not self._has_noted:
            self._has_noted = True
            print(f"train: {reason}; damaged images are skipped, without further notes", file=sys.stderr)

    def start(self, first: int) -> Iterator[tuple[Sample, list[Sample]]]:
        """Yield the samples from number `first` on, each with others that can replace it if its image is damaged."""
        epoch, skip = 0, first
        while True:
            count = 0
            for taken in self._epoch(epoch):
                count += 1
                if count > skip:
                    yield taken
            if count == 0:
                raise TrainingError(f"data.shards: no image in {self.urls[0]} and {len(self.urls) - 1} other shards")
            # All epochs have the same number of samples: those that are skipped entirely are not read.
            skip = max(0, skip - count)
            epoch, skip = epoch + 1 + skip // count, skip % count

    def _epoch(self, epoch: int) -> Iterator[tuple[Sample, list[Sample]]]:
        """Yield the samples of an epoch."""
        rng = random.Random(f"{self.seed}/{epoch}")
        buffer: list[Sample] = []
        recent: deque[Sample] = deque(maxlen=SPARES)
        size = 0
        urls = rng.sample(self.urls, len(self.urls))
        shards = itertools.chain.from_iterable(read_shard(url, self.note) for url in urls)
        for sample in itertools.chain(shards, [None]):
            if sample is not None:
                buffer.append(sample)
                size += len(sample.image)
            while buffer and (sample is None or size > self.buffer_size):
                index = rng.randrange(len(buffer))
                buffer[index], buffer[-1] = buffer[-1], buffer[index]
                taken = buffer.pop()
                size -= len(taken.image)
                yield taken, [*buffer[:SPARES], *recent]
                recent.append(taken)


def class_index(sample: Sample, suffix: str, classes: Sequence[str]) -> int:
    """Return the class of a sample, which its file gives as a name or else an index; TrainingError if it is invalid.

    suffix: ".cls" for a file that contains only the class, ".json" for an object with the key "label".
    """
    try:
        text = sample.label[suffix].decode()
        found = str(json.loads(text)["label"] if suffix == ".json" else text.strip())
        # Names of classes can be numbers.
        if found not in classes and found.isdecimal() and int(found) < len(classes):
            return int(found)
        return classes.index(found)
    except (KeyError, TypeError, ValueError) as error:
        raise TrainingError(
            f"data.labels: {sample.name} has no valid class in {suffix}; allowed: {', '.join(classes)}, or an index"
        ) from error
