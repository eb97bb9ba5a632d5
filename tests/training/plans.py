"""A plan that trains in seconds, on synthetic photos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from restorekit.training.plan import Plan


def photos(folder: Path, count: int = 3) -> Path:
    """Write smooth colour images of different sizes, one of them in a subfolder."""
    (folder / "deeper").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for i in range(count):
        small = Image.fromarray(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8))
        where = folder / "deeper" if i == 0 else folder
        small.resize((40 + 7 * i, 33 + 5 * i), Image.Resampling.BICUBIC).save(where / f"{i}.png")
    return folder


def tiny_plan(folder: Path, **sections: dict[str, object]) -> Plan:
    """Return a plan for a U-Net of two levels, crops of 16 pixels and six steps; `sections` override its keys."""
    raw: dict[str, dict[str, object]] = {
        "card": {"name": "tiny", "data": "made here"},
        "model": {
            "size": 16,
            "net": {"channels": 32, "multipliers": [1, 2], "blocks": 1, "norm": "layer", "middle_attention": False},
        },
        "data": {"folder": str(folder), "crop": 16, "workers": 1},
        "noise": {"distribution": "lognormal", "uniform_share": 0.3},
        "optimizer": {"lr": 1e-3, "warmup": 2},
        "run": {"steps": 6, "batch": 4, "log_steps": 1, "precision": "float32", "sample_minutes": None},
    }
    for name, values in sections.items():
        raw[name] = {**raw.get(name, {}), **values}
    return Plan.model_validate(raw)


def class_photos(folder: Path) -> Path:
    """Write dark and bright images to folders of these names."""
    rng = np.random.default_rng(0)
    for name, low in (("bright", 150), ("dark", 0)):
        (folder / name).mkdir(parents=True)
        for i in range(4):
            Image.fromarray(rng.integers(low, low + 100, (20, 20, 3), dtype=np.uint8)).save(folder / name / f"{i}.png")
    return folder


def conditional_plan(folder: Path, **sections: dict[str, object]) -> Plan:
    """Return a plan with two classes and a learned variance, on photos in `folder`; `sections` override its keys."""
    net = {"channels": 32, "multipliers": [1, 2], "blocks": 1, "norm": "layer", "out_channels": 6, "classes": 3}
    model = {"size": 16, "classes": ["bright", "dark"], "net": net, **sections.pop("model", {})}
    raw = tiny_plan(folder).model_dump()
    raw |= {
        "model": model,
        "data": {"folder": str(class_photos(folder)), "crop": 16, "labels": "folders"},
        "noise": {},
        "loss": {"label_dropout": 0.1},
    }
    for name, values in sections.items():
        raw[name] = {**raw.get(name, {}), **values}
    return Plan.model_validate(raw)


def blind_plan(folder: Path, **sections: dict[str, object] | None) -> Plan:
    """Return a plan of a blind prior, with crops of 64 pixels; `sections` override its keys, None removes one."""
    raw = tiny_plan(folder).model_dump()
    raw["model"]["net"]["noise_estimator"], raw["data"]["crop"] = 8, 64
    raw |= {"noise": {}, "degradation": {}}
    for name, values in sections.items():
        raw[name] = values if values is None else {**(raw.get(name) or {}), **values}
    return Plan.model_validate(raw)
