"""Training with two processes: the same as with one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.utils import DistributedType

from restorekit.errors import TrainingError
from restorekit.models.files import WEIGHTS, load_weights
from restorekit.testing import run_command
from restorekit.training import objectives
from restorekit.training.loop import Trainer, _check_processes
from restorekit.training.plan import Plan
from tests.training import launched
from tests.training.plans import blind_plan, conditional_plan, photos, tiny_plan

ROOT = Path(__file__).parents[2]
NET = {"channels": 32, "multipliers": [1], "blocks": 1, "norm": "layer", "middle_attention": False}
STEPS = 3
PLAN = """
[card]
name = "a"
data = "none"
[data]
folder = "{folder}"
[run]
steps = 1
"""


def plans(folder: Path) -> dict[str, Plan]:
    """Plans of all objectives that are trained in parallel, for two processes."""
    run = {"steps": STEPS, "batch": 2, "weights": "float32"}
    rule = {"weight_decay": 0.1, "clip": 0.1}
    fill = {"size": 16, "partial_noise": True, "passes": 2, "net": {**NET, "in_channels": 5, "dropout": 0.3}}
    holes = {"distribution": "lognormal", "partial_share": 0.5, "unknown_share": 0.5}
    return {
        "muon": tiny_plan(folder, run=run, optimizer={**rule, "name": "muon"}, model={"net": NET}),
        "adamw": tiny_plan(folder, run=run, optimizer={**rule, "name": "adamw"}, model=fill, noise=holes),
        "blind": blind_plan(folder, run=run, model={"net": {**NET, "noise_estimator": 8}}),
        "classes": conditional_plan(folder / "classes", run=run),
    }


@pytest.fixture(scope="module")
def records(tmp_path_factory) -> tuple[Path, list[dict[str, Any]]]:
    """The output of two processes of `accelerate launch`, and the records of both."""
    out = tmp_path_factory.mktemp("two")
    files = []
    for name, plan in plans(photos(out / "photos")).items():
        files.append(out / f"{name}.json")
        files[-1].write_text(plan.model_dump_json(), encoding="utf-8")
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    launch += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    command = [*launch, "--module", "tests.training.launched", str(out), *map(str, files)]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=out, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return out, [json.loads((out / f"{index}.json").read_text(encoding="utf-8")) for index in (0, 1)]


@pytest.mark.parametrize("name", ["muon", "adamw", "blind", "classes"])
def test_two_processes_train_like_one(records, tmp_path: Path, name: str) -> None:
    out, (first, second) = records
    plan = Plan.model_validate_json((out / f"{name}.json").read_text(encoding="utf-8"))
    single = plan.model_copy(update={"run": plan.run.model_copy(update={"accumulate": 2})})
    alone = launched.train(single, tmp_path / "one")
    assert (first[name]["kind"], first[name]["processes"], alone["processes"]) == ("MULTI_CPU", 2, 1)
    assert first[name]["losses"] == second[name]["losses"]
    assert len(alone["losses"]) == STEPS
    torch.testing.assert_close(first[name]["losses"], alone["losses"], rtol=1e-5, atol=1e-5)
    theirs, ours = (load_weights(folder / WEIGHTS).state_dict() for folder in (out / name, tmp_path / "one"))
    for key, value in ours.items():
        torch.testing.assert_close(theirs[key], value, rtol=0, atol=1e-5)
    start = plan.model.build().state_dict()
    assert max((ours[key] - start[key]).abs().max() for key in ours) > 1e-3, "the weights have changed"


def test_processes_share_the_crops_and_one_writes(records, tmp_path: Path) -> None:
    out, (first, second) = records
    for name in first:
        # Batches of two crops, alternately of the first and the second process, are those of one process.
        halves = [np.reshape(record[name]["crops"], (STEPS, 2)) for record in (first, second)]
        plan = Plan.model_validate_json((out / f"{name}.json").read_text(encoding="utf-8"))
        crops = Trainer(plan, tmp_path / name)._crops()
        alone = [launched.digest(crop) for _ in range(2 * STEPS) for crop in next(crops)[0]]
        assert np.hstack(halves).ravel().tolist() == alone
        assert (first[name]["main"], second[name]["main"]) == (True, False)
        assert set(first[name]["written"]) == {writer for _, writer in launched.WRITERS}
        assert second[name]["written"] == []
    assert not set(first["muon"]["crops"]) & set(second["muon"]["crops"])


def test_a_run_resumes_with_another_number_of_processes(records, tmp_path: Path) -> None:
    out, _ = records
    plan = Plan.model_validate_json((out / "muon.json").read_text(encoding="utf-8"))
    changed = {"accumulate": 2, "steps": STEPS + 1}
    shutil.copytree(out / "muon", tmp_path / "two")
    longer = plan.model_copy(update={"run": plan.run.model_copy(update=changed)})
    assert Trainer(longer, tmp_path / "two", resume=True).progress.step == STEPS
    message = r"the steps of .*checkpoint\.pt had 4 crops, found 2; allowed: the same run\.batch \* run\.accumulate \*"
    with pytest.raises(TrainingError, match=message):
        Trainer(plan, tmp_path / "two", resume=True)


def test_the_history_of_losses_is_that_of_all_processes(tmp_path: Path, monkeypatch) -> None:
    plan = conditional_plan(tmp_path / "photos", loss={"objective": "vlb", "label_dropout": 0.1}, run={"steps": 1})
    trainer = Trainer(plan, tmp_path / "out")
    # Another process had the same losses.
    monkeypatch.setattr(objectives, "gather", lambda tensors: [torch.cat([tensor, tensor]) for tensor in tensors])
    trainer._step(trainer._crops())
    assert int(trainer.objective.seen.sum()) == 2 * plan.run.batch


@pytest.mark.parametrize("kind", ["FSDP", "DEEPSPEED"])
def test_split_networks_are_refused(kind: str) -> None:
    accelerator = SimpleNamespace(distributed_type=DistributedType(kind), num_processes=1)
    with pytest.raises(TrainingError, match=rf"^accelerate: found {kind}, allowed: .*--multi_gpu"):
        _check_processes(accelerator)  # type: ignore[arg-type]


def test_launched_processes_without_devices_do_not_train_separately(tmp_path: Path, monkeypatch) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(PLAN.format(folder=photos(tmp_path / "photos").as_posix()))
    monkeypatch.setenv("WORLD_SIZE", "2")
    code, _, err = run_command("train", plan, "-o", tmp_path / "out")
    assert (code, len(err.splitlines())) == (1, 1)
    assert (
        "2 processes were launched, but there is no GPU for them; to train on the CPU, set ACCELERATE_USE_CPU=" in err
    )
    assert not (tmp_path / "out").exists()
