"""Megapixels per second of `denoise --sigma 25`, compared with other ways to evaluate a network of the same shape.

python benchmarks/throughput.py PHOTO... [--repeats 3]

Requires diffusers and deepinv. Every row is a process of its own; the processes take turns, and the fastest of the
repetitions counts. On a shared machine, the seconds of all cores together are more exact than the seconds. Photos are
decoded before. Other networks get a whole photo, or windows of 512 x 512 if it is larger, in float32, as their
documentation calls them.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from restorekit.builtin.denoise import denoise
from restorekit.core.memory import reuse_large_buffers
from restorekit.evaluation.denoising import degrade
from restorekit.models.registry import load_prior
from restorekit.priors.epsilon import EpsilonPrior, pad_to_multiple
from restorekit.run.engine import make_engine
from restorekit.run.images import read_photo
from restorekit.run.runner import Runner

MODEL, SIGMA, WINDOW, OVERLAP = "ddpm-photo", 25, 512, 32
# Sides and numbers of the windows of which the convolutions alone are measured; the fastest counts.
SHAPES = ((512, 1), (256, 1), (128, 4))
CONVOLUTIONS = "(d) the convolutions of restorekit alone, in its precision"
Restore = Callable[[Tensor], object]
# Seconds, and seconds of all cores together.
Cost = NDArray[np.float64]


def with_restorekit(device: torch.device) -> Restore:
    """Return `denoise` as the command line runs it."""
    reuse_large_buffers()
    runner = Runner(denoise, MODEL, {"sigma": float(SIGMA)}, make_engine(str(device)))
    return lambda y: runner.restore(y, [0])


def with_diffusers(device: torch.device) -> Restore:
    """Return the `UNet2DModel` of the same shape, which has group norm, with random weights."""
    from diffusers import UNet2DModel

    config = load_net().config
    widths = tuple(multiplier * config.channels for multiplier in config.multipliers)
    net = UNet2DModel(
        in_channels=config.in_channels,
        out_channels=config.out_channels,
        block_out_channels=widths,
        layers_per_block=config.blocks,
        down_block_types=("DownBlock2D",) * len(widths),
        up_block_types=("UpBlock2D",) * len(widths),
        add_attention=False,
        resnet_time_scale_shift="scale_shift",
    )
    net = net.to(device).eval()
    return lambda y: in_windows(lambda x: net(with_channels(x, config.in_channels), 50).sample, y.to(device))


def with_plain_network(device: torch.device) -> Restore:
    """Return the network of restorekit with its weights, and with the operations of a training."""
    net = load_net().to(device).requires_grad_(False)
    t = torch.full((1,), 50.0, device=device)

    @torch.enable_grad()
    def evaluate(x: Tensor) -> Tensor:
        return net(with_channels(x, net.config.in_channels), t)

    return lambda y: in_windows(evaluate, y.to(device))


def with_drunet(device: torch.device) -> Restore:
    """Return deepinv's DRUNet with random weights."""
    from deepinv.models import DRUNet

    net = DRUNet(pretrained=None).to(device).eval()
    return lambda y: in_windows(lambda x: net(x, SIGMA / 255), y.to(device))


def load_net() -> nn.Module:
    """Return the network of the prior, in evaluation mode, on the CPU."""
    prior = load_prior(MODEL)
    assert isinstance(prior, EpsilonPrior)
    return prior.net.eval()


def with_channels(x: Tensor, channels: int) -> Tensor:
    """Return x with zeros in additional channels."""
    return F.pad(x, (0, 0, 0, 0, 0, channels - x.shape[1]))


def in_windows(net: Callable[[Tensor], Tensor], y: Tensor) -> Tensor:
    """Evaluate a network on an image, or on evenly spaced windows of a large one."""
    x = pad_to_multiple(y, 8)
    result = torch.zeros_like(x)
    for rows in windows(x.shape[-2]):
        for columns in windows(x.shape[-1]):
            result[..., rows, columns] = net(x[..., rows, columns])
    return result.cpu()


def windows(length: int) -> Iterator[slice]:
    """Yield the windows along one axis."""
    count = max(1, math.ceil((length - OVERLAP) / (WINDOW - OVERLAP)))
    for i in range(count):
        start = i * max(0, length - WINDOW) // max(1, count - 1) // 8 * 8
        yield slice(start, min(start + WINDOW, length))


ROWS: dict[str, Callable[[torch.device], Restore]] = {
    "restorekit": with_restorekit,
    "(a) diffusers `UNet2DModel`, float32": with_diffusers,
    "(b) the network alone, eager, float32": with_plain_network,
    "(c) deepinv `DRUNet`, float32": with_drunet,
}


