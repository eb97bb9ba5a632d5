"""Initialization of a training run from the weights of another model."""

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
from restorekit.priors.epsilon import EpsilonPrior
from restorekit.priors.guided import NoisyClassifier
from restorekit.training.plan import Plan

# Parameters of a U-Net whose numbers of channels may differ.
ENDS = ("input_blocks.0.0.weight", "out.2.weight", "out.2.bias")
FIRST_BIAS = "input_blocks.0.0.bias"
LABELS = "label_emb.weight"
MIN_SHARED = 0.5


def start_from(source: Path, plan: Plan) -> Prior | NoisyClassifier:
    """Build the model of a plan and copy those weights of another model that fit it.

    In the first and the last layer, the channels that both models have are copied, and the others are zero. If only
    the other model has partial noise, its input that marks noisy pixels becomes a part of the bias: all pixels are
    noisy. Labels that the other model lacks start without effect; other layers that it lacks (attention) are newly
    initialized. TrainingError if less than half
    of the weights fit.
    """
    fresh = plan.model.build()
    other = load_classifier_weights(source) if isinstance(fresh, NoisyClassifier) else load_weights(source)
    target, found = fresh.net.state_dict(), _aligned(other.net, fresh.net)
    copied = {name: found[name] for name, value in target.items() if name in found and found[name].shape == value.shape}
    fraction = sum(value.numel() for value in copied.values()) / sum(value.numel() for value in target.values())
    if fraction < MIN_SHARED:
        raise TrainingError(
            f"--init-from {source}: {fraction:.0%} of its weights fit the plan's model.net, allowed: 50% or more"
        )
    if LABELS in target and LABELS not in copied:
        copied[LABELS] = torch.zeros_like(target[LABELS])
    for name in ENDS:
        if name in target and name in found and name not in copied:
            shared = tuple(slice(min(a, b)) for a, b in zip(target[name].shape, found[name].shape, strict=True))
            copied[name] = torch.zeros_like(target[name])
            copied[name][shared] = found[name][shared]
    if isinstance(other, EpsilonPrior) and other.info.partial_noise and not plan.model.partial_noise:
        copied[FIRST_BIAS] = found[FIRST_BIAS] + found[ENDS[0]][:, other.info.channels].sum((1, 2))
    fresh.net.load_state_dict({**target, **copied})
    return fresh


def _aligned(other: nn.Module, fresh: nn.Module) -> dict[str, Tensor]:
    """Return the weights of the other network under the names that they have in the new one.

    The indices of layers differ if only one of the networks has attention.
    """
    new_names = {old: new for new, old in itertools.chain.from_iterable(_pairs(fresh, other))}
    result = {}
    for name, value in other.state_dict().items():
        prefix = next((old for old in new_names if name.startswith(old + ".")), None)
        result[name if prefix is None else new_names[prefix] + name.removeprefix(prefix)] = value
    return result


def _pairs(fresh: nn.Module, other: nn.Module) -> Iterator[Iterator[tuple[str, str]]]:
    """Yield the names of the layers of every stage, except attention, in both networks."""
    stages = {name: stage for name, stage in other.named_modules() if isinstance(stage, Stage)}
    for name, stage in fresh.named_modules():
        if isinstance(stage, Stage) and name in stages:
            yield zip(_layers(name, stage), _layers(name, stages[name]), strict=False)


def _layers(name: str, stage: Stage) -> list[str]:
    return [f"{name}.{index}" for index, layer in enumerate(stage) if not isinstance(layer, AttentionBlock)]
