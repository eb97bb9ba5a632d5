"""Traces: how the estimate of the clean image develops during a restoration, as one picture or as an animation."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageDraw, ImageFont
from torch import Tensor

from restorekit.core.files import readable_formats
from restorekit.run.display import shrunk, to_8_bits, to_srgb
from restorekit.run.observer import Observer
from restorekit.run.photo import Photo
from restorekit.run.settings import Trace

# Longest side of a frame in pixels; smaller images are enlarged up to the second number.
MAX_SIDE, MIN_SIDE = 512, 192
# Height of the captions, space between frames and size of the text, in pixels.
CAPTION, GAP, TEXT = 24, 8, 14
PAPER, INK = (255, 255, 255), (60, 60, 60)
# Milliseconds for which a frame and the result are shown.
DURATION, LAST_DURATION = 350, 2500
WEBP_QUALITY = 90
# EXIF tag "Software" of traces, by which later runs recognise them.
SOFTWARE = "restorekit trace"
# Preferred ratio of width and height of a strip, and how much an empty place counts in comparison.
STRIP_RATIO, EMPTY = 1.6, 1.0


def trace_path(target: Path, trace: Trace) -> Path:
    """Return the file of the trace of a result: photo.jpg.trace.png or photo.jpg.trace.webp beside photo.jpg."""
    strip, animation = trace_paths(target)
    return strip if trace.kind == "strip" else animation


def trace_paths(target: Path) -> tuple[Path, Path]:
    """Return the files of both kinds of trace of a result."""
    return target.with_name(f"{target.name}.trace.png"), target.with_name(f"{target.name}.trace.webp")


def is_trace(path: Path) -> bool:
    """Return whether a file is a trace that a run wrote."""
    try:
        with Image.open(path, formats=readable_formats()) as image:
            return bool(image.getexif().get(ExifTags.Base.Software) == SOFTWARE)
    except (OSError, ValueError):
        return False


class TraceRecorder:
    """Keeps some of the estimates of a restoration whose number of evaluations is not known, reduced to 512 pixels.

    At most twice as many as required are kept: every estimate at first, later every second, fourth ... one.

    Arguments:
        trace: kind and number of frames.
    """

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self._kept: list[tuple[float, NDArray[np.uint8]]] = []
        self._count, self._stride = 0, 1

    def recorded(self, observer: Observer) -> Observer:
        """Return the observer, which also records the estimates."""

        def estimate(sigma: Tensor, denoised: Tensor) -> None:
            self.record(sigma, denoised)
            observer.estimate(sigma, denoised)

        return replace(observer, estimate=estimate)

    def record(self, sigma: Tensor, denoised: Tensor) -> None:
        """Keep a reduced copy of the first image of an estimate, if it is one of those that are kept."""
        number, self._count = self._count, self._count + 1
        if number % self._stride:
            return
        self._kept.append((float(sigma[0].max()), _reduced(denoised)))
        if len(self._kept) > 2 * self.trace.frames:
            self._kept, self._stride = self._kept[::2], 2 * self._stride

    @property
    def is_used(self) -> bool:
        """Whether there was an estimate."""
        return self._count > 0

    def encoded(self, photo: Photo, restored: Photo) -> bytes:
        """Return the file of the trace; its last frame is the result.

        photo, restored: the photo and the result; colours are converted from their profiles to sRGB.
        """
        index = np.linspace(0, len(self._kept) - 1, min(self.trace.frames - 1, len(self._kept))).round().astype(int)
        chosen = [self._kept[i] for i in index]
        frames = [(f"sigma {level:.3g}", _srgb(Photo(pixels, icc=photo.icc))) for level, pixels in chosen]
        frames.append(("result", _srgb(replace(restored, alpha=None))))
        cells = _cells(frames)
        return _strip(cells) if self.trace.kind == "strip" else _animation(cells)


def _reduced(x: Tensor) -> NDArray[np.uint8]:
    """Return the first of the images x (N, C, H, W) in [-1, 1], reduced, as (H, W, C)."""
    image = x[:1].float()
    factor = MAX_SIDE / max(image.shape[-2:])
    if factor < 1:
        height, width = (max(1, round(factor * side)) for side in image.shape[-2:])
        image = torch.nn.functional.interpolate(image, (height, width), mode="bilinear", antialias=True)
    values = ((image[0].nan_to_num() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(values.permute(1, 2, 0).cpu().numpy())


def _srgb(photo: Photo) -> Image.Image:
    return to_srgb(shrunk(to_8_bits(photo), MAX_SIDE))


def _cells(frames: list[tuple[str, Image.Image]]) -> list[Image.Image]:
    """Return the frames with their captions, all of the same size."""
    width, height = (max(side) for side in zip(*(image.size for _, image in frames), strict=True))
    factor = max(1.0, MIN_SIDE / max(width, height))
    width, height = max(MIN_SIDE // 2, round(factor * width)), max(1, round(factor * height))
    font = ImageFont.load_default(TEXT)
    cells = []
    for text, image in frames:
        cell = Image.new("RGB", (width, height + CAPTION), PAPER)
        scale = min(width / image.width, height / image.height)
        size = max(1, round(scale * image.width)), max(1, round(scale * image.height))
        shown = image.resize(size, Image.Resampling.BICUBIC)
        cell.paste(shown, ((width - size[0]) // 2, (height - size[1]) // 2))
        ImageDraw.Draw(cell).text((width / 2, height + CAPTION / 2), text, INK, font, anchor="mm")
        cells.append(cell)
    return cells


def _strip(cells: list[Image.Image]) -> bytes:
    """Return a PNG file with the cells in rows."""
    width, height = cells[0].size
    columns = min(range(1, len(cells) + 1), key=lambda count: _misfit(len(cells), count, width / height))
    rows = math.ceil(len(cells) / columns)
    strip = Image.new("RGB", (columns * (width + GAP) + GAP, rows * (height + GAP) + GAP - GAP // 2), PAPER)
    for number, cell in enumerate(cells):
        row, column = divmod(number, columns)
        strip.paste(cell, (GAP + column * (width + GAP), GAP + row * (height + GAP)))
    buffer = io.BytesIO()
    strip.save(buffer, "PNG", exif=_exif())
    return buffer.getvalue()


def _misfit(count: int, columns: int, ratio: float) -> float:
    """Return how far a number of columns is from the preferred shape of a strip.

    ratio: of the width and height of a cell.
    """
    rows = math.ceil(count / columns)
    return abs(math.log(columns * ratio / rows / STRIP_RATIO)) + EMPTY * (rows * columns - count) / count


def _animation(cells: list[Image.Image]) -> bytes:
    """Return an animated WebP file that shows the last cell longer."""
    buffer = io.BytesIO()
    durations = [DURATION] * (len(cells) - 1) + [LAST_DURATION]
    first, *others = cells
    options = {"duration": durations, "loop": 0, "quality": WEBP_QUALITY, "exif": _exif()}
    first.save(buffer, "WEBP", save_all=True, append_images=others, **options)
    return buffer.getvalue()


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Software] = SOFTWARE
    return exif
