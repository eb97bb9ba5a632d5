"""Signals during a training, and randomness after it was resumed."""

from __future__ import annotations

import json
import os
import shlex
import signal
import warnings
from pathlib import Path

import pytest
import torch

from restorekit.models.files import CARD, WEIGHTS, load_weights
from restorekit.testing import run_command
from restorekit.training.checkpoint import CHECKPOINT
from restorekit.training.logging import Report
from restorekit.training.loop import Trainer, train
from tests.training.plans import photos, tiny_plan

NET = {"channels": 32, "multipliers": [1], "blocks": 1, "norm": "layer", "middle_attention": False}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_weights(folder / WEIGHTS).state_dict()


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_stops_after_the_step_and_the_run_resumes(
    tmp_path: Path, monkeypatch, number: signal.Signals, code: int
) -> None:
    plan = tiny_plan(photos(tmp_path / "photos"), run={"steps": 3, "log_steps": 2}, model={"net": NET})
    train(plan, tmp_path / "whole")
    path, step = tmp_path / "plan.toml", Trainer._step
    sections = plan.model_dump(mode="json", exclude_defaults=True)
    path.write_text("\n".join(f"{name} = {inline(value)}" for name, value in sections.items()))

    def interrupted(self, crops):
        if self.progress.step == 1:
            os.kill(os.getpid(), number)
            warnings.warn("from a library", stacklevel=1)
        return step(self, crops)

    monkeypatch.setattr(Trainer, "_step", interrupted)
    words = ("train", path, "-o", tmp_path / "cut")
    with warnings.catch_warnings(record=True) as seen:
        found, _, err = run_command(*words)
    assert found == code
    command = shlex.join(["restorekit", "train", str(path), "--output", str(tmp_path / "cut"), "--resume"])
    checkpoint = tmp_path / "cut" / CHECKPOINT
    done = f"train: stopped after 2 of 3 steps (66.7%); checkpoint: {checkpoint}; to resume: {command}"
    assert err.splitlines()[-1] == done
    assert not seen
    assert "2 steps" in (tmp_path / "cut" / CARD).read_text()
    assert torch.load(tmp_path / "cut" / CHECKPOINT, weights_only=True)["progress"]["step"] == 2
    assert not same(weights(tmp_path / "cut"), weights(tmp_path / "whole"))
    code, out, err = run_command(*words, "--resume")
    assert (code, err) == (0, "")
    assert "weights, model card and checkpoint are in" in out
    assert same(weights(tmp_path / "cut"), weights(tmp_path / "whole"))


def inline(value: object) -> str:
    """Return a value as TOML in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {inline(inner)}" for key, inner in value.items() if inner is not None) + "}"
    return json.dumps(value)


def test_processes_stop_if_one_of_them_was_signalled(tmp_path: Path, monkeypatch) -> None:
    asked: list[bool] = []

    def any_process(self, condition: bool) -> bool:
        asked.append(condition)
        return len(asked) == 2  # another process received the signal

    monkeypatch.setattr(Trainer, "_any", any_process)
    plan = tiny_plan(photos(tmp_path / "photos"), run={"steps": 3}, model={"net": NET})
    result = Trainer(plan, tmp_path / "out").run()
    assert asked == [False, False]
    assert (result.step, result.steps, result.exit_code) == (1, 3, 0)


def test_training_with_dropout_resumes_identically(tmp_path: Path, monkeypatch) -> None:
    losses: list[tuple[int, float]] = []
    monkeypatch.setattr(Report, "log", lambda self, step, images, loss, lr: losses.append((step, loss)))
    net = {**NET, "dropout": 0.5}
    folder = photos(tmp_path / "photos")
    run = {"steps": 4, "accumulate": 2, "save_minutes": 1e9}
    plan = tiny_plan(folder, run=run, model={"net": net}, optimizer={"decay": "none"})
    torch.manual_seed(1)
    train(plan, tmp_path / "whole")
    whole = list(losses)
    losses.clear()
    half = plan.model_copy(update={"run": plan.run.model_copy(update={"steps": 2})})
    torch.manual_seed(2)
    train(half, tmp_path / "cut")
    torch.rand(7)
    train(plan, tmp_path / "cut", resume=True)
    assert losses == whole
    assert same(weights(tmp_path / "cut"), weights(tmp_path / "whole"))


def test_dropout_differs_between_steps_and_keeps_the_global_generator(tmp_path: Path) -> None:
    plan = tiny_plan(photos(tmp_path / "photos"), model={"net": {**NET, "dropout": 0.5}})
    trainer = Trainer(plan, tmp_path / "out")
    before = torch.get_rng_state()
    masks = []
    for step in (0, 0, 1):
        trainer.progress.step = step
        with trainer._seeded_dropout(0):
            masks.append(torch.nn.functional.dropout(torch.ones(50)))
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])
    assert torch.equal(torch.get_rng_state(), before)
