"""Checkpoints that are damaged or do not fit the plan are refused in one line; a full disk keeps the former one."""

from __future__ import annotations

import pickle
import random
import resource
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from restorekit.errors import TrainingError
from restorekit.training import loop
from restorekit.training.checkpoint import (
    CHECKPOINT,
    Progress,
    check_crops,
    read_checkpoint,
    restore,
    write_checkpoint,
)
from restorekit.training.loop import Trainer, train
from tests.training.plans import photos, tiny_plan


@pytest.fixture(scope="module", params=["muon", "adamw"])
def trained(request, tmp_path_factory) -> Trainer:
    """A trainer whose output folder contains the checkpoint of one step."""
    folder = tmp_path_factory.mktemp("trained")
    rule = {"name": request.param}
    trainer = Trainer(tiny_plan(photos(folder / "photos"), run={"steps": 1}, optimizer=rule), folder / "out")
    trainer.run()
    return trainer


def resume(trainer: Trainer, path: Path) -> None:
    """Load a checkpoint as `--resume` does."""
    modules = {"ema": trainer.ema.average, "objective": trainer.objective}
    restore(read_checkpoint(path, trainer.plan), path, modules, trainer.optimizer.optimizer)


def refused(trainer: Trainer, path: Path) -> str:
    """Return the message with which a checkpoint is refused: one line."""
    with warnings.catch_warnings(action="error"), pytest.raises(TrainingError) as caught:
        resume(trainer, path)
    message = str(caught.value)
    assert message.startswith("--resume: ")
    assert message.isprintable()
    assert len(message) < 600 + 2 * len(str(path))
    return message


def some(state: dict[Any, Any]) -> Any:
    """The state of a parameter that AdamW updates."""
    return next(entry for entry in state["optimizer"]["state"].values() if "exp_avg" in entry)


def first_key(state: dict[str, Any]) -> str:
    return next(iter(state["ema"]))


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "no plan": lambda s: s.pop("plan"),
    "plan is a list": lambda s: s.update(plan=[1]),
    "optimizer plan is text": lambda s: s["plan"].update(optimizer="muon"),
    "another plan": lambda s: s["plan"]["data"].update(crop=32),
    "no progress": lambda s: s.pop("progress"),
    "negative step": lambda s: s["progress"].update(step=-5),
    "step is text": lambda s: s["progress"].update(step="1"),
    "step is nan": lambda s: s["progress"].update(step=float("nan")),
    "progress is a number": lambda s: s.update(progress=3),
    "ema is None": lambda s: s.update(ema=None),
    "ema has no tensors": lambda s: s.update(ema={"a\n\x1b[2J": 1}),
    "ema lacks a tensor": lambda s: s["ema"].pop(first_key(s)),
    "ema is empty": lambda s: s["ema"].clear(),
    "ema has another shape": lambda s: s["ema"].update({first_key(s): torch.zeros(2, 3)}),
    "ema has nan": lambda s: s["ema"].update({first_key(s): torch.full_like(s["ema"][first_key(s)], torch.nan)}),
    "objective has unknown names": lambda s: s["objective"].update({"x\n" * 500: torch.zeros(1)}),
    "objective is a list": lambda s: s.update(objective=[torch.zeros(1)]),
    "optimizer is None": lambda s: s.update(optimizer=None),
    "optimizer without groups": lambda s: s["optimizer"].pop("param_groups"),
    "other groups": lambda s: s["optimizer"]["param_groups"].pop(),
    "groups without parameters": lambda s: s["optimizer"]["param_groups"][0].pop("params"),
    "state is a list": lambda s: s["optimizer"].update(state=[1]),
    "state of an unknown parameter": lambda s: s["optimizer"]["state"].update({10**6: {}}),
    "state without an average": lambda s: some(s).pop("exp_avg"),
    "average is text": lambda s: some(s).update(exp_avg="x"),
    "average has another shape": lambda s: some(s).update(exp_avg=torch.zeros(7)),
    "average has nan": lambda s: some(s).update(exp_avg=torch.full_like(some(s)["exp_avg"], torch.nan)),
    "optimizer step is inf": lambda s: some(s).update(step=float("inf")),
    "optimizer step is complex": lambda s: some(s).update(step=torch.tensor(1j)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_checkpoints_with_wrong_content_are_refused(tmp_path: Path, trained: Trainer, change) -> None:
    state = torch.load(trained.output / CHECKPOINT, weights_only=True)
    change(state)
    torch.save(state, tmp_path / "c.pt")
    refused(trained, tmp_path / "c.pt")


def test_every_changed_key_is_named_with_both_values(trained: Trainer) -> None:
    path, plan = trained.output / CHECKPOINT, trained.plan
    long = plan.model.model_copy(update={"classes": tuple("abc" * 100 for _ in range(9))})
    changed = plan.model_copy(
        update={"run": plan.run.model_copy(update={"precision": "auto", "steps": 9}), "model": long}
    )
    with pytest.raises(TrainingError) as caught:
        read_checkpoint(path, changed)
    message = str(caught.value)
    assert "; run.precision: checkpoint 'float32', plan 'auto'; allowed: those of the checkpoint" in message
    assert "in model.classes: checkpoint None, plan ['abcabc" in message
    assert message.isprintable()
    assert len(message) < 400 + len(str(path))


def test_another_number_of_crops_per_step_is_refused() -> None:
    progress = Progress(step=3, images=12)
    check_crops(progress, 4, Path("c.pt"))
    with pytest.raises(
        TrainingError, match=r"^--resume: 3 steps of c\.pt had 12 crops, found 2 per step; allowed: the same"
    ):
        check_crops(progress, 2, Path("c.pt"))
    with pytest.raises(TrainingError, match=r"^--resume: 0 steps of c\.pt had 5 crops"):
        check_crops(Progress(step=0, images=5), 2, Path("c.pt"))


@pytest.mark.parametrize("content", [None, [1, 2], "text", torch.zeros(3), {}], ids=type)
def test_other_files_of_torch_are_refused(tmp_path: Path, trained: Trainer, content: object) -> None:
    torch.save(content, tmp_path / "c.pt")
    assert "is not a checkpoint of restorekit (missing: ema, " in refused(trained, tmp_path / "c.pt")


@pytest.mark.parametrize("data", [b"", b"x" * 1000, pickle.dumps({"plan": 1}), b"PK\x05\x06" + bytes(18)], ids=range(4))
def test_files_that_are_no_archive_are_refused(tmp_path: Path, trained: Trainer, data: bytes) -> None:
    (tmp_path / "c.pt").write_bytes(data)
    assert "is damaged" in refused(trained, tmp_path / "c.pt")


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, trained: Trainer) -> None:
    class Code:
        def __reduce__(self):
            return Path.touch, (tmp_path / "executed",)

    torch.save({"plan": Code()}, tmp_path / "c.pt")
    assert "is damaged" in refused(trained, tmp_path / "c.pt")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("seed", range(24))
