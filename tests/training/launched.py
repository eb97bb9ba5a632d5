"""Trains several plans in one process of `accelerate launch`, and writes what the process did to OUT/INDEX.json.

python -m tests.training.launched OUT PLAN.json [PLAN.json ...]
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from restorekit.training import logging, loop
from restorekit.training.checkpoint import CHECKPOINT
from restorekit.training.plan import Plan

# Functions that write files; the last one writes the sample grids.
WRITERS = (
    (loop, "save_weights"),
    (loop, "write_card"),
    (loop, "write_checkpoint"),
    (logging, "SummaryWriter"),
    (logging, "save_image"),
)


def main(out: Path, plans: list[Path]) -> None:
    """Train the plans one after the other."""
    torch.set_num_threads(1)
    records = {}
    for path in plans:
        written: list[str] = []
        originals = [(module, name, getattr(module, name)) for module, name in WRITERS]
        for module, name, original in originals:
            setattr(module, name, recording(original, name, written))
        plan = Plan.model_validate_json(path.read_text(encoding="utf-8"))
        records[path.stem] = train(plan, out / path.stem) | {"written": written}
        for module, name, original in originals:
            setattr(module, name, original)
    (out / f"{os.environ.get('RANK', '0')}.json").write_text(json.dumps(records), encoding="utf-8")


def recording(original: Callable[..., Any], name: str, calls: list[str]) -> Callable[..., Any]:
    """Return a function that adds its name to `calls`."""

    def call(*args: Any, **kwargs: Any) -> Any:
        calls.append(name)
        return original(*args, **kwargs)

    return call


def train(plan: Plan, output: Path) -> dict[str, Any]:
    """Train, from the checkpoint in `output` if there is one.

    Return the losses, the digests of the crops, the kind of distributed training, and the bytes of the tensors that the
    process keeps between two steps.
    """
    trainer = loop.Trainer(plan, output, resume=(output / CHECKPOINT).exists())
    losses, digests = [], []
    step, crops = trainer._step, trainer._crops

    def recorded(source: Iterator[tuple[Tensor, Tensor | None]]) -> Tensor:
        losses.append(step(source))
        return losses[-1]

    def hashed() -> Iterator[tuple[Tensor, Tensor | None]]:
        for clean, label in crops():
            digests.extend(map(digest, clean))
            yield clean, label

    trainer._step, trainer._crops = recorded, hashed  # type: ignore[method-assign]
    with mock.patch.object(logging, "SAMPLE_STEPS", 3):
        result = trainer.run()
    accelerator = trainer.accelerator
    return {
        "losses": [float(loss) for loss in losses],
        "crops": digests,
        "processes": accelerator.num_processes,
        "kind": accelerator.distributed_type.value,
        "main": result.is_main,
        "bytes": sum(map(local_bytes, kept(trainer))),
    }


def kept(trainer: loop.Trainer) -> Iterator[Tensor]:
    """Yield the weights, their moving average, and the state of the optimizer."""
    yield from trainer.model.parameters()
    yield from trainer.ema.average.parameters()
    for state in trainer.optimizer.state.values():
        yield from (value for value in state.values() if isinstance(value, Tensor))


def local_bytes(tensor: Tensor) -> int:
    """Return the size of the part of a tensor that this process has."""
    return (tensor.to_local() if isinstance(tensor, DTensor) else tensor).nbytes


def digest(crop: Tensor) -> str:
    """Return a digest of the pixels of a crop."""
    return hashlib.sha256(crop.numpy().tobytes()).hexdigest()


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(argument) for argument in sys.argv[2:]])
