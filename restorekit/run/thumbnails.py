"""Thumbnails of the photos of a run before and after, in a temporary file, so that they need no memory."""

from __future__ import annotations

import base64
import json
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

from PIL import Image

from restorekit.errors import ImageError
from restorekit.run.display import changed_part, read_8_bits, shrunk, to_srgb, webp_files
from restorekit.run.images import pixel_count

# Bytes of the images of all photos together, and limits for one photo. A run of more than about 13,000 photos needs
# more than the total.
TOTAL, LEAST, MOST = 40_000_000, 3000, 120_000
# Long side of the images in pixels if there are at least that many bytes for a photo.
SIDES = ((60_000, 480), (0, 320))
# Least number of bytes for a photo with a detail, and largest side of the detail in pixels.
WITH_DETAIL, DETAIL = 24_000, 256
# A photo with more pixels has no detail.
MAX_PIXELS = 64_000_000
# Number of samples of a photo that are shown.
MAX_SAMPLES = 6


@dataclass(frozen=True)
class Shown:
    """What the thumbnails of a photo show.

    Attributes:
        size: width and height of the photo, upright; None if it cannot be read.
        result_size: those of the first result; None if there is none.
        shown: number of results among the images.
        detail: left, top, width and height, in pixels of the photo, of the part that changed the most; None if it is
            not shown.
        change: mean absolute difference between the photo and the first result, 0 to 255; None if it is unknown.
    """

    size: tuple[int, int] | None = None
    result_size: tuple[int, int] | None = None
    shown: int = 0
    detail: tuple[int, int, int, int] | None = None
    change: float | None = None


class Thumbnails:
    """Thumbnails by number of the photo; they can be added in several threads. `with Thumbnails(...) as thumbnails`.

    Arguments:
        count: number of photos of the run, which determines the size of the thumbnails.
    """

    def __init__(self, count: int) -> None:
        self.limit = min(MOST, max(LEAST, TOTAL // max(1, count)))
        self.side = next(side for limit, side in SIDES if self.limit >= limit)
        self.shown: dict[int, Shown] = {}
        self._lock = threading.Lock()
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # closed by __exit__

    def __enter__(self) -> Thumbnails:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, number: int, source: Path, results: tuple[Path, ...]) -> None:
        """Read the files of a photo and add its thumbnails; files that cannot be read have none.

        Raises OSError if the temporary file cannot be written.
        """
        images, shown = self._images(source, results)
        files = webp_files(images, self.limit) if images else []
        texts = [base64.b64encode(file).decode() for file in files]
        if shown.size is None and texts:
            texts.insert(0, "")
        line = f"{number} {json.dumps(texts)}\n".encode()
        with self._lock:
            self._file.write(line)
            self.shown[number] = shown

    def lines(self) -> Iterator[tuple[int, str]]:
        """Yield the number of every photo and a JSON list of its images, WebP files in base 64.

        The images are the photo ("" if it cannot be read), the first results, and the detail before and after.
        """
        self._file.seek(0)
        for line in self._file:
            number, _, texts = line.decode().rstrip("\n").partition(" ")
            yield int(number), texts

    def _images(self, source: Path, results: tuple[Path, ...]) -> tuple[list[Image.Image], Shown]:
        """Return the images of a photo in the order of `lines`, and what they show."""
        has_detail = self.limit >= WITH_DETAIL and all(
            pixel_count(path) <= MAX_PIXELS for path in (source, *results[:1])
        )
        side = None if has_detail else self.side
        before, after = _read(source, side), _read(results[0], side) if results else None
        number = 1 + (MAX_SAMPLES - 1) * (self.limit >= WITH_DETAIL)
        others = [found for path in results[1:number] if (found := _read(path, self.side)) is not None]
        kept = [found for found in (before, after, *(others if after else [])) if found is not None]
        images = [to_srgb(shrunk(image, self.side)) for image, _ in kept]
        shown = Shown(
            None if before is None else before[1],
            None if after is None else after[1],
            0 if after is None else 1 + len(others),
        )
        if not has_detail or before is None or after is None:
            return images, shown
        part = changed_part(before[0], after[0], DETAIL)
        if part is None:
            return images, shown
        left, top, right, bottom = part.box
        shown = replace(shown, change=part.change)
        if not part.change:
            return images, shown
        return [*images, part.before, part.after], replace(shown, detail=(left, top, right - left, bottom - top))


def _read(path: Path, side: int | None) -> tuple[Image.Image, tuple[int, int]] | None:
    try:
        return read_8_bits(path, side)
    except ImageError:
        return None
