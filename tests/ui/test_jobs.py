"""Jobs run one after another and stop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from restorekit.errors import ImageError
from restorekit.ui.jobs import Job, JobQueue, Progress

SECONDS = 30


@pytest.fixture
def queue() -> Iterator[JobQueue]:
    found = JobQueue()
    yield found
    found.close()


class Blocked:
    """Work that waits until it is released or stopped."""

    def __init__(self) -> None:
        self.started, self.released = threading.Event(), threading.Event()

    def __call__(self, job: Job) -> str:
        self.started.set()
        while not self.released.wait(0.01):
            job.check()
        return "result"


def finished(job: Job) -> Job:
    """The job at its end."""
    done = threading.Event()
    job.when_finished(done.set)
    assert done.wait(SECONDS)
    return job


def test_one_job_at_a_time(queue: JobQueue) -> None:
    works = [Blocked() for _ in range(3)]
    jobs = [Job(work) for work in works]
    for job in jobs:
        queue.add(job)
    assert works[0].started.wait(SECONDS)
    assert [job.state for job in jobs] == ["running", "waiting", "waiting"]
    assert [queue.position(job) for job in jobs] == [0, 1, 2]
    works[0].released.set()
    assert finished(jobs[0]).result == "result"
    assert works[1].started.wait(SECONDS)
    assert queue.position(jobs[2]) == 1
    for work in works:
        work.released.set()
    assert [finished(job).state for job in jobs] == ["done"] * 3


def test_a_running_job_stops(queue: JobQueue) -> None:
    work = Blocked()
    job = Job(work)
    queue.add(job)
    assert work.started.wait(SECONDS)
    queue.stop(job)
    assert (finished(job).state, job.result) == ("stopped", None)


def test_a_waiting_job_stops_at_once_and_the_others_move_up(queue: JobQueue) -> None:
    first, second = Blocked(), Blocked()
    jobs = [Job(first), Job(second), Job(lambda job: 3)]
    for job in jobs:
        queue.add(job)
    assert first.started.wait(SECONDS)
    changes: list[int] = []
    jobs[2]._listeners.add(lambda: changes.append(queue.position(jobs[2])))
    queue.stop(jobs[1])
    assert (jobs[1].state, second.started.is_set(), changes) == ("stopped", False, [1])
    first.released.set()
    assert finished(jobs[2]).result == 3


def test_errors_are_one_line(queue: JobQueue, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def user_error(job: Job) -> None:
        raise ImageError("a.png: damaged")

    def bug(job: Job) -> None:
        raise ValueError("two\nlines")

    jobs = [Job(user_error), Job(bug)]
    monkeypatch.setenv("RESTOREKIT_DEBUG", "1")
    for job in jobs:
        queue.add(job)
    assert [finished(job).state for job in jobs] == ["failed", "failed"]
    assert jobs[0].error == "a.png: damaged"
    assert jobs[1].error == "ValueError: two lines; RESTOREKIT_DEBUG=1 prints the traceback on the server"
    assert "Traceback" in capsys.readouterr().err


def test_closing_stops_all_jobs() -> None:
    queue, work = JobQueue(), Blocked()
    jobs = [Job(work), Job(lambda job: 1)]
    for job in jobs:
        queue.add(job)
    assert work.started.wait(SECONDS)
    queue.close()
    late = Job(lambda job: 2)
    queue.add(late)
    assert [job.state for job in (*jobs, late)] == ["stopped"] * 3


def test_changes_end_with_the_job(queue: JobQueue) -> None:
    go = threading.Event()

    def work(job: Job) -> None:
        assert go.wait(SECONDS)
        for step in range(1000):
            job.report(Progress(f"step {step}"))

    async def follow() -> list[tuple[str, str]]:
        job, found = Job(work), []
        queue.add(job)
        async for _ in job.changes():
            found.append((job.state, job.progress.text))
            go.set()
        return found

    found = asyncio.run(asyncio.wait_for(follow(), SECONDS))
    assert found[-1] == ("done", "step 999")
    assert len(found) < 20


def test_the_end_is_seen_by_late_listeners(queue: JobQueue) -> None:
    job = Job(lambda job: 1)
    queue.add(job)
    finished(job)
    calls: list[int] = []
    job.when_finished(lambda: calls.append(1))
    assert calls == [1]
