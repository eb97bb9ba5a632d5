"""The actors of `--engine ray`: a runner with its prior, and the jobs that it restores."""

from __future__ import annotations

import contextlib
import inspect
import os
import pickle
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import torch

from restorekit.core.memory import limit_caches, reuse_large_buffers
from restorekit.core.recipe import Recipe
from restorekit.errors import OptionError, RestorekitError, unknown
from restorekit.models.hub import OFFLINE
from restorekit.plugins.discovery import SELECTION, recipes
from restorekit.plugins.recipe_file import load_recipe
from restorekit.run.engine import Precision, make_engine
from restorekit.run.folder import run_jobs
from restorekit.run.mirror import url_of
from restorekit.run.plan import Job, Plan
from restorekit.run.results import Results
from restorekit.run.runner import Runner
from restorekit.run.settings import RunReport, Settings
from restorekit.run.transfer import Transfer

# Number of workers that may die while they restore a photo alone; then it fails.
MAX_DEATHS = 2
DIED = f"{MAX_DEATHS} worker processes died while they restored it; they were killed, or their memory was exhausted"
START_DIED = "--engine ray: workers die while they start; they are killed, or their memory is exhausted"
# Number of workers in a row that may die while they start; Ray starts another one each time, without a limit.
MAX_START_DEATHS = 3
# Environment variables of the command that workers take over: the selected plugins, and the Hub when offline.
VARIABLES = (SELECTION, OFFLINE)
# What changes whenever a file is written; None if it does not exist.
Version: TypeAlias = object | None


@dataclass(frozen=True)
class RunnerDescription:
    """What a runner is made from, in another process.

    Attributes:
        recipe: name of the recipe.
        model: the prior, as `load_prior` accepts it; None for the default of the recipe.
        options: options and side images of the recipe by name.
        device, precision, tile, compile: see `make_engine`.
        recipe_file: file of a recipe that is not installed; None for the others.
        folder: working folder, to which relative paths refer.
        variables: the environment variables of `VARIABLES` that are set.
    """

    recipe: str
    model: str | Path | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    device: str = "auto"
    precision: Precision = "auto"
    tile: int | None = None
    compile: bool = False
    recipe_file: Path | None = None
    folder: Path = field(default_factory=Path.cwd)
    variables: Mapping[str, str] = field(
        default_factory=lambda: {name: os.environ[name] for name in VARIABLES if name in os.environ}
    )

    def runner(self) -> Runner:
        """Return the runner."""
        engine = make_engine(self.device, self.precision, self.tile, self.compile)
        return Runner(self._recipe(), self.model, self.options, engine)

    def _recipe(self) -> Recipe:
        if self.recipe_file is not None:
            return load_recipe(self.recipe_file, self.recipe)
        found = recipes()
        if self.recipe not in found:
            raise OptionError(unknown("recipe", self.recipe, found, "--engine ray: a worker"))
        return found[self.recipe]


def describe(recipe: Recipe, model: str | Path | None, options: Mapping[str, Any], **engine: Any) -> RunnerDescription:
    """Return the description of a runner of this process; engine: arguments of `make_engine`."""
    file = None if recipes().get(recipe.name) is recipe else inspect.getsourcefile(recipe.function)
    return RunnerDescription(recipe.name, model, options, recipe_file=None if file is None else Path(file), **engine)


class Attempts:
    """Which tasks and jobs workers have started; an actor on the machine of the command.

    Arguments:
        workers: number of workers that start at the same time.
    """

    def __init__(self, workers: int) -> None:
        self._workers, self._starting = workers, 0
        self._unfinished = Counter[tuple[int, ...]]()
        self._versions: dict[int, list[list[Version]]] = {}
        self._handles: list[Any] = []

    def start_worker(self, handle: Any) -> bool:
        """Note that a worker starts, given its handle; return False if too many died before."""
        self._handles.append(handle)
        self._starting += 1
        return self._starting <= self._workers + MAX_START_DEATHS

    def finish_start(self) -> None:
        """Note that a worker has started."""
        self._starting = 0

    def start_task(self, index: int, versions: list[list[Version]]) -> tuple[bool, list[list[Version]]]:
        """Note the start of a task; return whether it is the first one, and the versions of its targets then."""
        is_first = index not in self._versions
        return is_first, self._versions.setdefault(index, versions)

    def start_job(self, *key: int) -> int:
        """Note that a worker restores a job alone; return how many did without finishing it."""
        self._unfinished[key] += 1
        return self._unfinished[key] - 1

    def finish_job(self, *key: int) -> None:
        """Note that a worker finished a job."""
        self._unfinished[key] = 0

    def handles(self) -> list[Any]:
        """Return the handles of all workers."""
        return self._handles

    def started(self) -> dict[int, list[list[Version]]]:
        """Return the versions of the targets of all tasks that were started, by index."""
        return self._versions


