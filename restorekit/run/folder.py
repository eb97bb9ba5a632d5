"""Running a recipe on photos: batches, resuming and the report."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from restorekit.core.files import remove_partial_files
from restorekit.core.noise import image_seed
from restorekit.core.options import ImageOption
from restorekit.errors import ImageError, RestorekitError, RestorekitWarning
from restorekit.run.images import Photo, read_photo, write_photo
from restorekit.run.plan import Job
from restorekit.run.runner import Runner
from restorekit.run.side_images import file_tables, read_side_image


@dataclass(frozen=True)
class Settings:
    """Settings of a run.

    Attributes:
        seed: seed of the run, from which the seed of every photo and sample is derived.
        batch: largest number of photos of the same shape that are evaluated together.
        overwrite: whether photos whose results exist are restored again.
        inverted: names of side images whose black and white are swapped.
    """

    seed: int = 0
    batch: int = 1
    overwrite: bool = False
    inverted: frozenset[str] = frozenset()


@dataclass
class RunReport:
    """The outcome of a run.

    Attributes:
        restored: photos that were restored.
        skipped: photos whose results already existed.
        failed: photos that failed, each with an error message of one line.
        notes: one line each, starting with the path of the photo.
    """

    restored: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    failed: list[tuple[Path, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add_notes(self, notes: Iterable[str]) -> None:
        """Append the notes that are not in the list yet."""
        self.notes += [note for note in dict.fromkeys(notes) if note not in self.notes]


class _Loaded(NamedTuple):
    """A job whose files have been read."""

    job: Job
    photo: Photo
    side_images: dict[str, Tensor]

    @property
    def shape(self) -> tuple[object, ...]:
        """The shapes that all photos of a batch must share."""
        return self.photo.pixels.shape, {name: side.shape for name, side in self.side_images.items()}


def run_jobs(
    jobs: Sequence[Job],
    runner: Runner,
    settings: Settings = Settings(),
    on_done: Callable[[Job], None] = lambda job: None,
) -> RunReport:
    """Restore every photo; one that fails is listed in the report, and the others are still restored.

    Consecutive photos of the same shape are evaluated together, at most `settings.batch` of them. Every photo has a
    separate seed, so that its result depends neither on the batch nor on the other photos.

    on_done: called after every job.
    """
    report = RunReport()
    for folder in {target.parent for job in jobs for target in job.targets}:
        remove_partial_files(folder)
    batch: list[_Loaded] = []

    def finish_batch() -> None:
        if batch:
            _restore_batch(batch, runner, settings.seed, report)
        for loaded in batch:
            on_done(loaded.job)
        batch.clear()

    for job in jobs:
        if job.done and not settings.overwrite:
            report.skipped.append(job.source)
            on_done(job)
            continue
        try:
            loaded = _load(job, runner, settings.inverted)
        except RestorekitError as error:
            report.failed.append((job.source, str(error)))
            on_done(job)
            continue
        report.add_notes(f"{job.source}: {note}" for note in loaded.photo.notes)
        if batch and batch[0].shape != loaded.shape:
            finish_batch()
        batch.append(loaded)
        if len(batch) >= settings.batch:
            finish_batch()
    finish_batch()
    return report


def _load(job: Job, runner: Runner, inverted: frozenset[str]) -> _Loaded:
    """Read the photo, its JPEG tables and the side images of a job."""
    photo = read_photo(job.source)
    if job.problem:
        raise ImageError(job.problem)
    side_images = file_tables(runner.recipe, runner.options.options, photo)
    for parameter in runner.recipe.side_images:
        if parameter.name in job.side_images and isinstance(parameter.spec, ImageOption):
            like = photo if parameter.spec.same_size else None
            path, where = job.side_images[parameter.name], f"--{parameter.name}"
            side = read_side_image(path, parameter.spec.channels, like, where)
            side_images[parameter.name] = 1 - side if parameter.name in inverted else side
    return _Loaded(job, photo, side_images)


def _restore_batch(batch: Sequence[_Loaded], runner: Runner, seed: int, report: RunReport) -> None:
    """Restore photos of the same shape and write all their samples."""
    sources = [loaded.job.source for loaded in batch]
    y = torch.cat([loaded.photo.tensor() for loaded in batch])
    side_images = {name: torch.cat([loaded.side_images[name] for loaded in batch]) for name in batch[0].side_images}
    failed: dict[Path, str] = {}
    first: Tensor | None = None
    for number in range(len(batch[0].job.targets)):
        seeds = [sample_seed(seed, source.name, number) for source in sources]
        try:
            results = _restore(runner, y, seeds, side_images, sources, report)
        except RestorekitError as error:
            report.failed += [(source, str(error)) for source in sources]
            return
        if first is not None and torch.equal(results, first):
            report.add_notes([f"{', '.join(map(str, sources))}: all samples are identical"])
        first = results if number == 0 else None
        for loaded, result in zip(batch, results, strict=True):
            try:
                written = loaded.photo.with_tensor(result)
                write_photo(written, loaded.job.targets[number])
            except RestorekitError as error:
                failed[loaded.job.source] = str(error)
                continue
            report.add_notes(f"{loaded.job.source}: {note}" for note in written.notes[len(loaded.photo.notes) :])
    report.failed += failed.items()
    report.restored += [source for source in sources if source not in failed]


def _restore(
    runner: Runner,
    y: Tensor,
    seeds: Sequence[int],
    side_images: Mapping[str, Tensor],
    sources: Sequence[Path],
    report: RunReport,
) -> Tensor:
    """Run the recipe; warnings become notes on their photos, and running out of memory becomes an ImageError."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", RestorekitWarning)
            results = runner.restore(y, seeds, side_images)
    except torch.OutOfMemoryError as error:
        raise ImageError(f"out of memory on {runner.engine.device}; reduce --tile or --batch") from error
    for warning in caught:
        message = warning.message
        if isinstance(message, RestorekitWarning):
            photos = sources if message.image is None else [sources[message.image]]
            report.add_notes(f"{photo}: {message}" for photo in photos)
        else:
            warnings.warn_explicit(message, warning.category, warning.filename, warning.lineno)
    return results


def sample_seed(seed: int, name: str, number: int) -> int:
    """Return the seed of sample `number`, counted from 0, of the photo with that file name."""
    return image_seed(seed, name if number == 0 else f"{name}#{number}")
