"""Restoring a folder of the server: what the command does, with progress for the page."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from restorekit.core.options import ImageOption, NetworkOption
from restorekit.core.recipe import Recipe
from restorekit.errors import OptionError
from restorekit.run import plan as plans
from restorekit.run.mirror import with_urls
from restorekit.run.observer import Observer, StopRunError
from restorekit.run.session import Session, open_session
from restorekit.run.settings import OnChange, RunReport, all_notes
from restorekit.ui.access import Access
from restorekit.ui.jobs import Job, Progress
from restorekit.ui.order import Order


@dataclass(frozen=True)
class FolderOrder:
    """What to do with a folder.

    Attributes:
        order: the recipe and its options; side images are paths.
        source: photo, folder, pattern or URL, as on the command line.
        target: folder or URL to write; empty for a folder beside the source.
        on_change: see `Settings`.
    """

    order: Order
    source: str
    target: str = ""
    on_change: OnChange = "redo"


@dataclass(frozen=True)
class Planned:
    """What a run would do.

    Attributes:
        rows: (what happens, photo, result) for every photo.
        skipped: what is left out, in words.
    """

    rows: tuple[tuple[str, str, str], ...]
    skipped: str


@dataclass
class FolderReport:
    """The outcome of a run over a folder.

    Attributes:
        recipe: the recipe.
        total: number of photos.
        report: the report of the run.
        skipped: what is left out, in words.
    """

    recipe: Recipe
    total: int
    report: RunReport
    skipped: str = ""

    @property
    def text(self) -> str:
        """A summary in one line."""
        report = self.report
        counts: dict[str, Sequence[object]] = {
            "restored": report.restored,
            "skipped because results exist": report.skipped,
            "kept": report.kept,
            "failed": report.failed,
        }
        found = [f"{len(items)} {name}" for name, items in counts.items() if items or name == "restored"]
        text = f"{', '.join(found)} of {self.total} photos"
        return f"{text}; {report.stopped}, Restore resumes" if report.stopped else text

    @property
    def failures(self) -> list[str]:
        """One line for each failure."""
        lines = []
        for source, message in self.report.failed:
            place, text = with_urls(str(source)), with_urls(message)
            lines.append(text if place in text else f"{place}: {text}")
        return lines

    @property
    def notes(self) -> list[str]:
        """One line for each note."""
        return [with_urls(note) for note in all_notes(self.recipe, self.report)]


@dataclass
class FolderProgress:
    """The progress of a run over a folder; its methods are called in several threads.

    Attributes:
        job: the job.
        total, done: numbers of photos.
    """

    job: Job
    total: int
    done: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def check(self) -> None:
        """Raise StopRunError if the job is to stop."""
        if self.job.is_stopped:
            raise StopRunError("stopped")

    def show(self, detail: str = "") -> None:
        """Show how many photos are done."""
        self.check()
        fraction = self.done / self.total
        self.job.report(Progress(f"{self.done} of {self.total} photos{detail}", fraction))

    def photo_done(self, photo: plans.Job) -> None:
        """Count a photo."""
        with self._lock:
            self.done += 1
        self.show()

    def observe(self, photo: plans.Job, sample: int) -> Observer:
        """Return the observer of a photo, which shows the step and the window."""
        step = 1

        def windows(done: int, total: int) -> None:
            nonlocal step
            self.show(f", {photo.source.name}: step {step}, window {done} of {total}")
            step += done == total

        return Observer(windows, lambda sigma, denoised: self.check())


def plan_folder(order: FolderOrder, access: Access, device: str) -> Planned:
    """Return what a run would do; nothing is written.

    Raises RestorekitError if an option, a path or a model cannot be used.
    """
    with _session(order, access, device) as session:
        runner = session.runner(dry_run=True)
        states = session.states(runner)
        rows = [
            (state, with_urls(str(job.source)), ", ".join(with_urls(str(target)) for target in job.targets))
            for job, state in zip(session.plan.jobs, states, strict=True)
        ]
        rows += [(f"failed: {reason}", with_urls(str(path)), "") for path, reason in session.plan.failed]
        return Planned(tuple(rows), session.plan.skipped_text)


def restore_folder(job: Job, order: FolderOrder, access: Access, device: str) -> FolderReport:
    """Restore a folder; in the thread of the job. Raises the errors of `plan_folder`."""
    job.report(Progress("loading the model"))
    with _session(order, access, device) as session:
        runner = session.runner()
        job.check()
        progress = FolderProgress(job, len(session.plan.jobs))
        progress.show()
        report = session.restore(runner, progress.photo_done, progress.observe)
        return FolderReport(runner.recipe, progress.total, report, session.plan.skipped_text)


@contextmanager
def _session(order: FolderOrder, access: Access, device: str) -> Iterator[Session]:
    """Yield the session; OptionError if it would read or write a file outside the allowed folders."""
    source, target = order.source.strip(), order.target.strip()
    if not source:
        raise OptionError("source: no folder; name a folder with photos")
    named = {"source": source} | ({"target": target} if target else {})
    for parameter in order.order.recipe.parameters:
        value = order.order.options.get(parameter.name)
        if isinstance(parameter.spec, ImageOption | NetworkOption) and value:
            named[parameter.name] = str(value)
    # Without allowed folders, URLs and patterns are allowed too.
    if access.roots is not None:
        named = {name: str(access.check(path, name)) for name, path in named.items()}
    options = {**order.order.options, **{n: p for n, p in named.items() if n not in ("source", "target")}}
    mine = replace(order.order, options=options)
    request = mine.request([named["source"]], named.get("target"), device, on_change=order.on_change)
    with open_session(request) as session:
        for job in session.plan.jobs if access.roots is not None else ():
            for path in (job.source, *job.targets, *job.side_images.values()):
                access.check(path, "source" if path == job.source else "path")
        yield session
