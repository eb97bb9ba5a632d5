"""Ordered gates and worker threads."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from restorekit.run.pipeline import OrderedGate, StoppedError, Workers


def test_results_arrive_in_order() -> None:
    second_done = threading.Event()

    def work(number: int, item: str) -> str:
        if number == 0:
            second_done.wait(10)
        if number == 1:
            second_done.set()
        return item.upper()

    results: list[str] = []
    Workers(work, 3, lambda: None).run("abcde", results.append)
    assert results == list("ABCDE")


def test_an_exception_of_a_thread_is_raised_after_the_results_before_it() -> None:
    stopped = threading.Event()

    def work(number: int, item: int) -> int:
        if item == 2:
            raise KeyboardInterrupt
        return item

    results: list[int] = []
    workers = Workers(work, 2, stopped.set)
    with pytest.raises(KeyboardInterrupt):
        workers.run(range(1000), results.append)
    assert results == [0, 1]
    assert stopped.is_set()
    workers.join()


def test_a_gate_is_passed_in_order() -> None:
    gate, order = OrderedGate(1), list[int]()

    def enter(number: int) -> None:
        with gate.enter(number, 1):
            order.append(number)

    threads = [threading.Thread(target=enter, args=(number,)) for number in (3, 1, 2, 0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert order == [0, 1, 2, 3]


def test_a_gate_limits_the_sum_of_the_weights() -> None:
    gate, lock = OrderedGate(10), threading.Lock()
    inside: list[int] = []
    largest: list[int] = []

    def enter(number: int, weight: int) -> None:
        with gate.enter(number, weight):
            with lock:
                inside.append(weight)
                largest.append(sum(inside) if len(inside) > 1 else 0)
            with lock:
                inside.remove(weight)

    weights = [4, 6, 1, 50, 9, 3, 8, 2] * 20
    threads = [threading.Thread(target=enter, args=pair) for pair in enumerate(weights)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(largest) == len(weights), "a weight above the capacity enters alone"
    assert max(largest) <= 10


def test_a_closed_gate_lets_nobody_in() -> None:
    gate, caught = OrderedGate(1), list[Any]()

    def enter() -> None:
        try:
            with gate.enter(1, 1):
                caught.append("entered")
        except StoppedError as error:
            caught.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    gate.close()
    thread.join(10)
    assert [type(item) for item in caught] == [StoppedError]
