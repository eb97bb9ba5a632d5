"""Batches of crops of photos, of a folder or of shards, for every process and from every step on."""

from __future__ import annotations

import io
import itertools
import signal
import struct
import warnings
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from restorekit.core.files import readable_formats
from restorekit.core.signals import SIGNALS
from restorekit.errors import TrainingError
from restorekit.training.data import CachedCrops, StreamedCrops, cut_crop, fit
from restorekit.training.data_plan import DataPlan
from restorekit.training.shards import Sample, Samples, check_exist, class_index

# Exceptions of Pillow for damaged images.
DAMAGE = (OSError, ValueError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError)


T = TypeVar("T")


def batches(
    plan: DataPlan,
    *,
    channels: int,
    seed: int,
    device: torch.device,
    count: int,
    first: int,
    stride: int,
    classes: tuple[str, ...] | None = None,
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield batches (count, C, crop, crop), float32 in [-1, 1], and labels (count,) or None, indefinitely.

    The batches start at crops `first`, `first + stride`, and so on, so that every process and every resumed run can
    select its crops.
    """
    if plan.shards is not None:
        source: Iterator[tuple[Tensor, Tensor]] = prefetch(
            shard_batches(plan, channels=channels, seed=seed, count=count, first=first, stride=stride, classes=classes)
        )
    elif plan.cache:
        cached = CachedCrops(plan, channels, seed, device, classes)
        source = (cached.batch(start, count) for start in itertools.count(first, stride))
    else:
        sampler = (list(range(start, start + count)) for start in itertools.count(first, stride))
        streamed = StreamedCrops(plan, channels, seed, classes)
        source = iter(
            DataLoader(
                streamed, batch_sampler=_Sampler(sampler), num_workers=plan.workers, worker_init_fn=_start_worker
            )
        )
    for pixels, labels in source:
        yield pixels.to(device).float() / 127.5 - 1, None if classes is None else labels.to(device)


def _start_worker(index: int) -> None:
    """Let the main process decide about signals, which a terminal sends to the workers as well, and print nothing."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    warnings.simplefilter("ignore")


class _Sampler:
    """An iterable of index lists for `DataLoader`."""

    def __init__(self, indices: Iterator[list[int]]) -> None:
        self._indices = indices

    def __iter__(self) -> Iterator[list[int]]:
        return self._indices


def decode_sample(
    samples: Samples, sample: Sample, spares: list[Sample], plan: DataPlan, channels: int
) -> tuple[NDArray[np.uint8], Sample]:
    """Return the pixels of a sample of a shard, or of the first of its spares whose image is not damaged."""
    for candidate in (sample, *spares):
        try:
            with Image.open(io.BytesIO(candidate.image), formats=readable_formats()) as image:
                return fit(image, plan, channels), candidate
        except DAMAGE as error:
            samples.note(f"{candidate.name} cannot be read ({' '.join(str(error).split())})")
    raise TrainingError(f"data.shards: {sample.name} and {len(spares)} images after and before it are damaged")


def shard_batches(
    plan: DataPlan,
    *,
    channels: int,
    seed: int,
    count: int,
    first: int,
    stride: int,
    classes: tuple[str, ...] | None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches of crops (count, C, crop, crop) uint8 and labels (count,) from shards; see `batches`."""
    urls, processes, process = plan.shard_urls, stride // count, first % stride // count
    check_exist(urls)
    if len(urls) < processes:
        raise TrainingError(
            f"data.shards: found {len(urls)} shards, allowed: at least one for each of {processes} processes"
        )
    samples = Samples(urls[process::processes], f"{seed}/{process}", plan.shuffle_megabytes * 10**6)

    def crop(index: int, taken: tuple[Sample, list[Sample]]) -> tuple[Tensor, int]:
        pixels, sample = decode_sample(samples, *taken, plan, channels)
        label = 0 if classes is None or plan.labels is None else class_index(sample, f".{plan.labels}", classes)
        return cut_crop(plan, pixels, index, seed), label

    stream = samples.start(first // stride * count)
    with ThreadPoolExecutor(max(1, plan.workers)) as pool:
        for start in itertools.count(first, stride):
            crops, labels = zip(*pool.map(crop, range(start, start + count), stream), strict=True)
            yield torch.stack(crops), torch.tensor(labels)


def prefetch(source: Iterator[T], ahead: int = 2) -> Iterator[T]:
    """Yield the items of an endless iterator, which a thread computes ahead of time."""
    with ThreadPoolExecutor(1) as thread:
        pending = deque(thread.submit(next, source) for _ in range(ahead))
        try:
            while True:
                yield pending.popleft().result()
                pending.append(thread.submit(next, source))
        finally:
            thread.shutdown(cancel_futures=True)
