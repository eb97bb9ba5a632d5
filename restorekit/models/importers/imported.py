"""An imported checkpoint, before it is written: configuration, weights and what is known about it."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from restorekit.errors import ModelError
from restorekit.models.cards import pipeline_tag
from restorekit.models.config import ModelConfig, NoisyClassifierConfig
from restorekit.models.shapes import misfit, shapes_of


@dataclass(frozen=True)
class Origin:
    """What is known about a published checkpoint.

    Attributes:
        project: name of the project that published it.
        url: where it was published; None if that is the imported source itself, or unknown.
        license: identifier of the licence for the Hub, or "unknown".
        data: the training data.
        notes: further lines of the card.
    """

    project: str
    url: str | None = None
    license: str = "unknown"
    data: str = "unknown"
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Imported:
    """A checkpoint as weights of one of our networks."""

    config: ModelConfig
    weights: dict[str, Tensor] = field(repr=False)
    origin: Origin

    def check(self) -> None:
        """Raise ModelError if the tensors do not fit the network."""
        with torch.device("meta"):
            expected = shapes_of(self.config.build_net().state_dict())
        problem = misfit(expected, shapes_of(self.weights))
        if problem:
            raise ModelError(f"the tensors do not fit the network: {problem}")

    def card(self, source: str) -> str:
        """Return the model card, with metadata for the Hub. source: the imported file, folder or repository."""
        config, origin = self.config, self.origin
        is_prior = not isinstance(config, NoisyClassifierConfig)
        what = "prior: D(x, sigma) = E[x0 | x]" if is_prior else "classifier: p(label | x) for x = x0 + sigma n,"
        count = sum(value.numel() for value in self.weights.values())
        types = ", ".join(sorted({str(value.dtype).removeprefix("torch.") for value in self.weights.values()}))
        place = f", published at {origin.url}" if origin.url is not None else ""
        notes = "".join(f"\n- {note}" for note in origin.notes)
        return f"""---
license: {origin.license}
library_name: restorekit
pipeline_tag: {pipeline_tag(config)}
---
# {origin.project}

A {what} for images in [-1, 1], imported by `restorekit models import`.

{config.describe()}
- Parameters: {count:,} ({types}).
- Window: {config.size} x {config.size} pixels, {config.channels} channels.
- Training data: {origin.data}.
- Source: {source}{place}.
- Licence: {origin.license}.{notes}
"""
