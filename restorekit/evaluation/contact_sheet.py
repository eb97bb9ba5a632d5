"""Contact sheets: photos side by side, with an enlarged part and, compared with true photos, PSNR and SSIM."""

from __future__ import annotations

import contextlib
import math
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from restorekit.core.files import atomic_path
from restorekit.errors import ImageError, OptionError, printable
from restorekit.evaluation.comparison import TRUTH, Comparison, Row
from restorekit.evaluation.photo_scores import photo_scores
from restorekit.run.display import most_different, read_8_bits, to_srgb
from restorekit.run.images import Photo, read_photo

# Pillow's names of the formats by suffix, and the quality of those with loss.
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".pdf": "PDF"}
QUALITY = 92
# Lengths in pixels: border of the page, gap between cells, frame of the enlarged part, and smallest size of the text.
BORDER, GAP, FRAME, SMALLEST_TEXT = 16, 8, 2, 12
# Width of a page relative to the size of the text.
TEXT = 80
# Fonts of Linux, and of macOS and Windows.
FONTS = ("DejaVuSans.ttf", "Arial.ttf", "arial.ttf")
BACKGROUND, INK, FAINT, MARK = "white", "#1a1d21", "#5c6570", "#e5261e"
# Side of the enlarged part relative to the photo, and its smallest length in pixels.
PART, SMALLEST_PART = 1 / 4, 32
# Largest relative difference of aspect ratios of photos that are resized.
TOLERANCE = 0.02
# Smallest width of a column.
SMALLEST_CELL = 64
# A photo in a cell is at most so many times higher than wide; others are narrower than the cell.
HIGHEST = 1.5


@dataclass(frozen=True)
class Crop:
    """The part of each photo that is enlarged, in pixels of the first photo of the row.

    Attributes:
        size: width and height; None for a quarter of the photo.
        place: left and top; None for the place where the photos differ the most.
    """

    size: tuple[int, int] | None = None
    place: tuple[int, int] | None = None

    def box(self, files: Sequence[Path], full: tuple[int, int]) -> tuple[int, int, int, int]:
        """Return left, top, right and bottom for a row; OptionError if the part is not inside the photo."""
        width, height = self.size or tuple(max(SMALLEST_PART, round(side * PART)) for side in full)
        if self.size is None:
            width, height = min(width, full[0]), min(height, full[1])
        if width > full[0] or height > full[1]:
            raise OptionError(f"--crop: found {width} x {height} pixels, allowed: at most {full[0]} x {full[1]}")
        if self.place is None:
            return most_different((_same_size(path, full) for path in files), width, height)
        left, top = self.place
        if left + width > full[0] or top + height > full[1]:
            found = f"{left},{top},{width},{height}"
            raise OptionError(f"--crop: found {found}, allowed: inside of {files[0]} ({full[0]} x {full[1]} pixels)")
        return left, top, left + width, top + height


@dataclass(frozen=True)
class Layout:
    """Lengths of a page in pixels.

    Attributes:
        width: width of the page.
        cell: width of a column.
        text: size of the text.
    """

    width: int
    cell: int
    text: int

    @property
    def line(self) -> int:
        """Height of a line of text."""
        return self.text + GAP

    def left(self, column: int) -> int:
        """Return the left edge of a column."""
        return BORDER + column * (self.cell + GAP)


