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

import torch
from torch import Tensor

from restorekit.training import logging, loop
from restorekit.training.plan import Plan

# Functions that write files, except checkpoints during a run.
WRITERS = ((loop, "save_weights"), (loop, "write_card"), (loop, "write_checkpoint"), (logging, "SummaryWriter"))


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
    """Train and return the losses, the digests of the crops, and the kind of distributed training."""
    trainer = loop.Trainer(plan, output)
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
    result = trainer.run()
    accelerator = trainer.accelerator
    return {
        "losses": [float(loss) for loss in losses],
        "crops": digests,
        "processes": accelerator.num_processes,
        "kind": accelerator.distributed_type.value,
        "main": result.is_main,
    }


def digest(crop: Tensor) -> str:
    """Return a digest of the pixels of a crop."""
    return hashlib.sha256(crop.numpy().tobytes()).hexdigest()


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(argument) for argument in sys.argv[2:]])
