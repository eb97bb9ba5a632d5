"""Running a recipe on photos: reading, restoring and writing overlap; resuming and the report."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from time import monotonic

import numpy as np

from restorekit.core.files import remove_partial_files
from restorekit.core.thread_warnings import warnings_by_thread
from restorekit.run.by_products import replace_trace, write_uncertainty
from restorekit.run.failures import failure_message, full_disk
from restorekit.run.images import Photo, pixel_count
from restorekit.run.job_files import Loaded, encoded, load, sample_seed
from restorekit.run.observer import Observe, Observer, StopRunError, unobserved
from restorekit.run.pipeline import OrderedGate, StoppedError, Workers
from restorekit.run.plan import Job, Plan
from restorekit.run.restoration import restore_photo
from restorekit.run.results import Facts, Results
from restorekit.run.runner import Runner
from restorekit.run.settings import RunReport, Settings, deleted
from restorekit.run.trace import TraceRecorder
from restorekit.run.transfer import LocalFiles, Transfer

DEFAULTS = Settings()
# Photos that are read or written while others are restored, and the number of pixels that are in memory at most, unless
# one photo has more.
READ_AND_WRITTEN, MAX_PIXELS_IN_MEMORY = 2, 64_000_000


@dataclass
class Outcome:
    """What happened to a job."""

    job: Job
    restored: bool = False
    skipped: bool = False
    kept: bool = False
    failures: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class FolderRun:
    """The state of a run over photos; see `run_jobs`. `process` is called in several threads."""

    def __init__(self, runner: Runner, results: Results, transfer: Transfer, observe: Observe) -> None:
        self.runner, self.settings, self.transfer, self._observe = runner, results.settings, transfer, observe
        self.results, self.report = results, RunReport()
        self._lock = threading.Lock()
        batch = self.settings.batch or runner.engine.default_batch
        self._runners = [runner for runner in runner.on_each_device() for _ in range(batch)]
        self.in_flight = len(self._runners) + READ_AND_WRITTEN
        self._memory, self._restoring = OrderedGate(MAX_PIXELS_IN_MEMORY), OrderedGate(len(self._runners))
        self._unfinished: dict[Job, Outcome] = {}
        self._stopped = False

    def process(self, number: int, job: Job) -> Outcome:
        """Restore one photo."""
        outcome = Outcome(job)
        with self._lock:
            self._unfinished[job] = outcome
        with self._failures_of(outcome):
            self.transfer.fetch(job)
        with self._memory.enter(number, pixel_count(job.source)):
            loaded, numbers = self._load(outcome)
            with self._restoring.enter(number, 1 if numbers else 0):
                last = None if loaded is None else self._restore(outcome, loaded, numbers)
            if loaded is not None and last is not None:
                outcome.restored = self._write(outcome, loaded, numbers[-1], *last)
            if self.settings.uncertainty and outcome.kept:
                outcome.notes.append("no mean and standard deviation: a sample is kept that this run would not make")
            elif self.settings.uncertainty and (outcome.restored or outcome.skipped):
                with self._failures_of(outcome):
                    outcome.notes += write_uncertainty(job, self.settings.encoding, overwrite=self.settings.overwrite)
        with self._failures_of(outcome):
            self.transfer.publish(job)
        outcome.restored = outcome.restored and not outcome.failures
        return outcome

    def count(self, outcome: Outcome) -> None:
        """Add the outcome of a job to the report."""
        job, report = outcome.job, self.report
        self._unfinished.pop(job, None)
        report.kept_jobs += [job] * outcome.kept
        report.skipped_jobs += [job] * outcome.skipped
        report.restored_jobs += [job] * outcome.restored
        for message, trace in outcome.failures:
            report.failed.append((job.source, message))
            report.traces[job.source] = trace
        report.add_notes(f"{job.source}: {note}" for note in outcome.notes)

    def stop(self) -> None:
        """Make the threads end at their next evaluation of a prior."""
        self._stopped = True
        self._memory.close()
        self._restoring.close()

    def count_unfinished(self) -> None:
        """Count the jobs of a stopped run; those whose results are complete are restored, as for a resumed run."""
        for outcome in list(self._unfinished.values()):
            job = outcome.job
            if not (outcome.skipped or outcome.kept or outcome.failures):
                outcome.restored = all(target.exists() for target in job.targets) and self.results.is_last(job)
            self.count(outcome)

    def _load(self, outcome: Outcome) -> tuple[Loaded | None, tuple[int, ...]]:
        """Return the files of a job and the numbers of the samples to restore."""
        job = outcome.job
        if outcome.failures:
            return None, ()
        with self._failures_of(outcome):
            with self._lock:
                states = ["new"] if job.problem else self.results.states(job)
            numbers = tuple(number for number, state in enumerate(states) if state in ("new", "redo"))
            outcome.kept = "kept" in states
            outcome.skipped = not numbers and not outcome.kept
            if numbers:
                loaded = load(job, self.runner, self.settings)
                outcome.notes += loaded.photo.notes
                return loaded, numbers
        return None, ()

    def _restore(self, outcome: Outcome, loaded: Loaded, numbers: tuple[int, ...]) -> tuple[Photo, Facts] | None:
        """Restore the samples and write them, except the last, which is returned; None after a failure."""
        with self._lock:
            runner = self._runners.pop()
        try:
            first: Photo | None = None
            for number in numbers:
                restored = self._restore_sample(runner, outcome, loaded, number)
                if restored is not None and first is not None and np.array_equal(restored[0].pixels, first.pixels):
                    outcome.notes.append("all samples are identical")
                if restored is None or number == numbers[-1]:
                    break
                first = restored[0] if number == 0 else None
                if not self._write(outcome, loaded, number, *restored):
                    return None
            return restored
        finally:
            with self._lock:
                self._runners.append(runner)

    def _restore_sample(
        self, runner: Runner, outcome: Outcome, loaded: Loaded, number: int
    ) -> tuple[Photo, Facts] | None:
        """Return a sample, or None after a failure."""
        started, seed = monotonic(), sample_seed(self.settings.seed, loaded.job.source.name, number)
        with self._failures_of(outcome):
            observer = self._stoppable(self._observe(loaded.job, number))
            trace = None if self.settings.trace is None else TraceRecorder(self.settings.trace)
            observer = observer if trace is None else trace.recorded(observer)
            photo, notes = restore_photo(runner, loaded.photo, seed, loaded.side_images, observer)
            facts = Facts(monotonic() - started, tuple(notes))
            # Before the result, so that no result of a run that is interrupted here lacks its trace.
            overwrite = self.settings.overwrite
            outcome.notes += replace_trace(loaded.job, number, trace, loaded.photo, photo, overwrite=overwrite)
            return photo, facts
        return None

    def _write(self, outcome: Outcome, loaded: Loaded, number: int, photo: Photo, facts: Facts) -> bool:
        """Write a sample; return whether that succeeded."""
        with self._failures_of(outcome):
            data, lost = encoded(loaded.photo, photo, loaded.job.targets[number], self.settings)
            notes = (*facts.notes, *lost)
            with self._lock:
                self.results.write(loaded.job, number, data, Facts(facts.seconds, notes))
            outcome.notes += notes
            return True
        return False

    def _stoppable(self, observer: Observer) -> Observer:
        """Return the observer, which also ends the restoration of its photo when the run was stopped."""

        def windows(done: int, total: int) -> None:
            if self._stopped:
                raise StoppedError
            observer.windows(done, total)

        return replace(observer, windows=windows)

    @contextmanager
    def _failures_of(self, outcome: Outcome) -> Iterator[None]:
        """Turn an exception into the failure of a photo; raise StopRunError if the others cannot succeed either."""
        try:
            yield
        except (StopRunError, StoppedError):
            raise
        except Exception as error:  # whatever a decoder or a recipe raises, the other photos are restored
            if self._stopped:
                raise StoppedError from error
            message, reason = failure_message(error, self.runner), full_disk(error)
            outcome.failures.append((message, traceback.format_exc()))
            if reason:
                raise StopRunError(reason) from error
            with self._lock:
                self.results.fail(outcome.job, message)

    def check_existence(self) -> None:
        """Count photos as failed whose results were deleted or replaced by another run during this one."""
        kept = set(self.report.kept_jobs)

        def replaced(job: Job) -> str | None:
            ours = job in kept or self.results.is_last(job)
            return None if ours else f"{job.targets[0]}: replaced by another run during this one"

        self.report.fail_restored(lambda job: deleted(job) or replaced(job))


def run_jobs(
    plan: Plan,
    runner: Runner,
    settings: Settings = DEFAULTS,
    on_done: Callable[[Job], None] = lambda job: None,
    transfer: Transfer | None = None,
    observe: Observe = unobserved,
    results: Results | None = None,
) -> RunReport:
    """Restore every photo; one that fails is listed in the report, and the others are still restored.

    While some photos are restored (`Settings.batch`), others are read and written. Every photo has a separate seed,
    so that its result depends neither on the batch nor on the other photos. The run stops early, with a report, at a
    full disk, at a StopRunError of an observer and at a KeyboardInterrupt.

    on_done: called after every job, in order.
    transfer: how the files of a job come and go; None for files of this machine.
    observe: called with the job and the number of every sample that is restored; returns its observer.
    results: the results of the run if the plan is a part of it; None for a new run, which first deletes the temporary
        files of runs that were killed.
    """
    run = FolderRun(runner, results or Results(runner, settings), transfer or LocalFiles(), observe)
    run.report.failed += plan.failed
    for folder in {target.parent for job in plan.jobs for target in job.targets} if results is None else ():
        remove_partial_files(folder)

    def finish(outcome: Outcome) -> None:
        run.count(outcome)
        on_done(outcome.job)

    workers = Workers(run.process, min(run.in_flight, max(1, len(plan.jobs))), run.stop)
    with warnings_by_thread():
        try:
            workers.run(plan.jobs, finish)
        except StopRunError as stop:
            run.report.stopped = str(stop)
        except KeyboardInterrupt as interrupt:
            run.report.stopped = str(interrupt) or "interrupted"
        finally:
            run.stop()
            workers.join()
    if run.report.stopped:
        run.count_unfinished()
    if transfer is None:
        run.check_existence()
    return run.report
