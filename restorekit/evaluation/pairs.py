"""Evaluation of a recipe on pairs of degraded and true photos, compared with a denoiser at its best fixed strength.

Every result is clipped and rounded to the bit depth of the degraded photo, like the file that the command line writes.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms.functional import center_crop

from restorekit.core.denoiser import GREY_LEVEL, Denoiser
from restorekit.core.recipe import Recipe
from restorekit.errors import ImageError, OptionError, RestorekitError, RestorekitWarning, unknown
from restorekit.evaluation.baselines import best_strength, denoisers
from restorekit.evaluation.metrics import psnr, ssim
from restorekit.evaluation.pair_files import Pair, find_pairs
from restorekit.evaluation.tables import WriteLine
from restorekit.plugins.discovery import recipes
from restorekit.run.engine import Engine
from restorekit.run.images import Photo, read_photo
from restorekit.run.job_files import sample_seed
from restorekit.run.runner import Runner
from restorekit.run.side_images import file_tables

# The strength of the baseline is chosen on center crops of this side, in pixels, of at most this number of photos.
CROP, CROPS = 256, 8
SMALLEST_SIDE = 11  # of a photo, in pixels: the window of SSIM


Restore = Callable[[Pair, Photo], Tensor]  # the degraded photo -> the result (C, H, W) in [-1, 1]


@dataclass(frozen=True)
class Row:
    """A line of the table: one photo, or the mean over several.

    Attributes:
        photo: name of the photo, or a description of the photos.
        method: the recipe or the baseline.
        psnr_before, psnr_after: in dB.
        gain: psnr_after - psnr_before in dB; 0 if they are equal, also if both are infinite.
        ssim_before, ssim_after: at most 1.
        seconds: duration of the method, without reading the files.
    """

    photo: str
    method: str
    psnr_before: float
    psnr_after: float
    gain: float
    ssim_before: float
    ssim_after: float
    seconds: float

    def line(self, widths: Sequence[int] = (0, 0)) -> str:
        """Return a line of a Markdown table; the first two cells are padded to the given widths."""
        cells = (
            f"{self.photo:<{widths[0]}}",
            f"{self.method:<{widths[1]}}",
            f"{self.psnr_before:.2f}",
            f"{self.psnr_after:.2f}",
            f"{self.gain:+.2f}",
            f"{self.ssim_before:.4f}",
            f"{self.ssim_after:.4f}",
            f"{self.seconds:.2f}",
        )
        return f"| {' | '.join(cells)} |"


@dataclass(frozen=True)
class PairsReport:
    """The result of `evaluate`.

    Attributes:
        rows: one row per method and photo.
        totals: for every method the mean over all photos, the photo with the smallest gain, and the mean per camera.
        notes: warnings of the recipe, one line each, starting with the path of the photo.
    """

    rows: list[Row]
    totals: list[Row]
    notes: list[str]


def find_recipe(name: str) -> Recipe:
    """Return the registered recipe of that name; OptionError if it is unknown or requires a side image."""
    usable = {n: r for n, r in recipes().items() if not any(p.required for p in r.side_images)}
    if name in recipes() and name not in usable:
        allowed = ", ".join(sorted(usable))
        raise OptionError(f"--recipe: {name} requires an additional image per photo, allowed: {allowed}")
    if name not in usable:
        raise OptionError(unknown("recipe", name, usable, "--recipe"))
    return usable[name]


def evaluate(
    folder: Path,
    recipe: Recipe,
    engine: Engine,
    *,
    true_folder: Path | None = None,
    suffixes: tuple[str, str] | None = None,
    model: str | Path | Denoiser | None = None,
    options: Mapping[str, Any] | None = None,
    every: int = 1,
    baselines: bool = True,
    seed: int = 0,
    write_line: WriteLine = lambda line: None,
) -> PairsReport:
    """Return PSNR and SSIM before and after a recipe and a classical denoiser, for every pair and in total.

    folder, true_folder, suffixes: see `find_pairs`. recipe: see `find_recipe`.
    model: a denoiser, or what `load_prior` accepts; None for the default of the recipe. options: of the recipe.
    every: only every Nth pair. baselines: whether to evaluate BM3D or, if that is not installed, non-local means,
        at the strength that is best for these very photos (see `best_strength`).
    seed: of the run. Every photo gets the same seed as on the command line.
    write_line: called with the lines of a Markdown table as soon as they are measured.
    """
    pairs = find_pairs(folder, true_folder, suffixes)[::every]
    runner = Runner(recipe, model, options, engine)
    if runner.options.side_images:
        allowed = [p.name for p in recipe.options]
        raise OptionError(unknown("option", next(iter(runner.options.side_images)), allowed, "--set"))
    for pair in pairs:
        _check_pair(pair, runner)
    label = method_label(recipe.name, model, options or {})
    names = [pair.name for pair in pairs]
    widths = max(map(len, [*names, f"mean of {len(pairs)}"])), max(map(len, [label, "BM3D (sigma 10)"]))
    write_line(_header(widths))
    notes: list[str] = []
    parts = [_measure(pairs, label, partial(_restore, runner, seed, notes), widths, write_line)]
    if baselines:
        label, denoiser = _baseline(pairs)
        parts.append(_measure(pairs, label, denoiser, widths, write_line))
    totals = [row for group in zip(*map(summarize, parts), strict=True) for row in group]
    for row in totals:
        write_line(row.line(widths))
    return PairsReport([row for part in parts for row in part], totals, list(dict.fromkeys(notes)))


def method_label(name: str, model: object, options: Mapping[str, Any]) -> str:
    """Return the name of a recipe with its settings: "denoise (sigma=9)"."""
    shown = model if isinstance(model, str | Path) or model is None else type(model).__name__
    settings = [f"{key}={value}" for key, value in options.items()] + ([] if shown is None else [f"model={shown}"])
    return f"{name} ({', '.join(settings)})" if settings else name


def summarize(rows: Sequence[Row]) -> list[Row]:
    """Return the mean, the photo with the smallest gain, and the mean per camera.

    The camera is the part of the file name before the first underscore; there are no such lines if a name has none, or
    if the number of cameras is 1 or that of the photos.
    """
    worst = min(rows, key=lambda row: row.gain)
    summary = [_mean(f"mean of {len(rows)}", rows), replace(worst, photo=f"smallest gain: {worst.photo}")]
    cameras: dict[str, list[Row]] = {}
    for row in rows:
        camera, underscore, _ = row.photo.rpartition("/")[2].partition("_")
        cameras.setdefault(camera if underscore else "", []).append(row)
    if "" not in cameras and 1 < len(cameras) < len(rows):
        summary += [_mean(f"{camera}: mean of {len(group)}", group) for camera, group in cameras.items()]
    return summary


def _mean(photo: str, rows: Sequence[Row]) -> Row:
    """Return the mean of all numbers over the rows of one method."""
    columns = zip(*(list(vars(row).values())[2:] for row in rows), strict=True)
    return Row(photo, rows[0].method, *(sum(column) / len(rows) for column in columns))


def _header(widths: Sequence[int]) -> str:
    """Return the two header lines."""
    titles = "PSNR before (dB)", "PSNR after (dB)", "gain (dB)", "SSIM before", "SSIM after", "s"
    first = f"| {'photo':<{widths[0]}} | {'method':<{widths[1]}} | {' | '.join(titles)} |"
    return f"{first}\n|---|---|{'--:|' * len(titles)}"


def _restore(runner: Runner, seed: int, notes: list[str], pair: Pair, photo: Photo) -> Tensor:
    """Return the result of the recipe (C, H, W) for a file as on the command line; warnings are added to the notes."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RestorekitWarning)
        tables = file_tables(runner.recipe, runner.options.options, photo)
        result = runner.restore(photo.tensor(), [sample_seed(seed, pair.degraded.name, 0)], tables)[0]
    notes += [f"{pair.degraded}: {warning.message}" for warning in caught]
    return result


