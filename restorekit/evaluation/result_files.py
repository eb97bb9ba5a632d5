"""The files of an evaluation: its table as Markdown and JSON, and a plot."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch

from restorekit.core.figures import COLOURS, GRID, INK, check_matplotlib, new_figure, save_figure
from restorekit.core.files import atomic_path
from restorekit.errors import OptionError
from restorekit.run.engine import Engine
from restorekit.run.results import check_writable

MARKDOWN, JSON, PLOT = "results.md", "results.json", "plot.png"
# Inches: width of the plot, and heights of a label, of a dot, of a line of the legend and of the other parts.
WIDTH, LABEL_HEIGHT, DOT_HEIGHT, LEGEND_LINE, MARGIN = 7.0, 0.35, 0.17, 0.25, 0.7
# Diameter of a dot in points, largest number of dots with numbers, and of columns of the legend.
DOT_SIZE, MOST_NUMBERS, LEGEND_COLUMNS = 6, 60, 4

Row = Mapping[str, str | float]


@dataclass(frozen=True)
class Chart:
    """Which columns of a table a plot shows: a dot per label and series, at its value.

    Attributes:
        label: the column of the labels on the vertical axis, such as "sigma".
        series: the column of what is compared, such as "method".
        value: the column of the values, such as "PSNR (dB)".
    """

    label: str
    series: str
    value: str


@dataclass(frozen=True)
class Evaluation:
    """A finished evaluation.

    Attributes:
        name: its name, such as "denoise".
        command: the command line.
        engine: where it was computed.
        table: lines of the Markdown table.
        rows: the cells of the table by column.
        notes: one line each.
    """

    name: str
    command: str
    engine: Engine
    table: Sequence[str]
    rows: Sequence[Row]
    notes: Sequence[str] = ()


def check_folder(folder: Path) -> None:
    """Raise OptionError or ImageError if an evaluation cannot be written to a folder, or would replace files there."""
    check_matplotlib("--output", "bench")
    for name in (MARKDOWN, JSON, PLOT):
        if (folder / name).exists():
            raise OptionError(
                f"--output: {folder / name} exists, allowed: a folder without the results of an evaluation"
            )
    if folder.exists() and not folder.is_dir():
        raise OptionError(f"--output: {folder} is a file, allowed: a folder")
    check_writable(folder / MARKDOWN)


def write_evaluation(evaluation: Evaluation, folder: Path, chart: Chart, plotted: Sequence[Row] | None = None) -> None:
    """Write `results.md`, `results.json` (the rows) and `plot.png`; OptionError if that fails.

    plotted: rows of the plot; None for all.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in ((MARKDOWN, _markdown(evaluation, chart)), (JSON, json.dumps(evaluation.rows, indent=2))):
            with atomic_path(folder / name) as part:
                part.write_text(text.rstrip() + "\n", encoding="utf-8")
        _plot(evaluation.rows if plotted is None else plotted, chart, folder / PLOT)
    except OSError as error:
        raise OptionError(f"--output: {folder}: cannot be written ({error.strerror or error})") from error


def _markdown(evaluation: Evaluation, chart: Chart) -> str:
    engine = evaluation.engine
    facts = f"restorekit {version('restorekit')}", f"torch {torch.__version__}", str(engine.device), engine.precision
    lines = [f"# restorekit evaluate {evaluation.name}", "", f"`{evaluation.command}`", "", ", ".join(facts), ""]
    lines += [*evaluation.table, "", f"![{chart.value} by {chart.label} and {chart.series}]({PLOT})", ""]
    if evaluation.notes:
        lines += ["Notes:", "", *(f"- {note}" for note in evaluation.notes), ""]
    return "\n".join(lines)


def _plot(rows: Sequence[Row], chart: Chart, path: Path) -> None:
    labels = list(dict.fromkeys(_text(row[chart.label]) for row in rows))
    series = list(dict.fromkeys(_text(row[chart.series]) for row in rows))
    lines = -(-len(series) // LEGEND_COLUMNS)
    height = max(LABEL_HEIGHT, DOT_HEIGHT * (len(series) + 1)) * len(labels)
    figure, (axes,) = new_figure(WIDTH, MARGIN + height + LEGEND_LINE * lines)
    for number, name in enumerate(series):
        shift = (number - (len(series) - 1) / 2) / (len(series) + 1)
        values = {
            _text(row[chart.label]): _number(row[chart.value]) for row in rows if _text(row[chart.series]) == name
        }
        shown = {label: value for label, value in values.items() if math.isfinite(value)}
        places = [labels.index(label) + shift for label in shown]
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(list(shown.values()), places, "o", color=colour, markersize=DOT_SIZE, label=_literal(name))
        for value, place in zip(shown.values(), places, strict=True) if len(rows) <= MOST_NUMBERS else ():
            axes.annotate(
                f"{value:.4g}", (value, place), (6, 0), textcoords="offset points", va="center", fontsize=8, color=INK
            )
    axes.grid(visible=False, axis="y")
    for line in range(1, len(labels)):
        axes.axhline(line - 0.5, color=GRID, linewidth=0.7)
    axes.set_yticks(range(len(labels)), [*map(_literal, labels)])
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.margins(x=0.1)
    axes.set_xlabel(chart.value, color=INK)
    axes.set_ylabel(chart.label, color=INK)
    columns = min(len(series), LEGEND_COLUMNS)
    figure.legend(loc="outside upper center", ncols=columns, frameon=False, fontsize=9, labelcolor=INK)
    save_figure(figure, path)


def _text(cell: str | float) -> str:
    """Return the text of a cell."""
    return cell if isinstance(cell, str) else f"{cell:g}"


def _literal(text: str) -> str:
    """Return the text as matplotlib shows it literally: without formulas, and in a legend if it starts with _."""
    return (" " if text.startswith("_") else "") + text.replace("$", r"\$")


def _number(cell: str | float) -> float:
    """Return the number in a cell, which may be a percentage; nan for other texts."""
    if not isinstance(cell, str):
        return cell
    try:
        return float(cell.removesuffix("%"))
    except ValueError:
        return math.nan
