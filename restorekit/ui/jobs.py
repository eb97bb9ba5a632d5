"""Jobs of visitors: one at a time, in a thread, with progress, and stopped at the next evaluation of a network."""

from __future__ import annotations

import asyncio
import threading
import traceback
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from restorekit.errors import RestorekitError
from restorekit.plugins.plugin_errors import is_debugging

State = Literal["waiting", "running", "done", "stopped", "failed"]
FINISHED: tuple[State, ...] = ("done", "stopped", "failed")
# Seconds between two updates of a page.
INTERVAL = 0.25
# Seconds for which a server that stops waits for its thread.
GRACE = 15.0


class JobStoppedError(Exception):
    """Raised in the thread of a job that was stopped."""


@dataclass(frozen=True)
class Progress:
    """How far a job is.

    Attributes:
        text: one line.
        fraction: what fraction is done, from 0 to 1; None if it is unknown.
        estimate: file with the current estimate of the image; None if there is none.
    """

    text: str = ""
    fraction: float | None = None
    estimate: Path | None = None


class Job:
    """Work for a visitor.

    Arguments:
        work: called in the thread of the queue with the job; it calls `check` often, and `report`.

    Attributes:
        state: what the job is doing.
        progress: how far it is.
        result: what `work` returned.
        error: why it failed, in one line.
    """

    def __init__(self, work: Callable[[Job], Any]) -> None:
        self.state: State = "waiting"
        self.progress = Progress()
        self.result: Any = None
        self.error = ""
        self._work = work
        self._stopped = threading.Event()
        self._listeners: set[Callable[[], None]] = set()
        self._at_end: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    @property
    def is_stopped(self) -> bool:
        """Whether the job is to stop."""
        return self._stopped.is_set()

    @property
    def is_finished(self) -> bool:
        """Whether nothing happens any more."""
        return self.state in FINISHED

    def check(self) -> None:
        """Raise JobStoppedError if the job is to stop."""
        if self._stopped.is_set():
            raise JobStoppedError

    def stop(self) -> None:
        """Let the job stop at its next check."""
        self._stopped.set()

    def report(self, progress: Progress) -> None:
        """Show the progress."""
        self.progress = progress
        self.notify()

    def run(self) -> None:
        """Do the work; in the thread of the queue."""
        self._become("running")
        try:
            self.check()
            self.result = self._work(self)
            self._become("stopped" if self.is_stopped else "done")
        except JobStoppedError:
            self._become("stopped")
        except RestorekitError as error:
            self.error = str(error)
            self._become("failed")
        except Exception as error:  # noqa: BLE001  # a bug of ours or of a plugin; the page shows one line
            text = " ".join(str(error).split())
            self.error = f"{type(error).__name__}: {text}; RESTOREKIT_DEBUG=1 prints the traceback on the server"
            if is_debugging():
                traceback.print_exc()
            self._become("failed")

    def notify(self) -> None:
        """Call the listeners."""
        with self._lock:
            for listener in self._listeners:
                listener()

    async def changes(self) -> AsyncIterator[None]:
        """Yield at once, at changes of state and progress but not more often than the page can show, and at the end."""
        loop, changed = asyncio.get_running_loop(), asyncio.Event()

        def listener() -> None:
            loop.call_soon_threadsafe(changed.set)

        with self._lock:
            self._listeners.add(listener)
        try:
            while True:
                changed.clear()
                last = self.is_finished
                yield
                if last:
                    return
                await changed.wait()
                if not self.is_finished:
                    await asyncio.sleep(INTERVAL)
        finally:
            with self._lock:
                self._listeners.discard(listener)

    def when_finished(self, call: Callable[[], None]) -> None:
        """Call a function at the end of the job, or now if it is finished."""
        with self._lock:
            if not self.is_finished:
                self._at_end.append(call)
                return
        call()

    def _become(self, state: State) -> None:
        with self._lock:
            self.state = state
            calls = self._at_end if self.is_finished else []
        for call in calls:
            call()
        self.notify()


class JobQueue:
    """A thread that does jobs one after another, in the order in which they were added."""

    def __init__(self) -> None:
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._running: Job | None = None
        self._thread = threading.Thread(target=self._work, daemon=True, name="jobs")
        self._thread.start()

    def add(self, job: Job) -> None:
        """Append a job; a queue that is closed stops it instead."""
        with self._changed:
            if self._closed:
                job.stop()
                job._become("stopped")
                return
            self._jobs.append(job)
            self._changed.notify_all()

    def stop(self, job: Job) -> None:
        """Stop a job, which leaves the queue if it waits, so that the others move up."""
        job.stop()
        with self._changed:
            if job in self._jobs:
                self._jobs.remove(job)
                job._become("stopped")
            waiting = list(self._jobs)
        for other in waiting:
            other.notify()

    def position(self, job: Job) -> int:
        """Return the number of jobs before a waiting one."""
        with self._changed:
            running = int(self._running is not None)
            return running + self._jobs.index(job) if job in self._jobs else 0

    def close(self) -> bool:
        """Stop all jobs and wait for the thread, for a limited time; return whether it ended."""
        self.stop_all()
        self._thread.join(GRACE)
        return not self._thread.is_alive()

    def stop_all(self) -> None:
        """Stop all jobs; none can be added any more."""
        with self._changed:
            self._closed = True
            jobs = [*self._jobs, *([] if self._running is None else [self._running])]
            self._changed.notify_all()
        for job in jobs:
            self.stop(job)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or bool(self._jobs))
                if not self._jobs:
                    return
                job = self._running = self._jobs.popleft()
                waiting = list(self._jobs)
            for other in waiting:
                other.notify()
            job.run()
            with self._changed:
                self._running = None
