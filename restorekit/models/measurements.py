"""Results of `restorekit evaluate --json` as the metadata of a model card."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from restorekit.errors import ModelError, OptionError, shortened
from restorekit.models.cards import CLASSIFICATION
from restorekit.models.files import WEIGHTS

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

# Columns of the tables with values, and the identifiers of the Hub.
METRICS = {"PSNR (dB)": "psnr", "SSIM": "ssim", "accuracy": "accuracy"}
CLASSIFIER_METRICS = ("accuracy",)
# Columns with the model of a row: of a prior or another method, and of a classifier.
METHODS = ("method", "model")
# Columns with the degradation, and whether the rows are of one model or of several methods.
SETTINGS = {"sigma": "Denoising", "mask": "Inpainting"}
MODES = ("mean", "sample")


def measured_results(path: Path, folder: Path, data: str, task: str) -> list[EvalResult]:
    """Return the rows of a model as results for its card; ModelError if there are none, or if they are not of its kind.

    Arguments:
        path: what `restorekit evaluate denoise`, `inpaint` or `classify` printed with --json.
        folder: the model; only rows of this folder are results, not those of other methods.
        data: name of the photos.
        task: identifier of the Hub for the task of the model.
    """
    if not re.search("[a-z0-9]", data.lower()):
        raise OptionError(f"--dataset: found {data!r}, allowed: a name with letters or digits")
    rows = _read_rows(path)
    own = [row for row in rows if _is_of(_method(row), folder)]
    if not own:
        found = ", ".join(dict.fromkeys(map(_method, rows)))
        raise ModelError(f"--metrics: {path} has no row of {folder}; found: {shortened(found, 200)}")
    is_classifier = task == CLASSIFICATION
    allowed = [name for name in METRICS if (name in CLASSIFIER_METRICS) == is_classifier]
    for other in (name for row in own for name in METRICS if name in row and name not in allowed):
        kind = "classifier" if is_classifier else "prior"
        raise ModelError(f"--metrics: {path}: found {other} of a {kind}, allowed: {', '.join(allowed)}")
    return [result for row in own for result in _results(row, data, task)]


def _read_rows(path: Path) -> list[dict[str, Any]]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"--metrics: {path}: not a readable JSON file ({error})") from error
    valid = isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows)
    columns = (SETTINGS.keys(), METRICS.keys(), set(METHODS))
    if not valid or not all(names & row.keys() for row in rows for names in columns):
        raise ModelError(f"--metrics: {path}: allowed: the output of evaluate denoise, inpaint or classify with --json")
    return list(rows)


def _method(row: Mapping[str, Any]) -> str:
    """Return the model or another method of a row."""
    return str(next(row[name] for name in METHODS if name in row))


def _is_of(method: str, folder: Path) -> bool:
    """Return whether the method of a row, with the mode of inpainting, is the model in a folder."""
    name, _, mode = method.rpartition(" ")
    model = Path(name if mode in MODES and name else method).resolve()
    return model in (folder.resolve(), (folder / WEIGHTS).resolve())


def _results(row: Mapping[str, Any], data: str, task: str) -> list[EvalResult]:
    """Return the results of a row, one per metric."""
    from huggingface_hub import EvalResult

    setting = next(name for name in SETTINGS if name in row)
    mode = str(row.get("method", "")).rpartition(" ")[2]
    config = f"{setting} {row[setting]}" + (f", {mode}" if mode in MODES else "")
    return [
        EvalResult(
            task_type=task,
            task_name="Classification of noisy images" if column == "accuracy" else SETTINGS[setting],
            dataset_type=re.sub(r"[^a-z0-9]+", "-", data.lower()).strip("-"),
            dataset_name=data,
            dataset_config=config,
            metric_type=metric,
            metric_name=column,
            metric_value=_number(row[column]),
        )
        for column, metric in METRICS.items()
        if column in row
    ]


def _number(cell: Any) -> float:
    """Return the number in a cell; a percentage is a fraction."""
    try:
        percent = isinstance(cell, str) and cell.endswith("%")
        return round(float(cell[:-1]) / 100, 6) if percent else float(cell)
    except (TypeError, ValueError):
        raise ModelError(f"--metrics: found {shortened(cell)}, allowed: a number") from None
