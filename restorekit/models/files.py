"""Model folders: `model.safetensors`, whose header contains the configuration, and `README.md`, the model card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from restorekit.core.files import atomic_path
from restorekit.errors import ModelError
from restorekit.models.config import MODEL, ModelConfig, Prior
from restorekit.priors.guided import NoisyClassifier

WEIGHTS = "model.safetensors"
CARD = "README.md"
HEADER = "restorekit"
# Former names of keys, in the headers of files written by earlier versions.
RENAMED_KEYS = {"looks": "passes"}


def save_weights(path: Path, weights: dict[str, Tensor], config: ModelConfig, dtype: torch.dtype) -> None:
    """Write the weights (a state dict of the network) and the configuration to `path`, atomically."""
    tensors = {name: value.detach().to("cpu", dtype).contiguous() for name, value in weights.items()}
    with atomic_path(path) as part:
        save_file(tensors, part, metadata={HEADER: config.model_dump_json()})


def read_config(path: Path) -> ModelConfig:
    """Return the configuration in the header of a weights file; ModelError if there is none."""
    try:
        with safe_open(path, "pt") as file:
            header: dict[str, Any] = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: not a readable safetensors file ({error})") from error
    if HEADER not in header:
        raise ModelError(f"{path}: the header has no {HEADER!r} entry; write the file with `restorekit train`")
    try:
        return MODEL.validate_python(_current_keys(json.loads(header[HEADER])))
    except json.JSONDecodeError as error:
        raise ModelError(f"{path}: header entry {HEADER!r} is not JSON ({error})") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "family"
        raise ModelError(f"{path}: header entry {where}: {first['msg']} (found {first['input']!r})") from error


def _current_keys(entry: Any) -> Any:
    """Return the header entry with former names of keys replaced."""
    return {RENAMED_KEYS.get(key, key): value for key, value in entry.items()} if isinstance(entry, dict) else entry


def load_weights(path: Path) -> Prior:
    """Load a prior from a weights file, float32 on the CPU, in evaluation mode."""
    loaded = load_any_weights(path)
    if isinstance(loaded, NoisyClassifier):
        raise ModelError(f"{path}: found a classifier, allowed: a prior")
    return loaded


def load_classifier_weights(path: Path) -> NoisyClassifier:
    """Load a classifier from a weights file, float32 on the CPU, in evaluation mode."""
    loaded = load_any_weights(path)
    if not isinstance(loaded, NoisyClassifier):
        raise ModelError(f"{path}: found a prior, allowed: a classifier")
    return loaded


def load_any_weights(path: Path) -> Prior | NoisyClassifier:
    """Load a prior or a classifier from a weights file, float32 on the CPU, in evaluation mode."""
    model = read_config(path).build()
    with safe_open(path, "pt") as file:
        weights = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    try:
        model.net.load_state_dict(weights)
    except RuntimeError as error:
        raise ModelError(f"{path}: the weights do not fit the network in the header: {error}") from error
    return model.eval().requires_grad_(False)
