"""Model folders: `model.safetensors`, whose header holds the configuration, and `README.md`, the model card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from restorekit.errors import ModelError
from restorekit.models.config import MODEL, ModelConfig, Prior
from restorekit.priors.guided import NoisyClassifier

WEIGHTS = "model.safetensors"
CARD = "README.md"
HEADER = "restorekit"


def save_weights(path: Path, weights: dict[str, Tensor], config: ModelConfig, dtype: torch.dtype) -> None:
    """Write weights (names of the network's state dict) and configuration to `path`, atomically."""
    part = path.with_name(path.name + ".part")
    tensors = {name: value.detach().to("cpu", dtype).contiguous() for name, value in weights.items()}
    save_file(tensors, part, metadata={HEADER: config.model_dump_json()})
    part.replace(path)


def read_config(path: Path) -> ModelConfig:
    """The configuration in the header of a weights file; ModelError when there is none."""
    try:
        with safe_open(path, "pt") as file:
            header: dict[str, Any] = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: not a readable safetensors file ({error})") from error
    if HEADER not in header:
        raise ModelError(f"{path}: the header has no {HEADER!r} entry; write the file with `restorekit train`")
    try:
        return MODEL.validate_json(header[HEADER])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "family"
        raise ModelError(f"{path}: header entry {where}: {first['msg']} (found {first['input']!r})") from error


def load_weights(path: Path) -> Prior:
    """The prior in a weights file, float32 on the CPU, in evaluation mode."""
    loaded = load_any_weights(path)
    if isinstance(loaded, NoisyClassifier):
        raise ModelError(f"{path}: is a classifier, allowed: a prior")
    return loaded


def load_classifier_weights(path: Path) -> NoisyClassifier:
    """The classifier in a weights file, float32 on the CPU, in evaluation mode."""
    loaded = load_any_weights(path)
    if not isinstance(loaded, NoisyClassifier):
        raise ModelError(f"{path}: is a prior, allowed: a classifier")
    return loaded


def load_any_weights(path: Path) -> Prior | NoisyClassifier:
    """What a weights file holds, whatever its kind, float32 on the CPU, in evaluation mode."""
    prior = read_config(path).build()
    with safe_open(path, "pt") as file:
        weights = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    try:
        prior.net.load_state_dict(weights)
    except RuntimeError as error:
        raise ModelError(f"{path}: the weights do not fit the header's network: {error}") from error
    return prior.eval().requires_grad_(False)
