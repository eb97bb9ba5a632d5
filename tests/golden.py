"""Golden files: results of the published implementations, in tests/data."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Golden:
    """Tensors of one golden file and their description."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]

    @property
    def weights(self) -> dict[str, Tensor]:
        return {k.removeprefix("state."): v.float() for k, v in self.tensors.items() if k.startswith("state.")}

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def agrees(self, name: str, got: Tensor) -> None:
        """Assert |got - want| <= atol + rtol |want|, with the tolerance that the file states for this output."""
        want = self.tensors[name]
        tolerances = self.facts["tolerance"]
        allowed = tolerances.get(name) or next(value for pattern, value in tolerances.items() if fnmatch(name, pattern))
        assert got.shape == want.shape
        excess = (got.double() - want.double()).abs() - allowed["rtol"] * want.double().abs()
        assert excess.max() <= allowed["atol"], f"{name}: {excess.max():.3g} > {allowed['atol']:.3g}"


def load(name: str) -> Golden:
    return Golden(load_file(DATA / f"{name}.safetensors"), json.loads((DATA / f"{name}.json").read_text()))


class Recorded:
    """Recorded noise, one tensor per call."""

    def __init__(self, samples: Iterable[Tensor]) -> None:
        self._samples = iter(samples)

    def like(self, x: Tensor) -> Tensor:
        sample = next(self._samples)
        assert sample.shape == x.shape
        return sample.to(x)


def stand_in_eps(x: Tensor, t: Tensor) -> Tensor:
    """The analytic network of the process files: eps(x, t) = (0.2 + 0.75 t / 1000) x + 0.1 sin(t / 100)."""
    t = t.reshape(-1, 1, 1, 1)
    return (0.2 + 0.75 * t / 1000) * x + 0.1 * torch.sin(t / 100)


def stand_in_variance(x: Tensor, t: Tensor) -> Tensor:
    """The analytic variance head: v(x, t) = tanh(0.5 x + 0.3 cos(t / 50))."""
    return torch.tanh(0.5 * x + 0.3 * torch.cos(t.reshape(-1, 1, 1, 1) / 50))
