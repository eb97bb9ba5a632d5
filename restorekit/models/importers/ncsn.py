"""Checkpoints of NCSN and NCSNv2 (Song and Ermon, arXiv 1907.05600 and 2006.09011), with their YAML configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
import yaml  # type: ignore[import-untyped]
from pydantic import ValidationError
from torch import Tensor

from restorekit.errors import ModelError, shortened
from restorekit.models.config import LevelsConfig, ScoreConfig
from restorekit.models.importers.checkpoint import tensors_of
from restorekit.nets.ncsn import NCSNConfig
from restorekit.priors.score import Data

# Settings with which the network and its levels are ours.
FIXED: dict[tuple[str, str], tuple[Any, ...]] = {
    ("model", "sigma_dist"): ("geometric",),
    ("model", "normalization"): ("InstanceNorm++",),
    ("model", "nonlinearity"): ("elu",),
    ("model", "spec_norm"): (False,),
}
# Number of entries of a checkpoint of NCSNv2 with averaged weights, which are the last entry.
AVERAGED = 5
# Largest relative difference of the levels in a checkpoint from those of its configuration.
SAME_LEVELS = 1e-3


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Reads the configurations that NCSNv2 writes, in which mappings are tagged as argparse.Namespace."""


def _plain(loader: _Loader, suffix: str, node: yaml.Node) -> Any:
    """Return a mapping for a tagged mapping, and None for any other object of Python; no object is made."""
    return loader.construct_mapping(node, deep=True) if isinstance(node, yaml.MappingNode) else None


_Loader.add_multi_constructor("tag:yaml.org,2002:python/", _plain)


def read_ncsn(content: Any, path: Path, config_path: Path) -> tuple[ScoreConfig, dict[str, Tensor]]:
    """Return our configuration and the weights of a checkpoint of NCSN or NCSNv2.

    content: that of the file `path`: a list, whose first entry is the state dict. The averaged weights are used if
        there are any.
    """
    settings = _read_settings(config_path)
    if not isinstance(content, list) or not content:
        raise ModelError(f"{path}: found {type(content).__name__}, allowed: the list that NCSN writes")
    weights = tensors_of(content[0], path)
    if settings["model"].get("ema"):
        if len(content) < AVERAGED:
            raise ModelError(f"{path}: found {len(content)} entries, allowed with model.ema: {AVERAGED}")
        averaged = tensors_of(content[-1], path)
        if unknown := averaged.keys() - weights.keys():
            raise ModelError(f"{path}: {len(unknown)} averaged weights are unknown, such as {shortened(min(unknown))}")
        weights |= averaged
    levels = weights.pop("sigmas", None)
    config = _config(settings, weights, config_path)
    ours = config.levels.sigmas()
    if levels is not None and (
        levels.shape != ours.shape or not torch.allclose(levels.double(), ours, rtol=SAME_LEVELS, atol=0)
    ):
        found = f"{len(levels)} levels from {levels[0]:g} to {levels[-1]:g}"
        raise ModelError(f"{path}: has {found}, but {config_path} has {len(ours)} from {ours[0]:g} to {ours[-1]:g}")
    return config, weights


def _read_settings(path: Path) -> dict[str, dict[str, Any]]:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ModelError(f"{path}: not a readable YAML file ({shortened(str(error).splitlines()[0])})") from error
    for part in ("data", "model"):
        if not isinstance(content, Mapping) or not isinstance(content.get(part), Mapping):
            raise ModelError(f"{path}: found no section {part}, allowed: a configuration of NCSN")
    for name in ("logit_transform", "rescaled"):
        if not isinstance(found := content["data"].get(name, False), bool):
            raise ModelError(f"{path}: data.{name} is {shortened(found)}, allowed: true or false")
    for (part, name), allowed in FIXED.items():
        found = content[part].get(name, allowed[0])
        if found not in allowed:
            raise ModelError(f"{path}: {part}.{name} is {shortened(found)}, allowed: {', '.join(map(str, allowed))}")
    return dict(content)


def _config(settings: Mapping[str, Mapping[str, Any]], weights: Mapping[str, Tensor], path: Path) -> ScoreConfig:
    data, model = settings["data"], settings["model"]
    kind = _data(data, path)
    conditional = any(name.endswith(".embed.weight") for name in weights)
    try:
        net = NCSNConfig(
            channels=data["channels"],
            features=model["ngf"],
            levels=model["num_classes"] if conditional else None,
            rescale=kind == "unit",
            decoder_norms=conditional,
            depth=_depth(weights),
        )
        levels = LevelsConfig(first=model["sigma_begin"], last=model["sigma_end"], count=model["num_classes"])
        return ScoreConfig(
            net=net,
            levels=levels,
            data=kind,
            divide=not conditional,
            channels=net.channels,
            size=data["image_size"],
        )
    except KeyError as error:
        raise ModelError(f"{path}: found no setting {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise ModelError(f"{path}: {shortened(first['msg'], 200)} (found {shortened(first['input'])})") from error


def _data(data: Mapping[str, Any], path: Path) -> Data:
    """Return what the network was trained on. With both settings, NCSNv2 trains on [-1, 1] but samples logits."""
    logits, rescaled = data.get("logit_transform", False), data.get("rescaled", False)
    if logits and rescaled:
        raise ModelError(f"{path}: data.logit_transform and data.rescaled are True, allowed: one of them")
    return "logits" if logits else "signed" if rescaled else "unit"


def _depth(weights: Mapping[str, Tensor]) -> Literal["plain", "deeper", "deepest"]:
    stages = {name.partition(".")[0] for name in weights}
    return "deepest" if "res31" in stages else "deeper" if "res5" in stages else "plain"
