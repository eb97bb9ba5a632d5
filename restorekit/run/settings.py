"""Settings and outcome of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from restorekit.core.recipe import Recipe
from restorekit.errors import OptionError
from restorekit.run.formats import Encoding
from restorekit.run.plan import Job
from restorekit.run.side_images import DEFAULT, Reading

OnChange = Literal["redo", "keep", "fail"]
# Suffixes of files in which no pixel stays bit-identical.
LOSSY = (".jpg", ".jpeg")
TraceKind = Literal["strip", "webp"]
# Allowed numbers of frames of a trace, and the default.
MIN_FRAMES, MAX_FRAMES, FRAMES = 2, 64, 9


def check_choice(value: Any, allowed: Any, where: str) -> None:
    """Raise OptionError if a value is not one of those of a `Literal`."""
    if value not in get_args(allowed):
        raise OptionError(f"{where}: found {value!r}, allowed: {', '.join(get_args(allowed))}")


@dataclass(frozen=True)
class Trace:
    """What is written to show the estimates of the clean image during a restoration.

    Attributes:
        kind: "strip" for one PNG picture with all frames, "webp" for an animation.
        frames: number of frames, including the result; fewer if the recipe evaluates the prior less often.
    """

    kind: TraceKind
    frames: int = FRAMES

    def __post_init__(self) -> None:
        check_choice(self.kind, TraceKind, "trace")
        if not isinstance(self.frames, int) or not MIN_FRAMES <= self.frames <= MAX_FRAMES:
            raise OptionError(f"trace_frames: found {self.frames!r}, allowed: {MIN_FRAMES} to {MAX_FRAMES}")


def trace_of(kind: TraceKind | None, frames: int) -> Trace | None:
    """Return the trace of a kind, None for none; OptionError if only the number of frames is chosen."""
    if kind is not None:
        return Trace(kind, frames)
    if frames != FRAMES:
        raise OptionError("--trace-frames requires --trace")
    return None


@dataclass(frozen=True)
class Settings:
    """Settings of a run.

    Attributes:
        seed: seed of the run, from which the seed of every photo and sample is derived.
        batch: number of photos that are restored at the same time on each device; None for the default of the engine.
        overwrite: whether to replace existing files, whoever wrote them.
        on_change: what happens to results that were made from another photo, or with other options or models: "redo"
            replaces them, "keep" keeps them, "fail" reports a failure.
        readings: how side images are read, by name; the others have the default.
        encoding: how results are compressed.
        trace: what is written beside each result to show how it was made; None for nothing.
        uncertainty: whether mean and standard deviation of the samples are written beside them.
    """

    seed: int = 0
    batch: int | None = None
    overwrite: bool = False
    on_change: OnChange = "redo"
    readings: Mapping[str, Reading] = field(default_factory=dict)
    encoding: Encoding = field(default_factory=Encoding)
    trace: Trace | None = None
    uncertainty: bool = False

    def __post_init__(self) -> None:
        check_choice(self.on_change, OnChange, "on_change")

    def reading(self, name: str) -> Reading:
        """Return how a side image is read."""
        return self.readings.get(name, DEFAULT)


@dataclass(repr=False)
class RunReport:
    """The outcome of a run.

    Attributes:
        restored_jobs: photos that were restored.
        skipped_jobs: photos whose results existed, made from the same photo with the same options and models.
        kept_jobs: photos of which an existing file was kept that differs, or that restorekit did not write.
        failed: photos that failed, each with an error message of one line.
        notes: one line each, starting with the path of the photo.
        traces: the traceback of every failure, by photo.
        stopped: why the run stopped before the last photo; empty if it did not.
        seed: seed of the run; None if it is not known.
        page: the HTML report that was written; None if there is none.
    """

    restored_jobs: list[Job] = field(default_factory=list)
    skipped_jobs: list[Job] = field(default_factory=list)
    kept_jobs: list[Job] = field(default_factory=list)
    failed: list[tuple[Path, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    traces: dict[Path, str] = field(default_factory=dict)
    stopped: str = ""
    seed: int | None = None
    page: Path | None = None
    _known_notes: set[str] = field(default_factory=set)

    def __repr__(self) -> str:
        counts = len(self.restored), len(self.skipped), len(self.kept), len(self.failed)
        names = "restored", "skipped", "kept", "failed"
        found = ", ".join(f"{count} {name}" for name, count in zip(names, counts, strict=True))
        stopped = f", stopped: {self.stopped}" if self.stopped else ""
        return f"<RunReport: {found}{stopped}>"

    def _repr_html_(self) -> str:
        """Return the report as HTML, with the first photos, for notebooks."""
        from restorekit.run.notebook import report_html

        names = "restored", "skipped", "kept", "failed"
        counts = {name: len(getattr(self, name)) for name in names}
        return report_html(counts, [*self.restored_jobs, *self.skipped_jobs], self.failed, self.page)

    @property
    def restored(self) -> list[Path]:
        """The photos that were restored."""
        return [job.source for job in self.restored_jobs]

    @property
    def results(self) -> list[Path]:
        """The files that were written."""
        return [target for job in self.restored_jobs for target in job.targets]

    @property
    def skipped(self) -> list[Path]:
        """The photos whose results existed."""
        return [job.source for job in self.skipped_jobs]

    @property
    def kept(self) -> list[Path]:
        """The photos of which an existing file was kept."""
        return [job.source for job in self.kept_jobs]

    def fail_restored(self, problem: Callable[[Job], str | None]) -> None:
        """Count restored photos as failed for which `problem` returns a message."""
        restored, self.restored_jobs = self.restored_jobs, []
        for job in restored:
            message = problem(job)
            if message is None:
                self.restored_jobs.append(job)
            else:
                self.failed.append((job.source, message))

    def add_notes(self, notes: Iterable[str]) -> None:
        """Append the notes that are not in the list yet."""
        for note in notes:
            if note not in self._known_notes:
                self._known_notes.add(note)
                self.notes.append(note)


def deleted(job: Job) -> str | None:
    """Return a message if a result of a photo was deleted during the run."""
    missing = next((target for target in job.targets if not target.exists()), None)
    return None if missing is None else f"{missing}: deleted during the run"


def all_notes(recipe: Recipe, report: RunReport) -> list[str]:
    """Return the notes of the report, and one if the format of a result changes pixels that the recipe keeps."""
    if recipe.keeps_pixels and any(file.suffix.lower() in LOSSY for file in report.results):
        lossy = "JPEG is lossy: all pixels change slightly; --format png keeps known pixels bit-identical"
        return [*report.notes, lossy]
    return report.notes
