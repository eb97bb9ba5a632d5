"""Model cards: what their metadata and text state, and the card that is written to the Hub."""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml  # type: ignore[import-untyped]

from restorekit.errors import ModelError, printable, shortened
from restorekit.models.config import ModelConfig, NoisyClassifierConfig

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

METADATA = re.compile(r"\A---\s*?\n(.*?)\n---\s*?(?:\n|\Z)", re.DOTALL)
# The line of the training data, which may continue on indented lines.
DATA = re.compile(r"^- (?:Training data|Data): (.*(?:\n {2}.*)*)", re.MULTILINE)
LIBRARY = "restorekit"
CLASSIFICATION = "image-classification"
# Begin of the text for the training data in a new plan, which a card must not contain.
PLACEHOLDER = "Describe the sources and the terms of your"


def card_facts(path: Path) -> dict[str, Any]:
    """Return the metadata of a model card; empty if there are none, or if they are not valid."""
    if not path.is_file():
        return {}
    found = METADATA.match(path.read_text(encoding="utf-8", errors="replace"))
    try:
        facts = yaml.safe_load(found[1]) if found else {}
    except (yaml.YAMLError, ValueError, RecursionError):  # ValueError: such as the date 2026-13-45
        return {}
    return facts if isinstance(facts, dict) else {}


def training_data(path: Path) -> str | None:
    """Return the training data as the text of a model card states them, in one line, or else the metadata."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    found = DATA.search(text)
    if found is not None:
        return printable(" ".join(found[1].split()))
    datasets = card_facts(path).get("datasets")
    if datasets is None:
        return None
    return ", ".join(map(card_text, datasets)) if isinstance(datasets, list) else card_text(datasets)


def card_text(value: object) -> str:
    """Return a value of the metadata as one line that is safe on a terminal; lists and dictionaries are shortened."""
    return printable(reprlib.repr(value) if isinstance(value, list | dict) else str(value))


def pipeline_tag(config: ModelConfig) -> str:
    """Return the task of a model in the terms of the Hub."""
    return CLASSIFICATION if isinstance(config, NoisyClassifierConfig) else "image-to-image"


def hub_card(path: Path, config: ModelConfig, name: str, results: Sequence[EvalResult] = ()) -> str:
    """Return the card of a model for the Hub: that of the folder, with the metadata that it lacks.

    Library and task are those of the model. A result replaces one of the card for the same task, data and metric, and
    the metrics of all results are listed. Other entries stay as they are. ModelError if the metadata are not valid, or
    state no licence, or if the text does not describe the training data.

    path: the card. name: of the model, for the list of results. results: measured values that the card lacks.
    """
    from huggingface_hub import ModelCard

    try:
        card = ModelCard(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
        found = shortened(str(error).splitlines()[0], 200)
        raise ModelError(f"{path}: the metadata are not valid ({found})") from error
    data: Any = card.data
    if data.license is None:
        raise ModelError(f"{path}: the metadata state no licence; allowed: license: ID, such as apache-2.0 or unknown")
    if PLACEHOLDER in " ".join(str(card.content).split()):
        found = f"found {PLACEHOLDER!r}..."
        raise ModelError(f"{path}: {found}, allowed: a description of the training data, in this file")
    data.library_name = data.library_name or LIBRARY
    data.pipeline_tag = data.pipeline_tag or pipeline_tag(config)
    kept = [old for old in data.eval_results or () if not any(old.is_equal_except_value(new) for new in results)]
    merged = [*kept, *results]
    if merged:
        data.eval_results = merged
        data.model_name = data.model_name or name
        listed = [data.metrics] if isinstance(data.metrics, str) else data.metrics or []
        data.metrics = list(dict.fromkeys([*listed, *(result.metric_type for result in merged)]))
    return str(card.content)


def measured_values(facts: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the results in the metadata of a card: task, data, configuration, metric and value of each.

    Values are finite numbers or text; others are left out.
    """
    values = []
    try:
        for model in facts.get("model-index") or ():
            for result in model["results"]:
                task, data = result["task"], result["dataset"]
                setting = None if data.get("config") is None else card_text(data["config"])
                name = card_text(task.get("name", task["type"]))
                about = {"task": name, "data": card_text(data["name"]), "setting": setting}
                for metric in result["metrics"]:
                    if (value := _measured(metric["value"])) is not None:
                        values.append(
                            {**about, "metric": card_text(metric.get("name", metric["type"])), "value": value}
                        )
    except (TypeError, KeyError, AttributeError):  # a card that was written by hand
        return []
    return values


def _measured(value: object) -> float | str | None:
    """Return a finite number or text; None for any other value."""
    if isinstance(value, str):
        return card_text(value)
    return value if isinstance(value, int | float) and math.isfinite(value) else None
