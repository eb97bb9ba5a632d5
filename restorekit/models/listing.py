"""The bundled models and those in the cache of huggingface_hub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from restorekit.errors import ModelError
from restorekit.models.files import read_config
from restorekit.models.hub import cached_models
from restorekit.models.registry import bundled_models


@dataclass(frozen=True)
class ListedModel:
    """A model that is available without a download.

    Attributes:
        name: what `load_prior` accepts.
        family: "epsilon", "score" or "classifier".
        channels: number of image channels.
        size: side of the training images in pixels; None if it is not known.
        bytes: size of the weights file.
        classes: names of the classes.
        path: the weights file.
    """

    name: str
    family: str
    channels: int
    size: int | None
    bytes: int
    classes: tuple[str, ...]
    path: str


def listed_models() -> list[ListedModel]:
    """Return the bundled models, and those in the cache; repositories with other models are left out."""
    models = [_listed(model.name, model.path) for model in bundled_models()]
    for name, weights in cached_models():
        try:
            models.append(_listed(name, weights))
        except (ModelError, OSError):  # of another library, a network that is not ours, or removed meanwhile
            continue
    return models


def _listed(name: str, weights: Path) -> ListedModel:
    config = read_config(weights)
    size = weights.stat().st_size
    classes = tuple(config.classes or ())
    return ListedModel(name, config.family, config.channels, config.size, size, classes, str(weights))
