"""Images before and after a restoration in notebooks."""

from __future__ import annotations

import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from restorekit.errors import OptionError, printable
from restorekit.run.display import (
    changed_part,
    data_uri,
    read_shown,
    shrunk,
    to_8_bits,
    to_srgb,
    webp_files,
)
from restorekit.run.image_input import ImageInput, read_image
from restorekit.run.images import from_pillow, read_photo
from restorekit.run.photo import Photo, from_stacked, to_pillow
from restorekit.run.plan import Job

# Long side of images in pixels, alone and in a table; bytes of a pair of images; side of the part at full resolution.
SIDE, SMALL_SIDE, BYTES, PART = 480, 160, 160_000, 240
# An image is enlarged by a whole number, up to this width in pixels.
ENLARGED = 240
# Numbers of photos and of messages in the table of a report.
SHOWN, MESSAGES = 6, 10
GAP = 8


class BeforeAfter:
    """Two images that a notebook shows side by side, and the part where they differ the most at full resolution.

    Arguments:
        before, after: photos; the second may have another size.
        notes: lines below the images.
    """

    def __init__(self, before: Photo, after: Photo, notes: Sequence[str] = ()) -> None:
        self._photos, self.notes = (to_8_bits(before), to_8_bits(after)), tuple(notes)

    def __repr__(self) -> str:
        sizes = (f"{image.width} x {image.height}" for image in self._photos)
        return f"<BeforeAfter: {' and '.join(sizes)} pixels>"

    def _repr_html_(self) -> str:
        """Return both images as HTML."""
        rows = [self._figures(self._shown(), ("before", "after"))]
        part = changed_part(*self._photos, PART) if max(self._photos[1].size) > SIDE else None
        if part is not None and part.change:
            rows.append(self._figures((part.before, part.after), ("where they differ the most", "after")))
        notes = "".join(f"<li>{html.escape(printable(note))}</li>" for note in self.notes)
        return "".join(rows) + (f"<ul>{notes}</ul>" if notes else "")

    def _repr_png_(self) -> bytes:
        """Return both images, side by side, as a PNG file."""
        images = self._shown()
        page = Image.new("RGBA", (sum(image.width for image in images) + GAP, max(image.height for image in images)))
        page.paste(images[0], (0, 0))
        page.paste(images[1], (images[0].width + GAP, 0))
        buffer = io.BytesIO()
        page.save(buffer, "PNG")
        return buffer.getvalue()

    def _shown(self) -> tuple[Image.Image, Image.Image]:
        before, after = (to_srgb(shrunk(image, SIDE)) for image in self._photos)
        return before, after

    def _figures(self, images: Sequence[Image.Image], labels: Sequence[str]) -> str:
        files = webp_files(images, BYTES)
        figures = [_figure(file, image.width, label) for file, image, label in zip(files, images, labels, strict=True)]
        return f'<div style="display: flex; flex-wrap: wrap; gap: {GAP}px">{"".join(figures)}</div>'


class RestoredImage(Image.Image):
    """A restored image: a PIL image that notebooks show beside the image before.

    Copies keep these attributes; other methods, such as `convert`, return images without them.

    Attributes:
        notes: what the recipe found, and what may be wrong with the image, one line each.
        seconds: duration of the restoration.
    """

    notes: tuple[str, ...]
    seconds: float
    _photo: Photo

    @property
    def before(self) -> Image.Image:
        """The image before, upright."""
        return to_pillow(self._photo)

    def _repr_html_(self) -> str:
        """Return the images before and after as HTML."""
        return self._before_after()._repr_html_()

    def _repr_png_(self) -> bytes:
        """Return the images before and after, side by side, as a PNG file."""
        return self._before_after()._repr_png_()

    def _repr_jpeg_(self) -> None:
        """Return None: notebooks use the PNG file."""

    def _before_after(self) -> BeforeAfter:
        return BeforeAfter(self._photo, from_pillow(self), (*self.notes, f"{self.seconds:.1f} s"))

    def copy(self) -> RestoredImage:
        """Return a copy with the same attributes."""
        copied: RestoredImage = with_before(super().copy(), self._photo, self.notes, self.seconds)
        return copied

    __copy__ = copy

    def __eq__(self, other: object) -> bool:
        """Return whether the images are equal; what they were made from does not count."""
        return self._plain() == (other._plain() if isinstance(other, RestoredImage) else other)

    __hash__ = None  # type: ignore[assignment]  # as for all PIL images

    def _plain(self) -> Image.Image:
        plain = Image.Image()
        plain.__dict__.update({name: value for name, value in self.__dict__.items() if name not in OWN})
        return plain

    def __getstate__(self) -> list[Any]:
        return [super().__getstate__(), *(self.__dict__[name] for name in OWN)]

    def __setstate__(self, state: list[Any]) -> None:
        image, *own = state
        super().__setstate__(image)
        self.__dict__.update(zip(OWN, own, strict=True))


