"""Measurements, collected and formatted as a Markdown table."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from restorekit.core.files import IMAGE_SUFFIXES, find_images
from restorekit.errors import ImageError
from restorekit.evaluation.metrics import psnr, ssim
from restorekit.run.images import read_photo

WriteLine = Callable[[str], None]


@dataclass
class Table:
    """Mean PSNR, SSIM and seconds over photos, by task and method.

    Attributes:
        title: heading of the column of tasks.
        rows: (PSNR in dB, SSIM, seconds) of every photo, by task and method.
    """

    title: str
    rows: dict[tuple[str, str], list[tuple[float, float, float]]] = field(default_factory=lambda: defaultdict(list))

    def measure(
        self, task: str, method: str, compute: Callable[[], Tensor], target: Tensor, where: Tensor | None = None
    ) -> None:
        """Time `compute` and compare its result with the target, both (C, H, W) in [-1, 1].

        where: (1, H, W) bool; restricts the PSNR to these pixels.
        """
        start = time.perf_counter()
        image = compute()
        seconds = time.perf_counter() - start
        self.rows[task, method].append((psnr(image, target, where), ssim(image, target), seconds))

    def mean(self, task: str, method: str) -> tuple[float, float, float]:
        """Return the mean PSNR in dB, SSIM and seconds of one task and method."""
        return tuple(torch.tensor(self.rows[task, method], dtype=torch.float64).mean(0).tolist())

    def header(self) -> str:
        """Return the two header lines."""
        return f"| {self.title} | method | PSNR (dB) | SSIM | s per photo | photos |\n|---|---|--:|--:|--:|--:|"

    def lines(self, task: str) -> str:
        """Return the lines of one task, one for each method."""
        lines = []
        for row_task, method in self.rows:
            if row_task == task:
                decibels, similarity, seconds = self.mean(task, method)
                count = len(self.rows[task, method])
                lines.append(f"| {task} | {method} | {decibels:.2f} | {similarity:.4f} | {seconds:.2f} | {count} |")
        return "\n".join(lines)


def clean_photos(folder: Path, every: int) -> list[tuple[str, Tensor]]:
    """Return every Nth photo of a folder, sorted by name, as (stem, (C, H, W) in [-1, 1])."""
    files = find_images(folder)[::every]
    if not files:
        raise ImageError(f"{folder}: no image in this folder; allowed: {', '.join(sorted(IMAGE_SUFFIXES))}")
    return [(file.stem, read_photo(file).tensor()[0]) for file in files]
