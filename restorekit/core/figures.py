"""Plots with matplotlib, which is imported when a plot is made; without it, an error names the extra to install."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from restorekit.core.files import atomic_path
from restorekit.errors import OptionError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Pixels per inch of the files; width and height below are in inches.
DPI = 120
# A palette that colour-blind readers can tell apart (Okabe and Ito 2008), and the colours of text and lines.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
INK, GRID = "#3c3c3c", "#dddddd"


def has_matplotlib() -> bool:
    """Return whether plots can be made."""
    return find_spec("matplotlib") is not None


def check_matplotlib(where: str, extra: str) -> None:
    """Raise OptionError if matplotlib is not installed.

    where: start of the message, such as an option. extra: the extra of restorekit that contains it.
    """
    if not has_matplotlib():
        raise OptionError(f"{where}: matplotlib is not installed; pip install 'restorekit[{extra}]'")


def new_figure(width: float, height: float, rows: int = 1) -> tuple[Figure, list[Axes]]:
    """Return a figure of that size in inches and its axes, one per row, with a common horizontal axis."""
    from matplotlib.figure import Figure

    figure = Figure((width, height), dpi=DPI, layout="constrained")
    found = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    for axes in found:
        axes.grid(color=GRID, linewidth=0.7)
        axes.set_axisbelow(True)
        axes.tick_params(colors=INK, labelsize=9)
        for side, spine in axes.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set_color(INK)
    return figure, list(found)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG file, atomically; OSError if it cannot be written."""
    with atomic_path(path) as part:
        figure.savefig(part, format="png", facecolor="white")
