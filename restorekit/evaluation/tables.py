"""Collecting measurements and printing them as a Markdown table."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from restorekit.errors import ImageError
from restorekit.evaluation.metrics import psnr, ssim
from restorekit.run.images import SUFFIXES, read_photo

Say = Callable[[str], None]


@dataclass
class Table:
    """PSNR, SSIM and seconds by task and method, as means over photos."""

    title: str
    rows: dict[tuple[str, str], list[tuple[float, float, float]]] = field(default_factory=lambda: defaultdict(list))

    def measure(
        self, task: str, method: str, compute: Callable[[], Tensor], want: Tensor, where: Tensor | None = None
    ) -> None:
        """Time `compute` and compare its (C, H, W) with `want`; `where` restricts the PSNR."""
        start = time.perf_counter()
        got = compute()
        seconds = time.perf_counter() - start
        self.rows[task, method].append((psnr(got, want, where), ssim(got, want), seconds))

    def mean(self, task: str, method: str) -> tuple[float, float, float]:
        """Mean PSNR (dB), SSIM and seconds of one row."""
        return tuple(torch.tensor(self.rows[task, method], dtype=torch.float64).mean(0).tolist())

    def header(self) -> str:
        """The first two lines."""
        return f"| {self.title} | method | PSNR (dB) | SSIM | s per photo | photos |\n|---|---|--:|--:|--:|--:|"

    def lines(self, wanted: str) -> str:
        """The rows of one task, a line each."""
        lines = []
        for task, method in self.rows:
            if task == wanted:
                decibels, similarity, seconds = self.mean(task, method)
                count = len(self.rows[task, method])
                lines.append(f"| {task} | {method} | {decibels:.2f} | {similarity:.4f} | {seconds:.2f} | {count} |")
        return "\n".join(lines)


def clean_photos(folder: Path, every: int) -> list[tuple[str, Tensor]]:
    """Every Nth photo of a folder, sorted by name: (stem, (C, H, W) in [-1, 1])."""
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)[::every]
    if not files:
        raise ImageError(f"{folder}: no image below it; allowed: {', '.join(sorted(SUFFIXES))}")
    return [(file.stem, read_photo(file).tensor()[0]) for file in files]
