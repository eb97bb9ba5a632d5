"""A few steps of every shipped plan, with a smaller network, on generated images: the loss falls."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from restorekit.training.loop import Trainer
from restorekit.training.plan import Plan
from restorekit.training.plan_library import plan_paths

CLASSES, SIDE = ("dark", "light"), 16
STEPS, BATCH = 12, 8
# Number of batches whose loss is compared before and after the training.
BATCHES = 3


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    """Dark and light smooth images in a folder per class."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for name, low in zip(CLASSES, (0, 192), strict=True):
        (folder / name).mkdir()
        for i in range(4):
            small = Image.fromarray(rng.integers(low, low + 64, (3, 3, 3), dtype=np.uint8))
            small.resize((80, 72), Image.Resampling.BICUBIC).save(folder / name / f"{i}.png")
    return folder


def small_plan(path: Path, folder: Path) -> Plan:
    """Return a shipped plan with a smaller network and crop; everything else that it sets is kept."""
    raw: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    model, data, net = raw["model"], raw["data"], raw["model"]["net"]
    is_blind = "noise_estimator" in net
    crop = 64 if is_blind else SIDE
    data |= {"folder": str(folder), "crop": crop, "workers": 0, "cache": True}
    # Without datasets of torchvision.
    data.pop("dataset", None)
    if "center" in data:
        data |= {"center": 64, "resize": crop}
    if "size" in model:
        model["size"] = SIDE
    if "size" in net:
        net["size"] = SIDE
    if model.get("family") == "score":
        net["features"] = 8
    else:
        shrink(net)
    if "classes" in model and not is_blind:
        net["classes"] -= 1000 if model["classes"] == "folders" else len(model["classes"])
        net["classes"] += len(CLASSES)
        model["classes"] = list(CLASSES)
    raw["optimizer"] |= {"warmup": 0, "lr": 2e-3, "decay": "none"}
    raw["run"] |= {"steps": STEPS, "batch": BATCH, "precision": "float32", "ema": 0.5}
    return Plan.model_validate(with_null(raw))


def shrink(net: dict[str, Any]) -> None:
    """Reduce a U-Net to two levels of 32 channels; attention, labels, norms and variances are kept."""
    net |= {"channels": 32, "multipliers": [1, 2], "blocks": 1}
    if "attention" in net:
        net["attention"] = [2]
    if "head_channels" in net:
        net["head_channels"] = 16
    if "noise_estimator" in net:
        net["noise_estimator"] = 8


def with_null(value: Any) -> Any:
    """Replace the word "null", which TOML lacks."""
    if isinstance(value, dict):
        return {key: with_null(inner) for key, inner in value.items()}
    return None if value == "null" else value


def mean_loss(trainer: Trainer) -> float:
    """Return the loss of the network on the same crops with the same noise, without dropout."""
    crops = trainer._crops()
    trainer.objective.eval()
    with torch.no_grad():
        losses = [trainer.objective(*next(crops), torch.Generator().manual_seed(i)) for i in range(BATCHES)]
    trainer.objective.train()
    return float(torch.stack(losses).mean())


@pytest.mark.parametrize("path", plan_paths().values(), ids=lambda path: path.stem)
def test_the_loss_falls(path: Path, images: Path, tmp_path: Path) -> None:
    plan = small_plan(path, images)
    trainer = Trainer(plan, tmp_path / "out")
    if plan.model.blind:
        # The loss of degraded crops differs by a factor of 20 between batches: train on one of them.
        before, *_, after = (repeated_step(trainer) for _ in range(STEPS))
    else:
        before = mean_loss(trainer)
        crops = trainer._crops()
        for _ in range(STEPS):
            trainer._step(crops)
        trainer.progress.step = 0
        after = mean_loss(trainer)
    assert after < 0.9 * before


def repeated_step(trainer: Trainer) -> float:
    """Perform the first step again, with the same crops and the same noise; return the loss before it."""
    trainer.progress.step = 0
    return float(trainer._step(trainer._crops()))
