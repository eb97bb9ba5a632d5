"""The facts about a model: `restorekit models info`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn

from restorekit.core.files import file_sha256
from restorekit.models.cards import card_facts, card_text, measured_values, training_data
from restorekit.models.config import ModelConfig, NoisyClassifierConfig
from restorekit.models.digests import recorded_sha256
from restorekit.models.files import CARD, read_config
from restorekit.models.hub import HUB, HubModel, fetch, fetch_card
from restorekit.models.importers.diffusers import is_diffusers_file
from restorekit.models.memory import FLOAT32_BYTES, evaluation_bytes, evaluation_side, parameter_count
from restorekit.models.registry import family_of, find_weights, load_prior


def model_facts(source: str) -> dict[str, Any]:
    """Return the facts about a model as JSON values; those that are not known are None.

    The weights are not loaded, except for a prior of a plugin.

    source: see `load_prior`.
    """
    if family_of(source) is not None:
        return _plugin_facts(source)
    model = fetch(source) if source.startswith(HUB) else None
    if model is not None:
        fetch_card(model)
    weights = find_weights(source) if model is None else model.weights
    config = read_config(weights)
    count = parameter_count(config)
    facts = {
        "name": source,
        "kind": "classifier" if isinstance(config, NoisyClassifierConfig) else "prior",
        "family": config.family,
        "architecture": _described(config),
        "config": config.model_dump(mode="json", exclude={"schedule": {"betas"}}),
        "parameters": count,
        "dtypes": None if is_diffusers_file(weights) else _dtypes(weights),
        "channels": config.channels,
        "size": config.size,
        **_ranges(config),
        "classes": None if config.classes is None else list(config.classes),
    }
    facts |= _card(weights, model)
    facts |= {"path": str(weights), "bytes": weights.stat().st_size, "sha256": file_sha256(weights)}
    facts |= {"recorded_sha256": recorded_sha256(weights), "commit": None if model is None else model.commit}
    side = evaluation_side(config)
    needed = {"weights": FLOAT32_BYTES * count, "evaluation": evaluation_bytes(config), "side": side}
    return facts | {"memory": needed}


def _described(config: ModelConfig) -> dict[str, str]:
    """Return the lines of the model card by their first words: network, process, levels."""
    lines = (line.removeprefix("- ").rstrip(".").partition(": ") for line in config.describe().splitlines())
    named = {}
    for name, _, text in lines:
        rest = name.lstrip("0123456789")
        count = name.removesuffix(rest)
        if text:
            named[rest.strip().lower()] = f"{count}: {text}" if count else text
    named.pop("classes", None)
    if isinstance(config, NoisyClassifierConfig):
        named["process"] = f"{config.schedule.kind} schedule, {config.schedule.steps} steps"
    return named


def _ranges(config: ModelConfig) -> dict[str, Any]:
    """Return the sigmas, in the unit of images in [-1, 1], and whether images of any size are processed as a whole."""
    if isinstance(config, NoisyClassifierConfig):
        table = config.schedule.table()
        return {"any_size": False, "sigmas": [float(table[0]), float(table[-1])]}
    with torch.device("meta"):
        net: Any = config.build_net()
    info = config.build(net).info
    return {"any_size": info.size is None, "sigmas": [info.sigma_min, info.sigma_max]}


def _dtypes(weights: Path) -> list[str]:
    """Return the types of the tensors in a safetensors file."""
    with safe_open(weights, "pt") as file:
        return sorted({str(file.get_slice(name).get_dtype()) for name in file.keys()})  # noqa: SIM118


def _card(weights: Path, model: HubModel | None) -> dict[str, Any]:
    """Return what the model card states."""
    path = (weights.parent if model is None else model.folder) / CARD
    if model is None and not path.is_file() and weights.parent.name == "unet":
        path = weights.parent.parent / CARD
    facts = card_facts(path)
    license_id = facts.get("license")
    return {
        "licence": None if license_id is None else card_text(license_id),
        "training_data": training_data(path),
        "measured": measured_values(facts),
        "card": str(path) if path.is_file() else None,
    }


def _plugin_facts(source: str) -> dict[str, Any]:
    """Return the facts about a prior of a plugin: those of its info, and its number of parameters if it has any."""
    prior = load_prior(source)
    info = prior.info
    count = sum(value.numel() for value in prior.parameters()) if isinstance(prior, nn.Module) else None
    return {
        "name": source,
        "kind": "prior",
        "family": source.partition(":")[0],
        "architecture": {"network": type(prior).__name__},
        "parameters": count,
        "channels": info.channels,
        "size": info.size,
        "any_size": info.size is None,
        "sigmas": [info.sigma_min, info.sigma_max],
        "classes": None if info.classes is None else list(info.classes),
        "memory": None if count is None else {"weights": FLOAT32_BYTES * count, "evaluation": None, "side": info.size},
    }