def test_damaged_bytes_are_refused_or_change_nothing(tmp_path: Path, trained: Trainer, seed: int) -> None:
    path, rng = tmp_path / "c.pt", random.Random(seed)
    data = bytearray((trained.output / CHECKPOINT).read_bytes())
    if seed % 3 == 0:
        data = data[: rng.randrange(len(data))]
    else:
        # Every second file is damaged within its directory, at the end.
        start = 0 if seed % 3 == 1 else len(data) - 20_000
        for _ in range(rng.randint(1, 8)):
            data[rng.randrange(start, len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
    try:
        saved = read_checkpoint(path, trained.plan)
    except TrainingError:
        refused(trained, path)
        return
    original = torch.load(trained.output / CHECKPOINT, weights_only=True)
    assert all(torch.equal(saved["ema"][name], value) for name, value in original["ema"].items())
    assert all(torch.equal(saved["objective"][name], value) for name, value in original["objective"].items())


def test_damaged_numbers_of_a_tensor_are_found(tmp_path: Path, trained: Trainer) -> None:
    data = bytearray((trained.output / CHECKPOINT).read_bytes())
    with zipfile.ZipFile(trained.output / CHECKPOINT) as archive:
        largest = max(archive.infolist(), key=lambda info: info.file_size)
    data[largest.header_offset + 1000] ^= 1
    (tmp_path / "c.pt").write_bytes(data)
    assert "is damaged (wrong checksum of" in refused(trained, tmp_path / "c.pt")


def test_full_disk_keeps_the_former_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / CHECKPOINT
    write_checkpoint(path, {"a": torch.zeros(10)})
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            write_checkpoint(path, {"a": torch.zeros(1_000_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [CHECKPOINT]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(28, "No space left on device"), "out: .*No space left on device; the previous checkpoint, if any"),
        (MemoryError(), "not enough memory; lower run.batch"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory\n1"), "not enough memory"),
    ],
)
def test_lack_of_space_and_memory_is_reported_in_one_line(tmp_path: Path, monkeypatch, error, message: str) -> None:
    def fail(*args: object) -> None:
        raise error

    monkeypatch.setattr(loop, "write_checkpoint", fail)
    plan = tiny_plan(photos(tmp_path / "photos"), run={"steps": 1})
    with pytest.raises(TrainingError, match=message) as caught:
        train(plan, tmp_path / "out", max_minutes=0)
    assert str(caught.value).isprintable()
