"""Comparison of the tensors of a file with those of a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from restorekit.errors import shortened


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the tensors of a state dict."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def misfit(expected: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]]) -> str:
    """Describe in one line how the tensors that were found differ from those of a network; "" if they do not.

    Both arguments map names of tensors to shapes.
    """
    shape = {name: found[name] for name in expected if name in found and found[name] != expected[name]}
    kinds = {
        "missing": [name for name in expected if name not in found],
        "unknown": [name for name in found if name not in expected],
        "of another shape": [f"{name} {list(size)} instead of {list(expected[name])}" for name, size in shape.items()],
    }
    return "; ".join(f"{len(names)} {kind}: {listed(names)}" for kind, names in kinds.items() if names)


def listed(names: Sequence[str]) -> str:
    """Return at most three of the names."""
    return ", ".join(shortened(name) for name in names[:3]) + (", ..." if len(names) > 3 else "")
