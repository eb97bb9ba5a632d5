"""Loading of models: bundled names, folders, files, the Hugging Face Hub, and prior families of plugins."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from restorekit.core.denoiser import Denoiser, PriorInfo, Wrapper
from restorekit.core.family import FAMILY, PriorFamily
from restorekit.core.files import file_sha256
from restorekit.core.reserved import BUNDLED
from restorekit.errors import ModelError, RestorekitError, unknown
from restorekit.models.config import NoisyClassifierConfig
from restorekit.models.files import WEIGHTS, load_any_weights, load_classifier_weights, load_weights, read_config
from restorekit.models.hub import HUB, fetch
from restorekit.models.importers.diffusers import find_unet
from restorekit.plugins.discovery import plugin_files, prior_families
from restorekit.plugins.plugin_errors import PluginError, call_plugin
from restorekit.priors.guided import NoisyClassifier

# What functions accept as a prior, for error messages.
PRIORS = "a Denoiser, a name or a path; rk.prior_from makes a prior of a function"


@dataclass(frozen=True)
class BundledModel:
    """A model that ships with restorekit."""

    name: str
    path: Path
    bytes: int


def bundled_models() -> list[BundledModel]:
    """Return the models that ship with restorekit, sorted by name."""
    files = sorted(BUNDLED.glob(f"*/{WEIGHTS}"))
    return [BundledModel(file.parent.name, file, file.stat().st_size) for file in files]


def bundled_classes() -> dict[str, tuple[str, ...]]:
    """Return the class names of every bundled prior that has classes."""
    configs = {model.name: read_config(model.path) for model in bundled_models()}
    return {name: c.classes for name, c in configs.items() if c.classes and not isinstance(c, NoisyClassifierConfig)}


def find_weights(source: str | Path) -> Path:
    """Return the weights file of a bundled name, a folder, a file, or `hf://org/name@revision`."""
    text = str(source)
    if text.startswith(HUB):
        return fetch(text).weights
    names = {model.name: model.path for model in bundled_models()}
    if text in names:
        return names[text]
    path = Path(source)
    if path.is_file():
        return path
    if (path / WEIGHTS).is_file():
        return path / WEIGHTS
    if path.is_dir():
        unet = find_unet(path)
        if unet is None:
            raise ModelError(f"model {text}: the folder has no {WEIGHTS}, and no UNet2DModel of diffusers")
        return unet
    if family_of(text) is not None:
        raise ModelError(f"model {text}: found a prior of a plugin, allowed: weights written by `restorekit train`")
    allowed = [*names, "a folder with " + WEIGHTS, "hf://org/name@revision", *(f"{f}:..." for f in prior_families())]
    raise ModelError(unknown("model", text, allowed, "--model"))


def family_of(source: str | Path) -> tuple[PriorFamily, str] | None:
    """Return the family of `NAME:TEXT` and the text; None for an existing path, a URL or any other form."""
    name, colon, text = str(source).partition(":")
    if not colon or not FAMILY.fullmatch(name) or text.startswith("//") or Path(source).exists():
        return None
    families = prior_families()
    if name not in families:
        raise ModelError(unknown("prior family", name, families, f"model {source}"))
    return families[name], text


def pinned(model: object) -> object:
    """Return a model of the Hub with the commit that its revision stands for; any other model unchanged."""
    return fetch(model).source if isinstance(model, str) and model.startswith(HUB) else model


def model_digest(model: object) -> str:
    """Return the SHA-256 digest of the weights file of a model, or the text that selects a prior of a plugin, followed
    by the digest of its file if the plugin names one.

    model: what `load_model` accepts, or an object. That of a module is the name of its type and the digest of its
        parameters, that of a wrapper depends on its attributes, and that of any other object is the name of its type.
    """
    if not isinstance(model, str | Path):
        return _object_digest(model)
    found = family_of(model)
    if found is not None:
        family, text = found
        file = None if family.file is None else family.file(text)
        return str(model) if file is None or not file.is_file() else f"{model} {file_sha256(file)}"
    return file_sha256(find_weights(model))


def _object_digest(model: object) -> str:
    """Return the digest of a model that is not a file; see `model_digest`."""
    name, found = type(model).__qualname__, hashlib.sha256()
    if isinstance(model, nn.Module):
        for key, value in model.state_dict().items():
            found.update(key.encode())
            found.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    elif isinstance(model, Wrapper):
        for key, part in sorted(vars(model).items()):
            values = part.tolist() if isinstance(part, torch.Tensor) else part
            plain = isinstance(values, str | int | float | tuple | list | PriorInfo | None)
            found.update(f"{key}={repr(values) if plain else _object_digest(part)};".encode())
    else:
        return name
    return f"{name}:{found.hexdigest()}"


def load_prior(source: str | Path) -> Denoiser:
    """Load a prior, float32 on the CPU, in evaluation mode.

    source: a bundled name (`restorekit models` lists them), a folder written by `restorekit train`, a weights file,
    `hf://org/name@revision` on the Hugging Face Hub (without @revision: main), or `FAMILY:TEXT` for a plugin.
    """
    found = family_of(source)
    return _load_from_family(*found) if found is not None else load_weights(find_weights(source))


def load_classifier(source: str | Path) -> NoisyClassifier:
    """Load a classifier of noisy images, float32 on the CPU, in evaluation mode.

    source: as for `load_prior`, except `FAMILY:TEXT`.
    """
    return load_classifier_weights(find_weights(source))


def load_model(source: str | Path) -> Denoiser | NoisyClassifier:
    """Load a prior or a classifier; see `load_prior`."""
    found = family_of(source)
    return _load_from_family(*found) if found is not None else load_any_weights(find_weights(source))


def _load_from_family(family: PriorFamily, text: str) -> Denoiser:
    """Return the prior that a plugin loads; any exception of the plugin becomes a ModelError."""
    where = f"model {family.name}:{text}"
    try:
        prior = call_plugin(lambda: family.load(text), plugin_files())
    except PluginError as error:
        if isinstance(error.__cause__, RestorekitError):
            raise error.__cause__ from None
        raise ModelError(f"{where}: {error}") from error
    if not isinstance(prior, Denoiser):
        raise ModelError(f"{where}: the plugin returned {type(prior).__name__}, allowed: a Denoiser")
    if not isinstance(prior.info, PriorInfo):
        found = type(prior.info).__name__
        raise ModelError(f"{where}: the attribute info of the prior is {found}, allowed: rk.PriorInfo")
    return prior
