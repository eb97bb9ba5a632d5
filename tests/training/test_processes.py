"""Training with two processes, with copies of the weights or with divided weights: the same as with one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.utils import DistributedType
from PIL import Image

from restorekit.errors import TrainingError
from restorekit.models.files import WEIGHTS, load_weights
from restorekit.testing import run_command
from restorekit.training import objectives
from restorekit.training.checkpoint import CHECKPOINT
from restorekit.training.loop import Trainer
from restorekit.training.plan import Plan
from restorekit.training.processes import check_processes
from tests.training import launched
from tests.training.plans import blind_plan, conditional_plan, photos, tiny_plan

ROOT = Path(__file__).parents[2]
NET = {"channels": 32, "multipliers": [1], "blocks": 1, "norm": "layer", "middle_attention": False}
STEPS = 3
Section = dict[str, Any]
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
    } | divided_plans(folder, run, {**rule, "name": "adamw"}, fill, holes)


def divided_plans(folder: Path, run: Section, rule: Section, fill: Section, holes: Section) -> dict[str, Plan]:
    """Plans that are trained with divided weights."""
    run = {**run, "fsdp": True}
    often = {**run, "accumulate": 2, "save_minutes": 1e-6, "sample_minutes": 1e-6}
    constant, bound = {**rule, "decay": "none"}, {"objective": "vlb", "label_dropout": 0.1}
    return {
        "fsdp": tiny_plan(folder, run=often, optimizer=rule, model={"net": NET}),
        "fsdp_holes": tiny_plan(folder, run=run, optimizer=rule, model=fill, noise=holes),
        "fsdp_bound": conditional_plan(folder / "bound", run=run, optimizer=rule, loss=bound),
        "fsdp_resumed": tiny_plan(folder, run=run, optimizer=constant, model={"net": NET}),
    }


def alone(plan: Plan, **run: Any) -> Plan:
    """Return the plan for one process that trains like two; `run` overrides its keys."""
    return plan.model_copy(update={"run": plan.run.model_copy(update={"accumulate": 2 * plan.run.accumulate, **run})})


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Compute with one thread, as the processes do: the order of sums depends on the number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def records(tmp_path_factory) -> tuple[Path, list[dict[str, Any]]]:
    """The output of two processes of `accelerate launch`, and the records of both."""
    out = tmp_path_factory.mktemp("two")
    files = []
    for name, plan in plans(photos(out / "photos")).items():
        files.append(out / f"{name}.json")
        files[-1].write_text(plan.model_dump_json(), encoding="utf-8")
        if name == "fsdp_resumed":
            Trainer(alone(plan, steps=STEPS - 1, fsdp=False), out / name).run()
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    launch += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    command = [*launch, "--module", "tests.training.launched", str(out), *map(str, files)]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=out, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return out, [json.loads((out / f"{index}.json").read_text(encoding="utf-8")) for index in (0, 1)]


@pytest.mark.parametrize("name", ["muon", "adamw", "blind", "classes", "fsdp", "fsdp_holes", "fsdp_bound"])
def test_two_processes_train_like_one(records, tmp_path: Path, name: str) -> None:
    out, (first, second) = records
    plan = Plan.model_validate_json((out / f"{name}.json").read_text(encoding="utf-8"))
    single = launched.train(alone(plan), tmp_path / "one")
    assert (first[name]["kind"], first[name]["processes"], single["processes"]) == ("MULTI_CPU", 2, 1)
    assert first[name]["losses"] == second[name]["losses"]
    assert len(single["losses"]) == STEPS
    torch.testing.assert_close(first[name]["losses"], single["losses"], rtol=1e-5, atol=1e-5)
    theirs, ours = (load_weights(folder / WEIGHTS).state_dict() for folder in (out / name, tmp_path / "one"))
    torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-5)
    start = plan.model.build().state_dict()
    assert max((ours[key] - start[key]).abs().max() for key in ours) > 1e-3, "the weights have changed"


def test_processes_share_the_crops_and_one_writes(records, tmp_path: Path) -> None:
    out, (first, second) = records
    for name in first.keys() - {"fsdp_resumed"}:
        # Batches of two crops, alternately of the first and the second process, are those of one process.
        halves = [np.reshape(record[name]["crops"], (-1, 2)) for record in (first, second)]
        plan = Plan.model_validate_json((out / f"{name}.json").read_text(encoding="utf-8"))
        crops = Trainer(plan, tmp_path / name)._crops()
        count = 2 * STEPS * plan.run.accumulate
        expected = [launched.digest(crop) for _ in range(count) for crop in next(crops)[0]]
        assert np.hstack(halves).ravel().tolist() == expected
        assert (first[name]["main"], second[name]["main"]) == (True, False)
        writers = {writer for _, writer in launched.WRITERS} - (set() if name == "fsdp" else {"save_image"})
        assert set(first[name]["written"]) == writers
        assert second[name]["written"] == []
    assert not set(first["muon"]["crops"]) & set(second["muon"]["crops"])


def test_a_run_resumes_with_another_number_of_processes(records, tmp_path: Path) -> None:
    out, _ = records
    plan = Plan.model_validate_json((out / "muon.json").read_text(encoding="utf-8"))
    changed = {"accumulate": 2, "steps": STEPS + 1}
    shutil.copytree(out / "muon", tmp_path / "two")
    longer = plan.model_copy(update={"run": plan.run.model_copy(update=changed)})
    assert Trainer(longer, tmp_path / "two", resume=True).progress.step == STEPS
    message = (
        r"steps of .*checkpoint\.pt had \d+ crops, found 2 per step; allowed: the same run\.batch \* run\.accumulate \*"
    )
    with pytest.raises(TrainingError, match=message):
        Trainer(plan, tmp_path / "two", resume=True)


def test_the_history_of_losses_is_that_of_all_processes(tmp_path: Path, monkeypatch) -> None:
    plan = conditional_plan(tmp_path / "photos", loss={"objective": "vlb", "label_dropout": 0.1}, run={"steps": 1})
    trainer = Trainer(plan, tmp_path / "out")
    # Another process had the same losses.
    monkeypatch.setattr(objectives, "gather", lambda tensors: [torch.cat([tensor, tensor]) for tensor in tensors])
    trainer._step(trainer._crops())
    assert int(trainer.objective.seen.sum()) == 2 * plan.run.batch


def test_divided_weights_take_half_of_the_memory_and_give_the_same_files(records, tmp_path: Path) -> None:
    out, both = records
    plan = Plan.model_validate_json((out / "fsdp.json").read_text(encoding="utf-8"))
    single = launched.train(alone(plan), tmp_path / "one")
    assert all(record["fsdp"]["bytes"] < 0.51 * single["bytes"] for record in both)
    ours, theirs = (torch.load(folder / CHECKPOINT, weights_only=True) for folder in (tmp_path / "one", out / "fsdp"))
    for key in ("progress", "objective", "ema", "optimizer"):
        torch.testing.assert_close(theirs[key], ours[key], rtol=0, atol=1e-5)
    ours, theirs = (sorted((folder / "samples").iterdir()) for folder in (tmp_path / "one", out / "fsdp"))
    assert [path.name for path in theirs] == [path.name for path in ours]
    assert len(ours) == STEPS
    for grids in zip(ours, theirs, strict=True):
        own, other = (np.asarray(Image.open(path), dtype=int) for path in grids)
        assert np.abs(own - other).max() <= 1


def test_a_run_resumes_with_weights_that_are_divided_or_whole(records, tmp_path: Path) -> None:
    out, (first, _) = records
    plan = Plan.model_validate_json((out / "fsdp_resumed.json").read_text(encoding="utf-8"))
    longer = alone(plan, steps=STEPS + 1, fsdp=False)
    whole = launched.train(longer, tmp_path / "whole")
    # The first two steps were those of one process, the third one had divided weights, the last one is alone again.
    shutil.copytree(out / "fsdp_resumed", tmp_path / "last")
    last = launched.train(longer, tmp_path / "last")
    losses = [*first["fsdp_resumed"]["losses"], *last["losses"]]
    torch.testing.assert_close(losses, whole["losses"][STEPS - 1 :], rtol=1e-5, atol=1e-5)
    theirs, ours = (load_weights(tmp_path / name / WEIGHTS).state_dict() for name in ("last", "whole"))
    torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-5)


def test_divided_weights_are_used_in_the_precision_of_the_plan(tmp_path: Path) -> None:
    for precision in ("bfloat16", "float32"):
        run = {"steps": 1, "precision": precision}
        trainer = Trainer(tiny_plan(photos(tmp_path / "photos"), run=run, model={"net": NET}), tmp_path / precision)
        trainer.is_sharded = True
        with trainer._autocast():
            assert torch.is_autocast_enabled("cpu") == (precision == "bfloat16")


@pytest.mark.parametrize("kind", ["FSDP", "DEEPSPEED", "MEGATRON_LM"])
def test_split_networks_are_refused(kind: str) -> None:
    accelerator = SimpleNamespace(distributed_type=DistributedType(kind), num_processes=1)
    with pytest.raises(TrainingError, match=rf"^accelerate: found {kind}, allowed: --multi_gpu \(run\.fsdp=true"):
        check_processes(accelerator)  # type: ignore[arg-type]


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
