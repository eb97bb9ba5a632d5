"""Evaluations of several threads as one batch."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from restorekit.core.denoiser import Estimate, PriorInfo
from restorekit.priors.batched import FIRST_PIXELS, Batched, BatchQueue, BatchSize
from restorekit.testing import GaussianPrior


class Recorded:
    """D = x * sigma + label; notes the number of images of every evaluation."""

    info = PriorInfo(channels=1, size=None, sigma_min=0.1, sigma_max=10)

    def __init__(self, most: int = 1000) -> None:
        self.counts: list[int] = []
        self.most = most

    def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        self.counts.append(len(x))
        if len(x) > self.most:
            raise torch.OutOfMemoryError("out of memory")
        if (x == 7).any():
            raise ValueError("seven")
        offset = 0 if label is None else label.reshape(-1, 1, 1, 1)
        return x * sigma.reshape(-1, 1, 1, 1) + offset


def in_threads(queue: BatchQueue, *functions: Callable[[], Any]) -> list[Any]:
    """Call the functions in threads that participate from the same time on; return results or exceptions."""
    results: list[Any] = [None] * len(functions)
    barrier = threading.Barrier(len(functions))

    def work(i: int) -> None:
        with queue.participate(), torch.no_grad():
            barrier.wait()
            try:
                results[i] = functions[i]()
            except Exception as error:  # noqa: BLE001  # compared by the test
                results[i] = error

    threads = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(len(functions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive(), "deadlock"
    return results


def ask(prior: Batched, value: float, count: int = 1, *, sigma: float = 2.0, side: int = 4) -> Callable[[], Tensor]:
    x, sigmas = torch.full((count, 1, side, side), value), torch.full((count,), sigma)
    return lambda: prior(x, sigmas)


def test_windows_of_several_threads_are_one_batch() -> None:
    inner, queue = Recorded(), BatchQueue()
    prior = Batched(inner, queue)
    one, two, three = in_threads(queue, ask(prior, 1.0), ask(prior, 2.0, 3, sigma=3.0), ask(prior, 4.0, 2))
    assert inner.counts == [6]
    assert [x.unique().tolist() for x in (one, two, three)] == [[2.0], [6.0], [8.0]]
    assert [len(x) for x in (one, two, three)] == [1, 3, 2]


def test_windows_of_different_shapes_priors_or_labels_are_not_mixed() -> None:
    inner, other, queue = Recorded(), Recorded(), BatchQueue()
    prior, second = Batched(inner, queue), Batched(other, queue)
    labelled = lambda: prior(torch.ones(1, 1, 4, 4), torch.ones(1), torch.tensor([5]))  # noqa: E731
    sizes = ask(prior, 1.0), ask(prior, 1.0, side=8), ask(second, 1.0), labelled
    results = in_threads(queue, *sizes)
    assert inner.counts == [1, 1, 1]
    assert other.counts == [1]
    assert [float(x.max()) for x in results] == [2.0, 2.0, 2.0, 6.0]


def test_threads_that_evaluate_different_numbers_of_times_do_not_wait_for_each_other_forever() -> None:
    inner, queue = Recorded(), BatchQueue()
    prior = Batched(inner, queue)

    def several(times: int) -> Callable[[], float]:
        return lambda: float(sum(ask(prior, 1.0)().mean() for _ in range(times)))

    assert in_threads(queue, several(1), several(4), several(2), lambda: 0.0) == [2.0, 8.0, 4.0, 0.0]
    assert sum(inner.counts) == 7
    assert max(inner.counts) == 3


def test_an_exception_is_that_of_the_thread_whose_images_raise_it() -> None:
    inner, queue = Recorded(), BatchQueue()
    prior = Batched(inner, queue)
    good, bad = in_threads(queue, ask(prior, 1.0), ask(prior, 7.0))
    assert float(good.mean()) == 2.0
    assert isinstance(bad, ValueError)


def test_a_batch_is_halved_at_out_of_memory_and_stays_small() -> None:
    inner = Recorded(most=3)
    prior = Batched(inner, BatchQueue())
    x = torch.arange(10.0).reshape(10, 1, 1, 1).expand(-1, -1, 4, 4) / 10
    with torch.no_grad():
        assert torch.equal(prior(x, torch.full((10,), 2.0)), 2 * x)
        assert inner.counts == [10, 5, 2, 2, 2, 2, 2]
        inner.counts.clear()
        prior(x[:4], torch.full((4,), 2.0))
    assert inner.counts == [2, 2]


def test_one_image_that_does_not_fit_into_memory_raises() -> None:
    prior = Batched(Recorded(most=0), BatchQueue())
    with torch.no_grad(), pytest.raises(torch.OutOfMemoryError):
        prior(torch.zeros(2, 1, 4, 4), torch.ones(2))


def test_a_batch_has_a_limited_number_of_pixels() -> None:
    inner = Recorded()
    prior = Batched(inner, BatchQueue())
    with torch.no_grad():
        prior(torch.zeros(5, 1, 256, 256), torch.ones(5))
    assert inner.counts == [4, 1]


def test_the_batch_size_doubles_while_that_is_faster() -> None:
    size = BatchSize(probing=True)
    side = 128
    seconds_per_image = {16: 1.0, 32: 0.6, 64: 0.5, 128: 0.49}
    tried = []
    for _ in range(6):
        count = size.images(side, side)
        tried.append(count)
        size.record(count, side, side, count * seconds_per_image[count])
    assert tried == [16, 32, 64, 128, 64, 64]
    size.record(1, side, side, 100.0)
    assert size.images(side, side) == 64, "a batch that is not full says nothing"


def test_without_probing_the_batch_size_does_not_change() -> None:
    size = BatchSize()
    size.record(4, 256, 256, 0.001)
    assert size.pixels == FIRST_PIXELS


def test_gradients_flow_and_learned_variances_are_batched() -> None:
    queue = BatchQueue()
    prior = Batched(GaussianPrior(channels=1), queue)
    x = torch.zeros(1, 1, 4, 4, requires_grad=True)
    prior(x, torch.ones(1)).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().min() > 0

    class Variance(Recorded):
        info = PriorInfo(channels=1, size=None, sigma_min=0.1, sigma_max=10, learned_variance=True)

        def with_variance(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Estimate:
            return self(x, sigma, label), x + 1

    inner = Variance()
    batched = Batched(inner, queue)
    values = [lambda v=value: batched.with_variance(torch.full((1, 1, 4, 4), v), torch.ones(1)) for value in (1.0, 2.0)]
    outcomes = in_threads(queue, *values)
    assert inner.counts == [2]
    assert [(float(d.mean()), float(w.mean())) for d, w in outcomes] == [(1.0, 2.0), (2.0, 3.0)]