def layout_of(width: int, columns: int) -> Layout:
    """Return the layout of a page; OptionError if the columns are too narrow."""
    cell = (width - 2 * BORDER - (columns - 1) * GAP) // columns
    if cell < SMALLEST_CELL:
        least = 2 * BORDER + columns * (SMALLEST_CELL + GAP) - GAP
        raise OptionError(f"--width: found {width}, allowed for {columns} columns: at least {least} pixels")
    return Layout(width, cell, max(SMALLEST_TEXT, width // TEXT))


def parse_crop(text: str) -> Crop | None:
    """Return the crop of `auto`, `none`, `W,H` or `X,Y,W,H`; OptionError for other texts."""
    if text in ("auto", "none"):
        return Crop() if text == "auto" else None
    try:
        numbers = [int(word) for word in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (2, 4) or min(numbers) < 0 or min(numbers[-2:]) < 1:
        raise OptionError(f"--crop: found {text!r}, allowed: auto, none, W,H or X,Y,W,H in pixels")
    width, height = numbers[-2:]
    return Crop((width, height), (numbers[0], numbers[1]) if len(numbers) == 4 else None)


def write_sheet(
    comparison: Comparison,
    path: Path,
    *,
    width: int = 1600,
    rows: int = 6,
    crop: Crop | None = Crop(),  # a value
    overwrite: bool = False,
) -> tuple[list[Path], list[str]]:
    """Write a contact sheet; return its files and the notes on photos that were resized.

    path: an image, or a PDF document with all pages. Several pages in images are numbered: sheet-1.png, sheet-2.png.
    width, rows, crop: see `pages`.
    overwrite: whether to replace existing files; photos that are compared are never replaced.

    Raises OptionError for another suffix or a photo as the output, and ImageError for the errors of `pages` and a file
    that exists or cannot be written.
    """
    suffix, count = path.suffix.lower(), -(-len(comparison.rows) // rows)
    if suffix not in FORMATS:
        raise OptionError(f"--output: found {path}, allowed: a file that ends with {', '.join(FORMATS)}")
    paths = [path]
    if count > 1 and suffix != ".pdf":
        paths = [path.with_name(f"{path.stem}-{number}{path.suffix}") for number in range(1, count + 1)]
    photos = {os.path.realpath(file) for row in comparison.rows for file in (*row.files, row.truth) if file}
    for file in paths:
        if os.path.realpath(file) in photos:
            raise OptionError(f"--output: {file} is one of the photos; originals are never overwritten")
        if file.exists() and not overwrite:
            raise ImageError(f"{file}: exists; --overwrite replaces it")
    notes: list[str] = []
    made = pages(comparison, width, rows, crop, notes)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for file in paths:
            with atomic_path(file) as part:
                next(made).save(part, FORMATS[suffix], quality=QUALITY)
                for page in made if suffix == ".pdf" else ():
                    page.save(part, FORMATS[suffix], quality=QUALITY, append=True)
    except (OSError, ValueError, struct.error) as error:  # WebP has at most 16383 pixels per side
        raise ImageError(f"{path}: cannot be written ({error})") from error
    return paths, notes


def pages(comparison: Comparison, width: int, rows: int, crop: Crop | None, notes: list[str]) -> Iterator[Image.Image]:
    """Yield the pages of a contact sheet as RGB images; only the photos of one column are in memory.

    width: width of a page in pixels. rows: number of rows per page. crop: the enlarged part; None for none. Notes on
    photos that were resized are appended to `notes`.

    Raises ImageError if a photo cannot be read or has another aspect ratio than the first one of its row.
    """
    labels = comparison.labels if comparison.rows[0].truth is None else (*comparison.labels, TRUTH)
    layout = layout_of(width, len(labels))
    for start in range(0, len(comparison.rows), rows):
        made = [_header(labels, layout)]
        made += [_row(row, layout, crop, notes) for row in comparison.rows[start : start + rows]]
        page = Image.new("RGB", (width, 2 * BORDER + sum(image.height for image in made)), BACKGROUND)
        top = BORDER
        for image in made:
            page.paste(image, (0, top))
            top += image.height
        yield page


def _header(labels: Sequence[str], layout: Layout) -> Image.Image:
    image = Image.new("RGB", (layout.width, layout.line), BACKGROUND)
    for column, label in enumerate(labels):
        _write(image, (layout.left(column), 0), label, layout.cell, layout.text, INK)
    return image


def _row(row: Row, layout: Layout, crop: Crop | None, notes: list[str]) -> Image.Image:
    """Return the name of a row, its photos, the enlarged parts, and PSNR and SSIM."""
    files = row.files if row.truth is None else (*row.files, row.truth)
    full = read_8_bits(files[0], 1)[1]
    box = None if crop is None else crop.box(files, full)
    scale = min(layout.cell / full[0], HIGHEST * layout.cell / full[1])
    size = max(1, round(full[0] * scale)), max(1, round(full[1] * scale))
    part = None if box is None else _part_size(box, *size)
    below = layout.line + size[1] + (0 if part is None else GAP + part[1])
    height = below + (0 if row.truth is None else GAP // 2 + layout.line) + 2 * GAP
    image = Image.new("RGB", (layout.width, height), BACKGROUND)
    _write(image, (BORDER, 0), row.name, layout.width - 2 * BORDER, layout.text, FAINT)
    truth = None if row.truth is None else read_photo(row.truth)
    for column, path in enumerate(files):
        left, top = layout.left(column), layout.line
        photo = _same_size(path, full, notes, files[0])
        image.paste(_opaque(photo.resize(size, Image.Resampling.LANCZOS, reducing_gap=3)), (left, top))
        if box is not None and part is not None:
            corners = [left + round(box[0] * scale), top + round(box[1] * scale)]
            corners += [left + round(box[2] * scale) - 1, top + round(box[3] * scale) - 1]
            ImageDraw.Draw(image).rectangle(corners, outline=MARK, width=FRAME)
            enlarged = photo.crop(box).resize(part, Image.Resampling.BICUBIC)
            image.paste(_opaque(enlarged), (left, top + size[1] + GAP))
        del photo
        if truth is not None and path is not row.truth:
            _write(image, (left, below + GAP // 2), _scores(path, truth), layout.cell, layout.text, INK)
    return image


def _part_size(box: tuple[int, int, int, int], width: int, height: int) -> tuple[int, int]:
    """Return the size of the enlarged part, which fits into the area of the photo."""
    sides = box[2] - box[0], box[3] - box[1]
    scale = min(width / sides[0], height / sides[1])
    return max(1, round(sides[0] * scale)), max(1, round(sides[1] * scale))


def _same_size(
    path: Path, full: tuple[int, int], notes: list[str] | None = None, first: Path | None = None
) -> Image.Image:
    """Return a photo at the size of the first one of its row, with a note if it has another size."""
    image, size = read_8_bits(path)
    if size == full:
        return image
    if abs(math.log(size[0] / size[1] * full[1] / full[0])) > TOLERANCE:
        found = f"{size[0]} x {size[1]} pixels"
        raise ImageError(f"{path}: found {found}, allowed: the aspect ratio of the first photo, {full[0]} x {full[1]}")
    if notes is not None:
        notes.append(f"{path}: resized from {size[0]} x {size[1]} to {full[0]} x {full[1]} pixels, those of {first}")
    return image.resize(full, Image.Resampling.LANCZOS)


def _opaque(image: Image.Image) -> Image.Image:
    """Return a part of a photo as RGB in sRGB, on white if it is transparent."""
    shown = to_srgb(image)
    if shown.mode == "RGB":
        return shown
    page = Image.new("RGB", shown.size, BACKGROUND)
    page.paste(shown, mask=shown.getchannel("A"))
    return page


def _scores(path: Path, truth: Photo) -> str:
    scores = photo_scores(read_photo(path), truth)
    if scores is None:
        return "another size than the truth"
    return "identical" if math.isinf(scores[0]) else f"{scores[0]:.2f} dB, SSIM {scores[1]:.4f}"


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return a font of the system with the letters of most languages; without one, that of Pillow, which has few."""
    for name in FONTS:
        with contextlib.suppress(OSError):
            return ImageFont.truetype(name, size)
    return ImageFont.load_default(size)


def _write(image: Image.Image, place: tuple[int, int], text: str, width: int, size: int, colour: str) -> None:
    """Write a line of text, whose middle is left out if it is too long."""
    font, text = _font(size), printable(text)
    shown = text
    for kept in range(len(text) - 1, 0, -1):
        if font.getlength(shown) <= width:
            break
        shown = f"{text[: kept // 2]}…{text[len(text) - (kept - kept // 2) :]}"
    ImageDraw.Draw(image).text(place, shown, fill=colour, font=font)
