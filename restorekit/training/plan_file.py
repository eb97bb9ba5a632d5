"""Reading training plans from TOML files, with overrides and all errors."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from restorekit.errors import OptionError, printable, shortened, unknown
from restorekit.models.config import EpsilonConfig, NoisyClassifierConfig, ScoreConfig
from restorekit.training.plan import Plan

FAMILIES: dict[str, type[BaseModel]] = {
    "epsilon": EpsilonConfig,
    "score": ScoreConfig,
    "classifier": NoisyClassifierConfig,
}
# The plan that `train --new` writes.
STARTER = Path(__file__).parent / "starter_plan.toml"
# Value of model.classes that takes the class names from the folders of the data.
FROM_FOLDERS = "folders"


class PlanError(OptionError):
    """Raised if a plan has problems; the message has one line, or one for each of several problems.

    Arguments:
        path: the plan.
        problems: one line each.
    """

    def __init__(self, path: Path, problems: Sequence[str]) -> None:
        super().__init__(path, problems)
        self.path, self.problems = path, problems

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return printable(f"{self.path}: {self.problems[0]}")
        lines = [f"{self.path}: {len(self.problems)} errors", *(f"  {problem}" for problem in self.problems)]
        return "\n".join(map(printable, lines))


def new_plan(path: Path) -> None:
    """Write a commented training plan to a new file; OptionError if it exists or cannot be written."""
    if path.suffix != ".toml":
        raise OptionError(f"--new: {path}: found the suffix {path.suffix!r}, allowed: '.toml'")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(STARTER.read_text(encoding="utf-8"))
    except FileExistsError:
        raise OptionError(f"--new: {path} exists; allowed: a new file") from None
    except (OSError, ValueError) as error:
        raise OptionError(f"--new: {path}: cannot be written ({error})") from error


def read_plan(path: Path, overrides: Sequence[str] = ()) -> Plan:
    """Read a plan from a TOML file and apply `a.b=value` overrides; PlanError lists all problems."""
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
        raise PlanError(path, _problems(error)) from error


def _name_classes(raw: dict[str, Any]) -> None:
    """Replace `model.classes = "folders"` by the sorted names of the subfolders of data.folder."""
    model, data = raw.get("model"), raw.get("data")
    if not isinstance(model, dict) or model.get("classes") != FROM_FOLDERS:
        return
    if isinstance(data, dict) and data.get("shards") is not None:
        raise OptionError(f"model.classes is {FROM_FOLDERS!r}, but data.shards is given; allowed: the names in a list")
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


def _problems(error: ValidationError) -> list[str]:
    """Return the problems of a plan, one line each."""
    return list(dict.fromkeys(line for details in error.errors() for line in _explain(details).splitlines()))


def _explain(details: ErrorDetails) -> str:
    """Describe a problem: the key, what was found and what is allowed; several lines for contradictions of keys."""
    *parents, last = [str(part) for part in details["loc"]] or ["plan"]
    sections = parents
    parents = [part for part in parents if part not in FAMILIES]
    where = ".".join([*parents, last])
    kind, context = details["type"], details.get("ctx", {})
    if kind == "extra_forbidden":
        return unknown("key", last, _keys(sections), ".".join(parents) or "the plan")
    if kind == "missing":
        return f"{where} is missing"
    if kind == "value_error":
        return str(context["error"])
    if kind == "union_tag_invalid":
        return f"{where}.family: found {context['tag']!r}, allowed: {context['expected_tags']}"
    found = json.dumps(details["input"], default=str)
    allowed = details["msg"].removeprefix("Input should be ").split(", unable to")[0].split(", got a")[0]
    return f"{where}: found {shortened(found)}, allowed: {allowed}"


def _keys(parents: Sequence[str]) -> list[str]:
    model: type[BaseModel] = Plan
    for parent in parents:
        annotation = FAMILIES[parent] if parent in FAMILIES else model.model_fields[parent].annotation
        for kind in (annotation, *get_args(annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                model = kind
    return list(model.model_fields)
