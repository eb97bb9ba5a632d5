"""Checkpoints of training runs: everything that a resumed run needs, checked before it is used."""

from __future__ import annotations

import itertools
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from pydantic import ConfigDict, Field, ValidationError
from torch import nn
from torch.optim import Optimizer

from restorekit.core.config import Config
from restorekit.core.files import atomic_path
from restorekit.errors import TrainingError, shortened
from restorekit.models.files import misfit, shapes_of
from restorekit.training.optimizers import check_state
from restorekit.training.plan import Plan

CHECKPOINT = "checkpoint.pt"
KEYS = {"plan", "progress", "objective", "ema", "optimizer"}
# Keys of a plan that may change when a run is resumed: except steps, they do not affect the computation. `accumulate`
# and `fsdp` change with the number of processes; see `check_crops`.
FREE_ON_RESUME = {
    "run": {"steps", "accumulate", "fsdp", "log_steps", "save_minutes", "sample_minutes", "weights"},
    "data": {"folder", "shards", "download", "cache", "workers"},
}


class Progress(Config):
    """Number of optimizer steps and of training images so far."""

    model_config = ConfigDict(frozen=False, strict=True)
    step: int = Field(0, ge=0)
    images: int = Field(0, ge=0)


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint atomically; OSError if it cannot be written, an existing one is then kept."""
    with atomic_path(path) as part:
        try:
            with part.open("wb") as file:
                torch.save(state, file)
        except RuntimeError as error:
            # torch reports a failed write as RuntimeError.
            raise error.__context__ if isinstance(error.__context__, OSError) else OSError(str(error)) from error


def read_checkpoint(path: Path, plan: Plan) -> dict[str, Any]:
    """Read the checkpoint of a run with the given plan.

    TrainingError if it is damaged, or if the plans differ in a key that affects the computation.
    """
    saved = _unpickled(path)
    try:
        # Plans written before optimizer.name existed were trained by AdamW.
        saved["plan"]["optimizer"].setdefault("name", "adamw")
        previous = Plan.model_validate(saved["plan"])
        saved["progress"] = Progress.model_validate(saved["progress"])
    except (KeyError, TypeError, AttributeError, ValidationError) as error:
        text = f"--resume: {path} was written by another version of restorekit; --init-from accepts its weights"
        raise TrainingError(text) from error
    before, now = _flat(_fixed(previous)), _flat(_fixed(plan))
    changes = [
        f"{key}: checkpoint {shortened(repr(before.get(key)))}, plan {shortened(repr(value))}"
        for key, value in now.items()
        if value != before.get(key)
    ]
    if changes:
        text = (
            f"--resume: the plan differs from that of {path} in {'; '.join(changes)}; allowed: those of the checkpoint"
        )
        raise TrainingError(text)
    return saved


def _unpickled(path: Path) -> dict[str, Any]:
    """Return the content of a checkpoint; TrainingError if its checksums or its keys are wrong."""
    try:
        # torch does not compare the checksums.
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
        if broken is not None:
            raise zipfile.BadZipFile(f"wrong checksum of {broken}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            saved: Any = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise TrainingError(f"--resume: {path} does not exist") from error
    except Exception as error:  # unpickling damaged data can raise anything
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise TrainingError(f"--resume: {path} is damaged ({reason}); --init-from accepts {path.parent}") from error
    if not isinstance(saved, dict) or not saved.keys() >= KEYS:
        missing = sorted(KEYS - saved.keys()) if isinstance(saved, dict) else sorted(KEYS)
        raise TrainingError(f"--resume: {path} is not a checkpoint of restorekit (missing: {', '.join(missing)})")
    return saved


def restore(saved: dict[str, Any], path: Path, modules: dict[str, nn.Module], optimizer: Optimizer) -> Progress:
    """Load the state of a checkpoint into modules and optimizer; TrainingError if it does not fit them."""
    try:
        for name, module in modules.items():
            _check_tensors(name, saved[name])
            problem = misfit(shapes_of(module.state_dict()), shapes_of(saved[name]))
            if problem:
                raise ValueError(f"{name}: {problem}")
            module.load_state_dict(saved[name])
        check_state(optimizer, saved["optimizer"])
        # The plan determines the parameter groups.
        optimizer.load_state_dict({**optimizer.state_dict(), "state": saved["optimizer"]["state"]})
    except ValueError as error:
        raise TrainingError(f"--resume: {path} does not fit the plan: {error}") from error
    progress: Progress = saved["progress"]
    return progress


def check_crops(progress: Progress, crops_per_step: int, path: Path) -> None:
    """Raise TrainingError if the steps of a checkpoint had another number of crops, on all processes together."""
    if progress.images != progress.step * crops_per_step:
        raise TrainingError(
            f"--resume: {progress.step} steps of {path} had {progress.images} crops, found {crops_per_step} per step;"
            " allowed: the same run.batch * run.accumulate * number of processes"
        )


def _check_tensors(name: str, state: Any) -> None:
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ValueError(f"{name} is not a mapping of names to tensors")
    broken = [key for key, value in state.items() if not value.isfinite().all()]
    if broken:
        raise ValueError(f"{name}: {broken[0]} contains nan or inf")


def _fixed(plan: Plan) -> dict[str, Any]:
    """Return the part of a plan that may not change when a run is resumed.

    The order of samples from shards depends on the number of processes, which `run.accumulate` would compensate.
    """
    run = FREE_ON_RESUME["run"] - ({"accumulate"} if plan.data.shards is not None else set())
    return plan.model_dump(mode="json", exclude={"card": True, "validation": True, **FREE_ON_RESUME, "run": run})


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    pairs = (
        _flat(value, f"{prefix}{key}.").items() if isinstance(value, dict) else [(prefix + key, value)]
        for key, value in tree.items()
    )
    return dict(itertools.chain.from_iterable(pairs))