# The attributes of a `RestoredImage` that other images do not have.
OWN = ("_photo", "notes", "seconds")


def with_before(result: Any, before: Photo, notes: Sequence[str], seconds: float) -> Any:
    """Return a PIL image as a `RestoredImage`; other kinds of results are returned as they are."""
    if not isinstance(result, Image.Image):
        return result
    image = RestoredImage()
    own = zip(OWN, (before, tuple(notes), seconds), strict=True)
    image.__dict__.update(result.__dict__ | dict(own))
    return image


def before_after(before: ImageInput, after: ImageInput) -> BeforeAfter:
    """Return two images as an object that notebooks show side by side.

    before, after: tensors (C, H, W) or (1, C, H, W) in [-1, 1], or what `rk.denoise` accepts: NumPy arrays of uint8,
        uint16 or floats in [0, 1], PIL images and paths. Their sizes may differ. Values outside the range are clipped.

    Raises OptionError for other kinds of images and for several images, and ImageError for a file.
    """
    return BeforeAfter(_photo(before, "before_after before"), _photo(after, "before_after after"))


def _photo(image: Any, where: str) -> Photo:
    if isinstance(image, str | Path):
        return read_photo(Path(image))
    if getattr(image, "ndim", 0) == 3 and not isinstance(image, np.ndarray):
        image = image[None]
    found = read_image(image, where)
    if found.photo is not None:
        return found.photo
    assert found.y is not None
    if len(found.y) != 1:
        raise OptionError(f"{where}: found {len(found.y)} images, allowed: one")
    channels = found.y.shape[1]
    return from_stacked(Photo(np.empty((0, 0, channels), np.uint8)).quantised(found.y[0]))


def report_html(
    counts: Mapping[str, int], jobs: Sequence[Job], failed: Sequence[tuple[Path, str]], page: Path | None
) -> str:
    """Return the report of a run as HTML: counts, the first photos, and the first messages of failures.

    counts: numbers of photos by what happened to them. jobs: photos with results. page: the HTML report.
    """
    cells = "".join(f"<td>{count} {html.escape(name)}</td>" for name, count in counts.items() if count)
    parts = [f"<table><tr>{cells or '<td>no photos</td>'}</tr></table>"]
    rows = [row for job in jobs[:SHOWN] if (row := _row(job))]
    more = f"<p>and {len(jobs) - SHOWN} more</p>" if len(jobs) > SHOWN else ""
    parts += [f"<table>{''.join(rows)}</table>{more}"] if rows else []
    texts = [text if str(path) in text else f"{path}: {text}" for path, text in failed[:MESSAGES]]
    messages = "".join(f"<li>{html.escape(printable(text))}</li>" for text in texts)
    parts += [f"<ul>{messages}</ul>"] if messages else []
    parts += [f"<p>report: {html.escape(printable(str(page)))}</p>"] if page is not None else []
    return "".join(parts)


def _row(job: Job) -> str:
    """Return a photo and its first result as a row of a table; "" if their files are not on this machine."""
    images = [read_shown(path, SMALL_SIDE) for path in (job.source, job.targets[0])]
    found = [image for image in images if image is not None]
    if len(found) < len(images):
        return ""
    files = webp_files(found, BYTES // SHOWN)
    cells = "".join(f"<td>{_image(file, image.width)}</td>" for file, image in zip(files, found, strict=True))
    return f"<tr><td>{html.escape(printable(job.source.name))}</td>{cells}</tr>"


def _figure(file: bytes, width: int, label: str) -> str:
    image = _image(file, width * max(1, ENLARGED // width))
    return f'<figure style="margin: 0">{image}<figcaption>{html.escape(label)}</figcaption></figure>'


def _image(file: bytes, width: int) -> str:
    return f'<img width="{width}" src="{data_uri(file)}">'
