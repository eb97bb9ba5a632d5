"""Model folders: `model.safetensors`, whose header contains the configuration, and `README.md`, the model card."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from restorekit.core.files import atomic_path
from restorekit.errors import ModelError, shortened
from restorekit.models.config import MODEL, EpsilonConfig, ModelConfig, Prior
from restorekit.models.importers.diffusers import is_diffusers_file, load_diffusers_weights, read_diffusers_config
from restorekit.models.shapes import listed
from restorekit.models.shapes import misfit as misfit
from restorekit.models.shapes import shapes_of as shapes_of
from restorekit.priors.guided import NoisyClassifier

WEIGHTS = "model.safetensors"
CARD = "README.md"
HEADER = "restorekit"
# Types of the tensors in a weights file.
DTYPES = ("F16", "BF16", "F32", "F64")
# Former names of keys, in the headers of files written by earlier versions.
RENAMED_KEYS = {"looks": "passes"}


def save_weights(path: Path, weights: dict[str, Tensor], config: ModelConfig, dtype: torch.dtype | None) -> None:
    """Write the weights (a state dict of the network) and the configuration to `path`, atomically.

    dtype: that of the tensors in the file; None keeps that of every tensor. ModelError if the file cannot be written;
    an existing file is then kept.
    """
    tensors = {name: value.detach().to("cpu", dtype or value.dtype).contiguous() for name, value in weights.items()}
    try:
        with atomic_path(path) as part:
            part.touch()
            mode = part.stat().st_mode
            save_file(tensors, part, metadata={HEADER: config.model_dump_json()})
            # safetensors 0.8 writes files that only their owner may read.
            part.chmod(mode)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: cannot be written ({error})") from error


def read_config(path: Path) -> ModelConfig:
    """Return the configuration in the header of a weights file; ModelError if there is none.

    That of a file of diffusers is in the JSON files of its folder.
    """
    if is_diffusers_file(path):
        return read_diffusers_config(path)
    with _opened(path) as file:
        header: dict[str, str] = file.metadata() or {}
    if HEADER not in header:
        raise ModelError(f"{path}: the header has no {HEADER!r} entry; write the file with `restorekit train`")
    try:
        return MODEL.validate_python(_current_keys(json.loads(header[HEADER])))
    except ValidationError as error:
        first = error.errors()[0]
        where = shortened(".".join(str(part) for part in first["loc"])) or "family"
        found = f"{shortened(first['msg'], 200)} (found {shortened(repr(first['input']))})"
        raise ModelError(f"{path}: header entry {where}: {found}") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: header entry {HEADER!r} is not JSON ({error})") from error


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
    """Load a prior or a classifier from a weights file, float32 on the CPU, in evaluation mode.

    The network is built only if the file contains exactly its tensors, so that its size is bounded by that of the file.
    """
    config = read_config(path)
    with torch.device("meta"):
        net: Any = config.build_net()
    if is_diffusers_file(path):
        assert isinstance(config, EpsilonConfig)
        converted = load_diffusers_weights(path, config)
        weights = {name: value.to(torch.float32, copy=True) for name, value in converted.items()}
    else:
        weights = _read_tensors(path, shapes_of(net.state_dict()))
    # NumPy uses one thread: on a busy machine, hundreds of small parallel operations of torch take seconds.
    broken = [name for name, value in weights.items() if not np.isfinite(value.numpy()).all()]
    if broken:
        raise ModelError(f"{path}: {listed(broken)} contain nan or inf; the file is damaged")
    net.load_state_dict(weights, assign=True)
    return config.build(net).eval().requires_grad_(False)


def _read_tensors(path: Path, shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Return the tensors of a weights file as float32; ModelError if they have other names or shapes than `shapes`."""
    with _opened(path) as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        problem = misfit(shapes, {name: tuple(part.get_shape()) for name, part in slices.items()})
        if problem:
            raise ModelError(f"{path}: the weights do not fit the network in the header: {problem}")
        for name, part in slices.items():
            if part.get_dtype() not in DTYPES:
                found = f"tensor {name} has the type {part.get_dtype()}"
                raise ModelError(f"{path}: {found}, allowed: {', '.join(DTYPES)}")
        return {name: file.get_tensor(name).to(torch.float32, copy=True) for name in shapes}


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a safetensors file; ModelError if it or one of its tensors cannot be read."""
    try:
        with safe_open(path, "pt") as file:
            yield file
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: not a readable safetensors file ({error})") from error