def _baseline(pairs: Sequence[Pair]) -> tuple[str, Restore]:
    """Return label and function of BM3D or, if not installed, of non-local means at the best strength for the pairs."""
    methods = denoisers()
    name = "BM3D" if "BM3D" in methods else "NLM"
    crops = []
    for pair in pairs[:: math.ceil(len(pairs) / CROPS)]:
        degraded, true = (read_photo(path).tensor()[0] for path in (pair.degraded, pair.true))
        size = [min(CROP, side) for side in degraded.shape[1:]]
        crops.append((center_crop(degraded, size), center_crop(true, size)))
    strength = best_strength(methods[name], crops)
    return f"{name} (sigma {strength})", lambda _, photo: methods[name](photo.tensor()[0], strength * GREY_LEVEL)


def _check_pair(pair: Pair, runner: Runner) -> None:
    """Raise an error unless both photos and the result of the recipe have the same shape, in which SSIM is defined."""
    degraded, true = (tuple(read_photo(path).tensor().shape) for path in (pair.degraded, pair.true))
    if degraded != true:
        found = " and ".join(f"{w} x {h} pixels, {c} channels" for _, c, h, w in (degraded, true))
        raise ImageError(f"{pair.degraded} and {pair.true}: found {found}, allowed: photos of the same shape")
    if min(degraded[2:]) < SMALLEST_SIDE:
        smallest = f"{SMALLEST_SIDE} x {SMALLEST_SIDE}"
        raise ImageError(f"{pair.degraded}: found {degraded[3]} x {degraded[2]} pixels, allowed: {smallest} or more")
    if runner.result_shape(degraded) != degraded:
        raise OptionError(
            f"--recipe: {runner.recipe.name} changes the size or the channels of {pair.degraded}, "
            "allowed: recipes that keep them"
        )


def _measure(
    pairs: Sequence[Pair],
    label: str,
    restore: Restore,
    widths: Sequence[int],
    write_line: WriteLine,
) -> list[Row]:
    """Return and write one row per pair."""
    rows = []
    for pair in pairs:
        photo, true = read_photo(pair.degraded), read_photo(pair.true).tensor()[0]
        start = time.perf_counter()
        try:
            result = restore(pair, photo)
            seconds = time.perf_counter() - start
            after = photo.with_tensor(result).tensor()[0]
        except (RestorekitError, torch.OutOfMemoryError) as error:
            raise ImageError(f"{pair.degraded}: {str(error).splitlines()[0]}") from error
        before = photo.tensor()[0]
        decibels = psnr(before, true), psnr(after, true)
        gain = 0.0 if decibels[0] == decibels[1] else decibels[1] - decibels[0]
        rows.append(Row(pair.name, label, *decibels, gain, ssim(before, true), ssim(after, true), seconds))
        write_line(rows[-1].line(widths))
    return rows
