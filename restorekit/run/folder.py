"""Running a recipe on photos: batches, resuming and the report."""

from __future__ import annotations

import errno
import inspect
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from restorekit.core.files import remove_partial_files
from restorekit.core.noise import image_seed
from restorekit.core.options import ImageOption
from restorekit.errors import ImageError, RestorekitError, RestorekitWarning
from restorekit.plugins.plugin_errors import PluginError
from restorekit.run.encode import encode_photo
from restorekit.run.formats import check_target
from restorekit.run.images import Photo, read_photo
from restorekit.run.plan import Job, Plan
from restorekit.run.results import Facts, Results
from restorekit.run.runner import Runner
from restorekit.run.settings import RunReport, Settings
from restorekit.run.side_images import file_tables, read_side_image

DEFAULTS = Settings()
# Errors of the file system after which no other photo can be written either.
FULL = {errno.ENOSPC: "no space left", errno.EDQUOT: "disk quota exceeded", errno.EROFS: "read-only file system"}


@dataclass(frozen=True)
class Loaded:
    """A job whose files have been read.

    Attributes:
        job: the job.
        photo: the photo.
        side_images: tensors of the side images and JPEG tables, by name.
        numbers: the samples to restore.
    """

    job: Job
    photo: Photo
    side_images: dict[str, Tensor]
    numbers: tuple[int, ...]

    @property
    def shape(self) -> tuple[object, ...]:
        """The shapes that all photos of a batch must share."""
        return self.photo.pixels.shape, {name: side.shape for name, side in self.side_images.items()}


class StopRunError(Exception):
    """Raised to end a run, with the reason."""


class FolderRun:
    """The state of a run over photos; see `run_jobs`."""

    def __init__(self, runner: Runner, settings: Settings, on_done: Callable[[Job], None]) -> None:
        self.runner, self.settings, self.on_done = runner, settings, on_done
        self.results, self.report = Results(runner, settings), RunReport()
        self.batch: list[Loaded] = []
        self._finished: set[Job] = set()

    def add(self, job: Job) -> None:
        """Load a photo into the batch, unless it is done; restore the batch when it is full."""
        loaded: Loaded | None = None
        with self._failures_of([job]):
            states = ["new"] if job.problem else self.results.states(job)
            numbers = tuple(number for number, state in enumerate(states) if state in ("new", "redo"))
            if "kept" in states:
                self.report.kept_jobs.append(job)
            elif not numbers:
                self.report.skipped_jobs.append(job)
            if not numbers:
                self.on_done(job)
                return
            loaded = replace(load(job, self.runner, self.settings), numbers=numbers)
        if loaded is None:
            self.on_done(job)
            return
        self.report.add_notes(f"{job.source}: {note}" for note in loaded.photo.notes)
        if self.batch and self.batch[0].shape != loaded.shape:
            self.finish_batch()
        self.batch.append(loaded)
        if len(self.batch) >= self.settings.batch:
            self.finish_batch()

    def finish_batch(self) -> None:
        """Restore the photos of the batch; after an exception, each one alone, so that only its own photo fails."""
        batch = self.batch
        if len(batch) > 1:
            try:
                self._restore_batch(batch)
            except StopRunError:
                raise
            except Exception:  # noqa: BLE001  # reported below, by the photo that raises it alone
                pass
        for loaded in batch:
            if loaded.job not in self._finished:
                with self._failures_of([loaded.job]):
                    self._restore_batch([loaded])
            self.on_done(loaded.job)
        self.batch = []

    def count_written(self) -> None:
        """Count photos of an interrupted batch whose results are complete, as a resumed run would."""
        for job in (loaded.job for loaded in self.batch if loaded.job not in self._finished):
            if all(target.exists() for target in job.targets) and self.results.is_last(job):
                self.report.restored_jobs.append(job)

    @contextmanager
    def _failures_of(self, jobs: Sequence[Job]) -> Iterator[None]:
        """Turn an exception into the failure of the photos; raise StopRunError if the others cannot succeed either."""
        try:
            yield
        except StopRunError:
            raise
        except Exception as error:  # whatever a decoder or a recipe raises, the other photos are restored
            message, reason = failure_message(error, self.runner), full_disk(error)
            for job in jobs:
                self.report.failed.append((job.source, message))
                self.report.traces[job.source] = traceback.format_exc()
                if not reason:
                    self.results.fail(job, message)
            if reason:
                raise StopRunError(reason) from error

    def _restore_batch(self, batch: Sequence[Loaded]) -> None:
        """Restore photos of the same shape and write their samples."""
        names = [loaded.job.source.name for loaded in batch]
        y = torch.cat([loaded.photo.tensor() for loaded in batch])
        side_images = {name: torch.cat([loaded.side_images[name] for loaded in batch]) for name in batch[0].side_images}
        first: Tensor | None = None
        for number in sorted({number for loaded in batch for number in loaded.numbers}):
            seeds = [sample_seed(self.settings.seed, name, number) for name in names]
            started = time.monotonic()
            results, notes = restore(self.runner, y, seeds, side_images)
            seconds = (time.monotonic() - started) / len(batch)
            if first is not None and torch.equal(results, first):
                sources = ", ".join(str(loaded.job.source) for loaded in batch)
                self.report.add_notes([f"{sources}: all samples are identical"])
            first = results if number == 0 else None
            for i, loaded in enumerate(batch):
                if number in loaded.numbers and loaded.job not in self._finished:
                    self._finish(loaded, number, results[i], Facts(seconds, tuple(notes[i])))

    def _finish(self, loaded: Loaded, number: int, result: Tensor, facts: Facts) -> None:
        """Write a sample; the photo is finished after a failure, or after its last sample."""
        is_written = False
        with self._failures_of([loaded.job]):
            self._write(loaded, number, result, facts)
            is_written = True
        if not is_written or number == loaded.numbers[-1]:
            self._finished.add(loaded.job)
        if is_written and number == loaded.numbers[-1]:
            self.report.restored_jobs.append(loaded.job)

    def _write(self, loaded: Loaded, number: int, result: Tensor, facts: Facts) -> None:
        data, lost = encoded(loaded, result, loaded.job.targets[number], self.settings)
        notes = (*facts.notes, *lost)
        self.results.write(loaded.job, number, data, Facts(facts.seconds, notes))
        self.report.add_notes(f"{loaded.job.source}: {note}" for note in notes)

    def check_existence(self) -> None:
        """Count photos as failed whose results were deleted or replaced by another run during this one."""
        restored, self.report.restored_jobs = self.report.restored_jobs, []
        kept = set(self.report.kept_jobs)
        for job in restored:
            missing = [target for target in job.targets if not target.exists()]
            if missing:
                self.report.failed.append((job.source, f"{missing[0]}: deleted during the run"))
            elif job not in kept and not self.results.is_last(job):
                self.report.failed.append((job.source, f"{job.targets[0]}: replaced by another run during this one"))
            else:
                self.report.restored_jobs.append(job)


