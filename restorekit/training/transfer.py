"""Starting a training from the weights of another network."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from restorekit.errors import TrainingError
from restorekit.models.config import Prior
from restorekit.models.files import load_classifier_weights, load_weights
from restorekit.nets.unet import AttentionBlock, Stage
from restorekit.priors.guided import NoisyClassifier
from restorekit.training.plan import Plan

# Layers of a U-Net whose channels may differ.
ENDS = ("input_blocks.0.0.weight", "out.2.weight", "out.2.bias")
LEAST_SHARED = 0.5


def start_from(source: Path, plan: Plan) -> Prior | NoisyClassifier:
    """The model of a plan with the weights of another, as far as they fit.

    The first and the last layer take the channels that both have, further ones start at zero; layers that the other
    lacks (attention, labels) start fresh. TrainingError when less than half of the weights fit.
    """
    fresh = plan.model.build()
    other = load_classifier_weights(source) if isinstance(fresh, NoisyClassifier) else load_weights(source)
    wanted, found = fresh.net.state_dict(), _aligned(other.net, fresh.net)
    taken = {name: found[name] for name, value in wanted.items() if name in found and found[name].shape == value.shape}
    share = sum(value.numel() for value in taken.values()) / sum(value.numel() for value in wanted.values())
    if share < LEAST_SHARED:
        raise TrainingError(f"--init-from {source}: {share:.0%} of its weights fit the plan's model.net, allowed: half")
    for name in ENDS:
        if name in wanted and name in found and name not in taken:
            both = tuple(slice(min(a, b)) for a, b in zip(wanted[name].shape, found[name].shape, strict=True))
            taken[name] = torch.zeros_like(wanted[name])
            taken[name][both] = found[name][both]
    fresh.net.load_state_dict({**wanted, **taken})
    return fresh


def _aligned(other: nn.Module, fresh: nn.Module) -> dict[str, Tensor]:
    """The other's weights under the names that they have in the fresh network, whose attention moves later layers."""
    places = {old: new for new, old in itertools.chain.from_iterable(_pairs(fresh, other))}
    result = {}
    for name, value in other.state_dict().items():
        prefix = next((old for old in places if name.startswith(old + ".")), None)
        result[name if prefix is None else places[prefix] + name.removeprefix(prefix)] = value
    return result


def _pairs(fresh: nn.Module, other: nn.Module) -> Iterator[Iterator[tuple[str, str]]]:
    """Names of the layers of every stage, attention apart, in both networks."""
    stages = {name: stage for name, stage in other.named_modules() if isinstance(stage, Stage)}
    for name, stage in fresh.named_modules():
        if isinstance(stage, Stage) and name in stages:
            yield zip(_layers(name, stage), _layers(name, stages[name]), strict=False)


def _layers(name: str, stage: Stage) -> list[str]:
    return [f"{name}.{index}" for index, layer in enumerate(stage) if not isinstance(layer, AttentionBlock)]
