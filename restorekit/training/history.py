"""The course of a training: the loss and the validation PSNR by the number of training images, as a file and a plot."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from restorekit.core.figures import COLOURS, INK, has_matplotlib, new_figure, save_figure
from restorekit.core.files import atomic_path

# The files beside the weights.
HISTORY, PLOT = "history.jsonl", "loss.png"
# Largest number of points of the curve of the loss, and fraction of the curve over which it is averaged.
MAX_POINTS, SMOOTHED = 1000, 0.02
# Factor between the largest and smallest mean loss above which its axis is logarithmic.
LOGARITHMIC = 8


class History:
    """Values by step, in a file of one JSON object per line: {"step", "images", "loss"} or {"step", "images", "psnr"}.

    "psnr" holds dB by noise level in 8-bit grey levels, such as {"25": 30.1}.

    Arguments:
        output: folder of the file and the plot.
        step: step of the checkpoint from which the training resumes; later lines, of a run that was killed after it,
            are dropped. 0 for a new training, which starts a new file.
    """

    def __init__(self, output: Path, step: int) -> None:
        self.output = output
        self.rows: list[dict[str, Any]] = []
        path = output / HISTORY
        if step and path.is_file():
            rows = [row for line in path.read_text("utf-8").splitlines() if (row := _row(line)) is not None]
            self.rows = [row for row in rows if row["step"] <= step]

    def add_loss(self, step: int, images: int, loss: float) -> None:
        """Add the mean loss of the last steps; one that is not finite is omitted, because JSON has no such numbers."""
        if not math.isfinite(loss):
            return
        self.rows.append({"step": step, "images": images, "loss": loss})

    def add_psnr(self, step: int, images: int, psnr: Mapping[float, float]) -> None:
        """Add the validation PSNR in dB by noise level, unless it is there for this step."""
        if not any(row["step"] == step and "psnr" in row for row in self.rows):
            self.rows.append({"step": step, "images": images, "psnr": {f"{s:g}": value for s, value in psnr.items()}})

    def write(self) -> None:
        """Write the file and, if matplotlib is installed, the plot, each atomically; OSError if that fails."""
        with atomic_path(self.output / HISTORY) as part:
            part.write_text("".join(json.dumps(row) + "\n" for row in self.rows), encoding="utf-8")
        if has_matplotlib() and self.rows:
            self._plot()

    def losses(self) -> tuple[list[int], list[float]]:
        """Return the numbers of images and the losses."""
        rows = [row for row in self.rows if "loss" in row]
        return [row["images"] for row in rows], [row["loss"] for row in rows]

    def psnr(self) -> dict[str, tuple[list[int], list[float]]]:
        """Return the numbers of images and the validation PSNR in dB by noise level."""
        curves: dict[str, tuple[list[int], list[float]]] = {}
        for row in self.rows:
            for level, value in row.get("psnr", {}).items():
                images, values = curves.setdefault(level, ([], []))
                images.append(row["images"])
                values.append(value)
        return curves

    def _plot(self) -> None:
        curves = self.psnr()
        figure, axes = new_figure(7, 3.2 + 2.4 * bool(curves), 1 + bool(curves))
        images, losses = (np.asarray(values, np.float64) for values in self.losses())
        smoothed = _averaged(losses, max(1, round(SMOOTHED * len(losses))))
        every = max(1, math.ceil(len(images) / MAX_POINTS))
        axes[0].plot(images[::every], losses[::every], color=COLOURS[4], linewidth=0.7, alpha=0.5)
        axes[0].plot(images[::every], smoothed[::every], color=COLOURS[0], linewidth=1.6)
        axes[0].set_ylabel("training loss", color=INK)
        if len(smoothed) and smoothed.min() > 0 and smoothed.max() > LOGARITHMIC * smoothed.min():
            axes[0].set_yscale("log")
        for colour, (level, (numbers, values)) in zip(COLOURS * len(curves), curves.items(), strict=False):
            axes[1].plot(
                numbers, values, color=colour, marker="o", markersize=2.5, linewidth=1.4, label=f"sigma {level}"
            )
        if curves:
            axes[1].set_ylabel("validation PSNR (dB)", color=INK)
            axes[1].legend(frameon=False, fontsize=9, labelcolor=INK)
        axes[-1].set_xlabel("training images", color=INK)
        axes[-1].xaxis.set_major_formatter("{x:,.0f}")
        save_figure(figure, self.output / PLOT)


def _averaged(values: np.ndarray[Any, np.dtype[np.float64]], count: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the mean of each value and up to `count` values on each side of it."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    first, last = np.maximum(index - count, 0), np.minimum(index + count + 1, len(values))
    return np.asarray((sums[last] - sums[first]) / (last - first), np.float64)


def _row(line: str) -> dict[str, Any] | None:
    """Return the values of a line; None for a damaged line."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    numbers = isinstance(row, dict) and all(isinstance(row.get(name), int) for name in ("step", "images"))
    is_loss = numbers and isinstance(row.get("loss"), float)
    return row if is_loss or (numbers and isinstance(row.get("psnr"), dict)) else None