class Worker:
    """Restores the jobs of tasks; an actor of Ray Data.

    Arguments:
        description: the runner.
        settings: the settings of the run.
        transfer: how the files of a job come and go; None for shared folders.
        threads: number of threads of torch.
        attempts: handle of the actor `Attempts`.
    """

    def __init__(
        self, description: RunnerDescription, settings: Settings, transfer: Transfer | None, threads: int, attempts: Any
    ) -> None:
        with contextlib.suppress(OSError):  # a folder that only the machine of the command has
            os.chdir(description.folder)
        os.environ.update(description.variables)
        torch.set_num_threads(threads)
        limit_caches()
        reuse_large_buffers()
        self._settings, self._transfer, self._attempts = settings, transfer, attempts
        self._error: Exception | None = None
        import ray

        try:
            if not ray.get(attempts.start_worker.remote(ray.get_runtime_context().current_actor)):
                raise RestorekitError(START_DIED)
            self._runner = description.runner()
            self._results = Results(self._runner, settings)
            ray.get(attempts.finish_start.remote())
        except Exception as error:  # noqa: BLE001  # raised in the process of the command
            self._error = error

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Restore the jobs of a row; return the pickled report, or the exception that is to end the run."""
        outcome: RunReport | Exception
        try:
            outcome = self._error or self._run(row["index"], pickle.loads(row["jobs"]))
        except SystemExit:  # after SIGTERM, or raised by the recipe; Ray restarts the worker after any other exit code
            os._exit(1)
        except Exception as error:  # noqa: BLE001  # raised in the process of the command
            outcome = error
        return {"index": row["index"], "outcome": pickle.dumps(outcome)}

    def _run(self, index: int, jobs: Sequence[Job]) -> RunReport:
        """Restore the jobs of a task.

        If a worker died meanwhile, they are restored one after another, so that only the photo that causes it fails.
        """
        import ray

        is_first, before = ray.get(self._attempts.start_task.remote(index, [versions(job) for job in jobs]))
        if is_first:
            return self._restore(jobs)
        report = RunReport()
        for number, job in enumerate(jobs):
            deaths = ray.get(self._attempts.start_job.remote(index, number))
            report_of_job = self._restore([job if deaths < MAX_DEATHS else replace(job, problem=job.problem or DIED)])
            if report_of_job.skipped_jobs and versions(job) != before[number]:
                report_of_job = self._finished_earlier(job)
            extend(report, report_of_job)
            ray.get(self._attempts.finish_job.remote(index, number))
            if report.stopped:
                break
        return report

    def _restore(self, jobs: Sequence[Job]) -> RunReport:
        return run_jobs(Plan(tuple(jobs)), self._runner, self._settings, transfer=self._transfer, results=self._results)

    def _finished_earlier(self, job: Job) -> RunReport:
        """Return the report of a job that a worker finished before it died."""
        report = RunReport([job])
        for target in job.targets:
            record = self._results.manifest(target).records(target.name)[-1]
            report.add_notes(f"{job.source}: {note}" for note in record.notes)
        return report


def extend(report: RunReport, other: RunReport) -> None:
    """Append the report of later jobs to a report."""
    report.restored_jobs += other.restored_jobs
    report.skipped_jobs += other.skipped_jobs
    report.kept_jobs += other.kept_jobs
    report.failed += other.failed
    report.traces |= other.traces
    report.stopped = report.stopped or other.stopped
    report.add_notes(other.notes)


def versions(job: Job) -> list[Version]:
    """Return the versions of the targets of a job."""
    return [_version(target) for target in job.targets]


def _version(path: Path) -> Version:
    if url_of(path) is None:
        try:
            found = path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns
    from restorekit.run.remote_store import open_store

    store, name = open_store(path)
    try:
        return str(store.ukey(name))
    except OSError:
        return None