class Convolutions(TorchFunctionMode):
    """Counts the convolutions that are called: function, shapes of x and weight, dtype, other arguments, channels."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[tuple[Any, ...]] = Counter()

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        """Call the function; count it if it is a convolution."""
        result = func(*args, **(kwargs or {}))
        if func in (torch.conv2d, torch.conv_transpose2d):
            options = args[3:], tuple((kwargs or {}).items())
            self.calls[func, args[0].shape, args[1].shape, result.dtype, *options, result.shape[1]] += 1
        return result


def with_convolutions_only(device: torch.device) -> Callable[[], Cost]:
    """Return a function that measures the cost of a megapixel of the convolutions of `denoise`, without the rest."""
    reuse_large_buffers()
    prior = make_engine(str(device)).place(load_prior(MODEL))
    calls = {}
    for side, count in SHAPES:
        with torch.no_grad(), Convolutions() as convolutions:
            x = torch.zeros(count, 3, side, side, device=device)
            prior(x, torch.full((count,), SIGMA / 127.5, device=device))
        calls[side, count] = convolutions.calls
    return lambda: smallest([total_cost(c, device) / (count * side**2 / 1e6) for (side, count), c in calls.items()])


def total_cost(calls: Counter[tuple[Any, ...]], device: torch.device) -> Cost:
    """Return the cost of convolutions of random tensors, the smallest of three calls of each."""
    total = np.zeros(2)
    for (func, shape, kernel, dtype, args, kwargs, channels), number in calls.items():
        x, weight = (
            torch.randn(size, device=device).to(dtype, memory_format=torch.channels_last) for size in (shape, kernel)
        )
        bias = torch.zeros(channels, dtype=dtype, device=device)
        repeat = partial(func, x, weight, bias, *args, **dict(kwargs))
        total += number * smallest([cost_of(repeat, device) for _ in range(3)])
    return total


def cost_of(function: Callable[[], object], device: torch.device) -> Cost:
    """Return the seconds of a call without gradients, and those of all cores together."""
    with torch.no_grad():
        synchronize(device)
        started, cores_started = time.perf_counter(), time.process_time()
        function()
        synchronize(device)
    return np.array([time.perf_counter() - started, time.process_time() - cores_started])


def smallest(costs: list[Cost]) -> Cost:
    """Return the smallest seconds, and the smallest seconds of all cores together."""
    result: Cost = np.min(costs, axis=0)
    return result


def synchronize(device: torch.device) -> None:
    """Wait for a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Row:
    """One row of the table, in the process that measures it."""

    def __init__(self, name: str, photos: list[Path]) -> None:
        self.device = make_engine().device
        if name == CONVOLUTIONS:
            self.measure = with_convolutions_only(self.device)
            return
        restore = ROWS[name](self.device)
        noisy = [degrade(read_photo(photo).tensor()[0], photo.stem, SIGMA, 0)[None] for photo in photos]
        megapixels = sum(y.shape[-2] * y.shape[-1] for y in noisy) / 1e6
        cost_of(lambda: restore(noisy[0][..., :WINDOW, :WINDOW]), self.device)
        self.measure = lambda: cost_of(lambda: [restore(y) for y in noisy], self.device) / megapixels


row: Row


def prepare(name: str, photos: list[Path]) -> None:
    """Prepare the row of this process."""
    global row
    row = Row(name, photos)


def measure() -> Cost:
    """Return the cost of a megapixel in one repetition of the row of this process."""
    return row.measure()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    costs: dict[str, list[Cost]] = {name: [] for name in (*ROWS, CONVOLUTIONS)}
    with ExitStack() as stack:
        pools = {name: stack.enter_context(spawn.Pool(1, prepare, (name, options.photos))) for name in costs}
        for _ in range(options.repeats):
            for name, pool in pools.items():
                costs[name].append(pool.apply(measure))
    print(table({name: smallest(values) for name, values in costs.items()}))


def table(costs: dict[str, Cost]) -> str:
    """Return the table of the smallest costs per megapixel."""
    lines = [
        "| | megapixels per second | core seconds per megapixel | ratio, seconds | ratio, core seconds |",
        "|---|--:|--:|--:|--:|",
    ]
    for name, (seconds, core_seconds) in costs.items():
        ratio, core_ratio = (seconds, core_seconds) / costs["restorekit"]
        lines.append(f"| {name} | {1 / seconds:.4f} | {core_seconds:.1f} | {ratio:.2f} | {core_ratio:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
