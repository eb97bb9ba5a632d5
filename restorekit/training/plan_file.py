"""Reading training plans from TOML files, with overrides and one-line errors."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from restorekit.errors import OptionError, shortened, unknown
from restorekit.models.config import EpsilonConfig, NoisyClassifierConfig, ScoreConfig
from restorekit.training.plan import Plan

FAMILIES: dict[str, type[BaseModel]] = {
    "epsilon": EpsilonConfig,
    "score": ScoreConfig,
    "classifier": NoisyClassifierConfig,
}
# Value of model.classes that takes the class names from the folders of the data.
FROM_FOLDERS = "folders"


def read_plan(path: Path, overrides: Sequence[str] = ()) -> Plan:
    """Read a plan from a TOML file and apply `a.b=value` overrides; OptionError describes the first problem."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise OptionError(f"{path}: not a readable TOML plan ({error})") from error
    for override in overrides:
        _apply(raw, override)
    _name_classes(raw)
    try:
        return Plan.model_validate(_with_null(raw))
    except ValidationError as error:
        raise OptionError(f"{path}: {_explain(error)}") from error


def _name_classes(raw: dict[str, Any]) -> None:
    """Replace `model.classes = "folders"` by the sorted names of the subfolders of data.folder."""
    model, data = raw.get("model"), raw.get("data")
    if not isinstance(model, dict) or model.get("classes") != FROM_FOLDERS:
        return
    folder = Path(str(data.get("folder", ""))) if isinstance(data, dict) else Path()
    names = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    if not names:
        raise OptionError(
            f"model.classes is {FROM_FOLDERS!r}, but data.folder, {folder}, has no subfolders (in {Path.cwd()})"
        )
    model["classes"] = names


def _with_null(value: Any) -> Any:
    """Replace the word "null" by None, because TOML has no null."""
    if isinstance(value, dict):
        return {key: _with_null(inner) for key, inner in value.items()}
    return None if value == "null" else value


def _apply(raw: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator:
        raise OptionError(f"--set {override!r}: allowed: key.subkey=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *parents, last = key.strip().split(".")
    for parent in parents:
        raw = raw.setdefault(parent, {})
        if not isinstance(raw, dict):
            raise OptionError(f"--set {override!r}: {parent!r} is a value, not a section")
    raw[last] = value


def _explain(error: ValidationError) -> str:
    """Describe the first problem of a plan in one line."""
    first = error.errors()[0]
    *parents, last = [str(part) for part in first["loc"]] or ["plan"]
    sections = parents
    parents = [part for part in parents if part not in FAMILIES]
    where = ".".join([*parents, last])
    if first["type"] == "extra_forbidden":
        return unknown("key", last, _keys(sections), ".".join(parents) or "the plan")
    if first["type"] == "missing":
        return f"{where} is missing"
    if first["type"] == "value_error":
        return str(first["ctx"]["error"])
    return f"{where}: {first['msg']} (found {shortened(json.dumps(first['input'], default=str))})"


def _keys(parents: Sequence[str]) -> list[str]:
    model: type[BaseModel] = Plan
    for parent in parents:
        annotation = FAMILIES[parent] if parent in FAMILIES else model.model_fields[parent].annotation
        for kind in (annotation, *get_args(annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                model = kind
    return list(model.model_fields)
