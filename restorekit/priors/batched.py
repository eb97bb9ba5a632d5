"""Windows of photos that are restored in several threads, evaluated together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from restorekit.core.denoiser import Denoiser, Estimate, Wrapper, denoise_with_variance
from restorekit.core.logits import check_pixels

# Pixels that are evaluated at once at first: one window of 512 x 512.
FIRST_PIXELS = 512**2
# A larger batch is kept if it is faster by this factor.
MIN_GAIN = 1.05


class BatchSize:
    """Number of pixels that are evaluated at once.

    Arguments:
        probing: double it after every full batch until that is not faster any more.

    Attributes:
        pixels: the present number.
    """

    def __init__(self, *, probing: bool = False) -> None:
        self.pixels = FIRST_PIXELS
        self._probing, self._best = probing, 0.0

    def images(self, height: int, width: int) -> int:
        """Return how many images of that size are evaluated at once; at least 1."""
        return max(1, self.pixels // (height * width))

    def record(self, images: int, height: int, width: int, seconds: float) -> None:
        """Note how long a batch took; without effect unless it was full and the size is being probed."""
        if not self._probing or images < self.images(height, width):
            return
        rate = images * height * width / max(seconds, 1e-9)
        if rate < MIN_GAIN * self._best:
            self._probing, self.pixels = False, max(FIRST_PIXELS, self.pixels // 2)
            return
        self._best, self.pixels = rate, 2 * self.pixels

    def halve(self, images: int, height: int, width: int) -> None:
        """Halve a batch for which there was not enough memory, for the rest of the run."""
        self._probing, self.pixels = False, images // 2 * height * width


@dataclass(eq=False)
class _Request:
    """Images that one thread wants to be evaluated, and the outcome."""

    prior: Batched
    with_variance: bool
    x: Tensor
    sigma: Tensor
    label: Tensor | None
    order: int
    outcome: Estimate | Exception | None = None

    @property
    def kind(self) -> tuple[object, ...]:
        """What the requests of a batch have in common."""
        shapes = self.x.shape[1:], self.sigma.shape[1:], self.x.dtype, self.x.device
        return id(self.prior), self.with_variance, self.label is None, *shapes


class BatchQueue:
    """The threads that restore photos at the same time, and the evaluations that they wait for.

    Evaluations start as soon as all of these threads wait for one, so that the batches do not depend on their speed.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._orders: dict[int, int] = {}
        self._next, self._pending = 0, list[_Request]()

    @contextmanager
    def participate(self) -> Iterator[None]:
        """Count the thread among those that restore photos, until the end of the block."""
        thread = threading.get_ident()
        with self._changed:
            self._orders[thread], self._next = self._next, self._next + 1
        try:
            yield
        finally:
            with self._changed:
                del self._orders[thread]
                self._changed.notify_all()

    def evaluate(self, prior: Batched, with_variance: bool, x: Tensor, sigma: Tensor, label: Tensor | None) -> Estimate:
        """Evaluate a prior, together with what other threads wait for."""
        with self._changed:
            order = self._orders.get(threading.get_ident(), -1)
            request = _Request(prior, with_variance, x, sigma, label, order)
            self._pending.append(request)
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: (
                    request.outcome is not None
                    or (request in self._pending and len(self._pending) >= len(self._orders))
                )
            )
            requests, self._pending = (self._pending, []) if request.outcome is None else ([], self._pending)
        if requests:
            _evaluate_requests(requests)
            with self._changed:
                self._changed.notify_all()
        if isinstance(request.outcome, Exception):
            raise request.outcome
        assert request.outcome is not None
        return request.outcome


class Batched(Wrapper):
    """D of a prior, evaluated for several threads at once, in batches that fit into memory.

    Evaluations with gradients are not batched: a thread that differentiates would free the graph of the others.

    Arguments:
        prior: any denoiser.
        queue: the threads; shared by all priors that they use.
        probing: see `BatchSize`.

    Raises ModelError for a prior of logits.
    """

    def __init__(self, prior: Denoiser, queue: BatchQueue, *, probing: bool = False) -> None:
        check_pixels(prior.info, "restoring photos")
        super().__init__(prior)
        self.queue, self.batch_size = queue, BatchSize(probing=probing)

    def _evaluate(self, inner: Callable[..., Estimate], x: Tensor, sigma: Tensor, label: Tensor | None) -> Estimate:
        with_variance = inner != self._without_variance
        if torch.is_grad_enabled():
            return self.evaluate_in_batches(with_variance, x, sigma, label)
        return self.queue.evaluate(self, with_variance, x, sigma, label)

    def evaluate_in_batches(self, with_variance: bool, x: Tensor, sigma: Tensor, label: Tensor | None) -> Estimate:
        """Evaluate D of x (N, C, H, W) in batches of the present size, which is halved as often as memory requires."""
        results: list[Tensor] = []
        weights: list[Tensor] = []
        start, (height, width) = 0, x.shape[-2:]
        while start < len(x):
            part = slice(start, start + self.batch_size.images(height, width))
            images, labels = x[part], None if label is None else label[part]
            started = time.perf_counter()
            try:
                if with_variance:
                    result, weight = denoise_with_variance(self.inner, images, sigma[part], labels)
                else:
                    result, weight = self.inner(images, sigma[part], labels), None
                _synchronize(result)
            except RuntimeError as error:
                if len(images) == 1 or not is_out_of_memory(error):
                    raise
            else:
                self.batch_size.record(len(images), height, width, time.perf_counter() - started)
                results.append(result)
                weights += [] if weight is None else [weight]
                start += len(images)
                continue
            # After the handler, since the traceback of the exception refers to the memory.
            self.batch_size.halve(len(images), height, width)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        if len(results) == 1:
            return results[0], weights[0] if weights else None
        return torch.cat(results), torch.cat(weights) if weights else None


def is_out_of_memory(error: BaseException) -> bool:
    """Return True if torch or the operating system had not enough memory."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


def _evaluate_requests(requests: Sequence[_Request]) -> None:
    """Evaluate the requests, those of the same kind together, and set their outcomes."""
    kinds: dict[tuple[object, ...], list[_Request]] = {}
    for request in sorted(requests, key=lambda request: request.order):
        kinds.setdefault(request.kind, []).append(request)
    for group in kinds.values():
        try:
            _evaluate_group(group)
        except Exception:  # noqa: BLE001  # each thread gets the exception that its own images raise
            for request in group:
                try:
                    _evaluate_group([request])
                except Exception as error:  # noqa: BLE001  # raised in the thread of the request
                    request.outcome = error


def _evaluate_group(group: Sequence[_Request]) -> None:
    """Evaluate requests of the same kind as one batch."""
    first = group[0]
    if len(group) == 1:
        first.outcome = first.prior.evaluate_in_batches(first.with_variance, first.x, first.sigma, first.label)
        return
    x, sigma = torch.cat([request.x for request in group]), torch.cat([request.sigma for request in group])
    label = None if first.label is None else torch.cat([r.label for r in group if r.label is not None])
    result, weight = first.prior.evaluate_in_batches(first.with_variance, x, sigma, label)
    counts = [len(request.x) for request in group]
    parts = result.split(counts), [None] * len(group) if weight is None else weight.split(counts)
    for request, outcome in zip(group, zip(*parts, strict=True), strict=True):
        request.outcome = outcome


def _synchronize(x: Tensor) -> None:
    """Wait for a result on a GPU, whose errors and duration are otherwise those of a later call."""
    if x.device.type == "cuda":
        torch.cuda.synchronize(x.device)
