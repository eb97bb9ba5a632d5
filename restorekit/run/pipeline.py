"""Threads that process jobs one after another, and gates that they pass in the order of the jobs."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

# Seconds for which a stopped run waits for threads that do not check whether it was stopped.
GRACE = 30.0


class StoppedError(Exception):
    """Raised in the threads of a run that was stopped."""


class OrderedGate:
    """Lets numbered threads pass in the order of their numbers, as long as the sum of their weights allows it.

    Arguments:
        capacity: largest sum of the weights of the threads within the gate, unless there is only one.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._changed = threading.Condition()
        self._next = self._used = 0
        self._closed = False

    @contextmanager
    def enter(self, number: int, weight: int) -> Iterator[None]:
        """Wait for all threads with smaller numbers to enter, and for enough capacity; every number enters once.

        Raises StoppedError if the gate is closed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or (self._next == number and self._fits(weight)))
            if self._closed:
                raise StoppedError
            self._next, self._used = number + 1, self._used + weight
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._used -= weight
                self._changed.notify_all()

    def close(self) -> None:
        """Let no thread enter any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _fits(self, weight: int) -> bool:
        return self._used == 0 or self._used + weight <= self._capacity


class Workers(Generic[T, R]):
    """Threads that call a function with the number of an item and the item.

    They do not keep the process alive: after an exception, threads that do not end in time are abandoned.

    Arguments:
        function: called in a thread; the first exception is raised by `run`.
        count: number of threads.
        on_error: called in the thread of an exception, before `run` raises it.
    """

    def __init__(self, function: Callable[[int, T], R], count: int, on_error: Callable[[], None]) -> None:
        self._function, self._count, self._on_error = function, count, on_error
        self._first_error: BaseException | None = None
        self._queue: SimpleQueue[tuple[int, T, Future[R]] | None] = SimpleQueue()
        self._threads = [threading.Thread(target=self._work, daemon=True, name=f"photo-{i}") for i in range(count)]

    def run(self, items: Iterable[T], on_done: Callable[[R], None]) -> None:
        """Process the items, at most one per thread at a time; call `on_done` with the results, here and in order."""
        for thread in self._threads:
            thread.start()
        pending: deque[Future[R]] = deque()
        try:
            for number, item in enumerate(items):
                pending.append(Future())
                self._queue.put((number, item, pending[-1]))
                if len(pending) >= self._count:
                    on_done(pending.popleft().result())
            while pending:
                on_done(pending.popleft().result())
        except StoppedError:  # of a photo that ended because of another one
            raise self._first_error or StoppedError from None
        finally:
            for _ in self._threads:
                self._queue.put(None)

    def join(self) -> None:
        """Wait for the threads to end, for a limited time."""
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(GRACE)

    def _work(self) -> None:
        while (task := self._queue.get()) is not None:
            number, item, future = task
            try:
                future.set_result(self._function(number, item))
            except BaseException as error:  # noqa: BLE001  # raised by `run`
                self._first_error = self._first_error or error
                self._on_error()
                future.set_exception(error)
            del task, item, future
