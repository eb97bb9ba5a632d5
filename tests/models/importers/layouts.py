"""Weights in published layouts that a test can rebuild from their names and shapes, so that no weights are stored."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.golden import DATA


def seeded_tensor(name: str, shape: tuple[int, ...]) -> Tensor:
    """Normal numbers that depend on the name and the shape only; NumPy guarantees the sequence of RandomState."""
    values = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape).astype(np.float32)
    return torch.from_numpy(values)


def seeded_weights(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Weights with activations of about unit size; the gains of norms are about 1."""
    weights = {}
    for name, shape in shapes.items():
        values = seeded_tensor(name, tuple(shape))
        if len(shape) > 1:
            weights[name] = values * (values[0].numel() ** -0.5)
        else:
            is_gain = name.endswith(("weight", "gamma", "alpha"))
            weights[name] = (1.0 if is_gain else 0.0) + 0.1 * values
    return weights


@dataclass(frozen=True)
class Layout:
    """A small network of a published implementation: its settings, the shapes of its tensors and its result."""

    settings: dict[str, Any]
    shapes: dict[str, tuple[int, ...]]
    tensors: dict[str, Tensor]

    @property
    def weights(self) -> dict[str, Tensor]:
        return seeded_weights(self.shapes)


def layouts(file: str) -> dict[str, Layout]:
    """Read a file of results; see `tests/data/FILE.json`."""
    facts = json.loads((DATA / f"{file}.json").read_text())["layouts"]
    tensors = load_file(DATA / f"{file}.safetensors")
    return {
        name: Layout(
            entry["settings"],
            {key: tuple(shape) for key, shape in entry["shapes"].items()},
            {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")},
        )
        for name, entry in facts.items()
    }
