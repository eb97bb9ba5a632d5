"""Restoring photos on a Ray cluster: the jobs are a Ray Data dataset, and actors with the prior restore them."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Callable, Sequence
from typing import Any

from restorekit.core.files import remove_partial_files
from restorekit.run.plan import Job, Plan
from restorekit.run.ray_cluster import Share, cluster, shares
from restorekit.run.ray_worker import Attempts, RunnerDescription, Version, Worker, extend, versions
from restorekit.run.settings import RunReport, Settings, deleted
from restorekit.run.transfer import Transfer

# Largest number of jobs that a worker restores in one task, unless `settings.batch` is larger.
MAX_TASK = 8
# Number of tasks per worker in a short run, so that all workers end at about the same time.
TASKS_PER_WORKER = 4
# Seconds to wait for the actors of a run that stopped.
TIMEOUT = 10


def run_jobs_on_ray(
    plan: Plan,
    description: RunnerDescription,
    settings: Settings,
    on_done: Callable[[Job], None] = lambda job: None,
    transfer: Transfer | None = None,
    *,
    workers: int | None = None,
) -> RunReport:
    """Restore every photo on a Ray cluster; the results and the report are those of `run_jobs`.

    The cluster is that of the environment variable `RAY_ADDRESS`. If it is not set, one is started on this machine for
    the run. All machines must see the photos, the models and the results under the same paths. A worker that dies is
    started again and continues with its jobs. A photo at which workers die repeatedly fails.

    on_done: called for the jobs of every task when it is done.
    transfer: how the files of a job come and go; None for shared folders.
    workers: number of workers; None for one per GPU or, without GPUs, one per machine.

    Raises OptionError if Ray is not installed, or the cluster has not enough CPUs or GPUs.
    """
    folders = {target.parent for job in plan.jobs for target in job.targets}
    for folder in folders:
        remove_partial_files(folder)
    with cluster() as ray:
        count, share = shares([node["Resources"] for node in ray.nodes() if node["Alive"]], description.device, workers)
        tasks = split(plan.jobs, count, settings.batch or 1)
        # On this machine, since the run ends with this actor.
        node = ray.get_runtime_context().get_node_id()
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node, soft=False)
        attempts = ray.remote(Attempts).options(num_cpus=0, scheduling_strategy=here).remote(count)
        dataset = _dataset(ray, tasks, count, share, (description, settings, transfer, share.threads, attempts))
        reports, stopped = _run_tasks(ray, dataset, tasks, on_done)
        started = {}
        if stopped:
            with contextlib.suppress(ray.exceptions.RayError):
                _kill(ray, ray.get(attempts.handles.remote(), timeout=TIMEOUT))
                started = ray.get(attempts.started.remote(), timeout=TIMEOUT)
    # The workers have ended.
    for folder in folders:
        remove_partial_files(folder)
    report = RunReport(failed=list(plan.failed), stopped=stopped)
    for index, jobs in enumerate(tasks):
        extend(report, reports.get(index) or _written(jobs, started.get(index, ())))
    if transfer is None:
        report.fail_restored(deleted)
    return report


def split(jobs: Sequence[Job], workers: int, batch: int) -> list[Sequence[Job]]:
    """Return the jobs of every task, in the order of the plan."""
    size = min(max(MAX_TASK, batch), -(-len(jobs) // (TASKS_PER_WORKER * workers)))
    return [jobs[start : start + size] for start in range(0, len(jobs), size)]


def _dataset(ray: Any, tasks: Sequence[Sequence[Job]], workers: int, share: Share, arguments: tuple[Any, ...]) -> Any:
    """Return the dataset whose rows are the outcomes of the tasks; every task is one block.

    arguments: those of `Worker`.
    """
    rows = [{"index": index, "jobs": pickle.dumps(jobs)} for index, jobs in enumerate(tasks)]
    return ray.data.from_items(rows, override_num_blocks=len(rows)).map(
        Worker,
        fn_constructor_args=arguments,
        compute=ray.data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=1),
        **({"num_gpus": share.gpus} if share.gpus else {"num_cpus": share.threads}),
    )


def _run_tasks(
    ray: Any, dataset: Any, tasks: Sequence[Sequence[Job]], on_done: Callable[[Job], None]
) -> tuple[dict[int, RunReport], str]:
    """Run the tasks; return their reports by index, and why the run stopped early (empty if it did not)."""
    reports: dict[int, RunReport] = {}
    try:
        with contextlib.closing(iter(dataset.iter_rows())) as rows:
            for row in rows:
                outcome = pickle.loads(row["outcome"])
                if isinstance(outcome, Exception):
                    raise outcome
                reports[row["index"]] = outcome
                for job in tasks[row["index"]]:
                    on_done(job)
                if outcome.stopped:
                    return reports, outcome.stopped
    except KeyboardInterrupt as interrupt:
        return reports, str(interrupt) or "interrupted"
    except ray.exceptions.RayError as error:
        return reports, f"Ray: {str(error).splitlines()[0]}"
    return reports, ""


def _kill(ray: Any, workers: Sequence[Any]) -> None:
    """Kill the workers of a run that stopped, and wait until they have ended: they may be restoring other photos."""
    for worker in workers:
        ray.kill(worker)
    for worker in workers:
        with contextlib.suppress(ray.exceptions.RayError):
            ray.get(worker.__ray_ready__.remote(), timeout=TIMEOUT)


def _written(jobs: Sequence[Job], before: Sequence[Sequence[Version]]) -> RunReport:
    """Return the report of a task that was stopped: jobs are restored if all their results were written during it.

    before: the versions of the results at the start of the task; empty if it was not started.
    """
    pairs = [(job, zip(versions(job), old, strict=True)) for job, old in zip(jobs, before, strict=False)]
    return RunReport([job for job, pair in pairs if all(now not in (None, old) for now, old in pair)])
