"""Settings and outcome of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from restorekit.run.formats import Encoding
from restorekit.run.plan import Job

OnChange = Literal["redo", "keep", "fail"]


@dataclass(frozen=True)
class Settings:
    """Settings of a run.

    Attributes:
        seed: seed of the run, from which the seed of every photo and sample is derived.
        batch: number of photos that are restored at the same time on each device; None for the default of the engine.
        overwrite: whether to replace existing files, whoever wrote them.
        on_change: what happens to results that were made from another photo, or with other options or models: "redo"
            replaces them, "keep" keeps them, "fail" reports a failure.
        inverted: names of side images whose black and white are swapped.
        encoding: how results are compressed.
    """

    seed: int = 0
    batch: int | None = None
    overwrite: bool = False
    on_change: OnChange = "redo"
    inverted: frozenset[str] = frozenset()
    encoding: Encoding = field(default_factory=Encoding)


@dataclass
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
    """

    restored_jobs: list[Job] = field(default_factory=list)
    skipped_jobs: list[Job] = field(default_factory=list)
    kept_jobs: list[Job] = field(default_factory=list)
    failed: list[tuple[Path, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    traces: dict[Path, str] = field(default_factory=dict)
    stopped: str = ""
    _known_notes: set[str] = field(default_factory=set)

    @property
    def restored(self) -> list[Path]:
        """The photos that were restored."""
        return [job.source for job in self.restored_jobs]

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