def run_jobs(
    plan: Plan,
    runner: Runner,
    settings: Settings = DEFAULTS,
    on_done: Callable[[Job], None] = lambda job: None,
) -> RunReport:
    """Restore every photo; one that fails is listed in the report, and the others are still restored.

    Consecutive photos of the same shape are evaluated together, at most `settings.batch` of them. Every photo has a
    separate seed, so that its result depends neither on the batch nor on the other photos. The run stops early, with a
    report, at a full disk and at a KeyboardInterrupt.

    on_done: called after every job.
    """
    run = FolderRun(runner, settings, on_done)
    run.report.failed += plan.failed
    for folder in {target.parent for job in plan.jobs for target in job.targets}:
        remove_partial_files(folder)
    try:
        for job in plan.jobs:
            run.add(job)
        run.finish_batch()
    except StopRunError as stop:
        run.report.stopped = str(stop)
    except KeyboardInterrupt as interrupt:
        run.report.stopped = str(interrupt) or "interrupted"
        run.count_written()
    run.check_existence()
    return run.report


def load(job: Job, runner: Runner, settings: Settings) -> Loaded:
    """Read the photo, its JPEG tables and the side images of a job; ImageError if its targets cannot store it."""
    if job.problem:
        raise ImageError(job.problem)
    photo = read_photo(job.source)
    side_images = file_tables(runner.recipe, runner.options.options, photo)
    for parameter in runner.recipe.side_images:
        if parameter.name in job.side_images and isinstance(parameter.spec, ImageOption):
            like = photo if parameter.spec.same_size else None
            path, where = job.side_images[parameter.name], f"--{parameter.name}"
            side = read_side_image(path, parameter.spec.channels, like, where)
            side_images[parameter.name] = 1 - side if parameter.name in settings.inverted else side
    for target in job.targets:
        check_target(photo, target, settings.encoding)
    return Loaded(job, photo, side_images, tuple(range(len(job.targets))))


def encoded(loaded: Loaded, result: Tensor, target: Path, settings: Settings) -> tuple[bytes, list[str]]:
    """Return the file of a result (C, H, W) in the format of the target, and notes on what it does not keep."""
    photo = loaded.photo.with_tensor(result)
    data, lost = encode_photo(photo, target, settings.encoding)
    return data, [*photo.notes[len(loaded.photo.notes) :], *lost]


def restore(
    runner: Runner, y: Tensor, seeds: Sequence[int], side_images: Mapping[str, Tensor]
) -> tuple[Tensor, list[list[str]]]:
    """Run the recipe on a batch; return the results and the notes on every image, from the recipe's warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RestorekitWarning)
        results = runner.restore(y, seeds, side_images)
    notes: list[list[str]] = [[] for _ in y]
    for warning in caught:
        message = warning.message
        if isinstance(message, RestorekitWarning):
            for image in range(len(y)) if message.image is None else [message.image]:
                notes[image].append(str(message))
        else:
            warnings.warn_explicit(message, warning.category, warning.filename, warning.lineno)
    return results, notes


def failure_message(error: Exception, runner: Runner) -> str:
    """Return one line that describes why a photo failed, with the position in the recipe of a plugin."""
    text = " ".join(str(error).split())
    if isinstance(error, RestorekitError):
        return text
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "DefaultCPUAllocator" in text:
        return f"out of memory on {runner.engine.device}; reduce --tile or --batch"
    file = inspect.getsourcefile(runner.recipe.function)
    return f"{PluginError(error, None if file is None else Path(file))}; --debug shows the traceback"


def full_disk(error: BaseException | None) -> str:
    """Return why no photo can be written any more, or an empty string."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return FULL[error.errno]
        error = error.__cause__
    return ""


def sample_seed(seed: int, name: str, number: int) -> int:
    """Return the seed of sample `number`, counted from 0, of the photo with that file name."""
    return image_seed(seed, name if number == 0 else f"{name}#{number}")
