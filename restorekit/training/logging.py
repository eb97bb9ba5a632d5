"""Logging of a training run: progress bar, TensorBoard, sample grids and the model card."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch.utils.tensorboard.writer import SummaryWriter
from torchvision.utils import make_grid, save_image

from restorekit.core.figures import has_matplotlib
from restorekit.core.files import atomic_path
from restorekit.core.ladders import ladder_for
from restorekit.core.noise import ImageNoise
from restorekit.models.cards import pipeline_tag
from restorekit.models.config import NoisyClassifierConfig, Prior
from restorekit.models.files import CARD
from restorekit.priors.guided import NoisyClassifier
from restorekit.priors.labelled import Labelled
from restorekit.sampling.samplers import sample_ddim
from restorekit.training.history import PLOT, History
from restorekit.training.plan import Plan

SAMPLES, SAMPLE_STEPS = 16, 25


class Report:
    """Progress on the terminal, TensorBoard logs in `output/logs`, and the `History` with its plot."""

    def __init__(self, output: Path, steps: int, done: int, *, enabled: bool) -> None:
        self.output, self.enabled = output, enabled
        columns = TextColumn("train"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}")
        self.bar = Progress(*columns, TimeRemainingColumn(), disable=not enabled)
        self.task = self.bar.add_task("", total=steps, completed=done)
        self.writer = SummaryWriter(str(output / "logs")) if enabled else None
        self.history = History(output, done)
        self._last: tuple[int, float] | None = None

    def __enter__(self) -> Report:
        self.bar.start()
        if self.enabled and not has_matplotlib():
            hint = "pip install 'restorekit[train]'"
            self.bar.console.print(
                f"note: no {PLOT}: matplotlib is not installed; {hint}", soft_wrap=True, markup=False
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()
        if self.writer is not None:
            # A failed write of the logs was raised by `log`, or is not worth an error after the last step.
            with contextlib.suppress(OSError):
                self.writer.close()

    def log(self, step: int, images: int, loss: float, lr: float) -> None:
        """Log the mean loss since the last call, the learning rate, and the number of images per second."""
        now = time.monotonic()
        if self._last is None:
            self._last = images, now
        last_images, last_time = self._last
        speed = (images - last_images) / (now - last_time) if now > last_time else 0.0
        self._last = images, now
        text = f"loss {loss:.4f}  {speed:.1f} images/s"
        self.history.add_loss(step, images, loss)
        self.bar.update(self.task, completed=step, description=text)
        if self.writer is not None:
            for name, value in (("loss", loss), ("lr", lr), ("images_per_second", speed)):
                self.writer.add_scalar(name, value, step)
            if not self.bar.console.is_terminal:
                self.bar.console.print(f"step {step}  images {images}  {text}  lr {lr:.2e}", soft_wrap=True)

    def save(self, step: int, images: int, psnr: Mapping[float, float] | None) -> None:
        """Write the history and its plot at a checkpoint; OSError if that fails.

        psnr: validation PSNR in dB by noise level in 8-bit grey levels; None if it is not measured.
        """
        if psnr is not None:
            self.history.add_psnr(step, images, psnr)
        if psnr is not None and self.writer is not None:
            for sigma, value in psnr.items():
                self.writer.add_scalar(f"validation_psnr/{sigma:g}", value, step)
        if self.enabled:
            self.history.write()

    def samples(self, prior: Prior | NoisyClassifier, step: int, size: int) -> None:
        """Write a grid of DDIM samples of all classes to `output/samples` and TensorBoard, if the model can sample.

        All processes call this if the weights are divided among them; the enabled report writes.
        """
        if isinstance(prior, NoisyClassifier) or prior.info.blind:
            return
        noise = ImageNoise(range(SAMPLES))
        device = next(prior.parameters()).device
        labels = None if prior.info.classes is None else torch.arange(SAMPLES, device=device) % len(prior.info.classes)
        with torch.inference_mode():
            shape = (SAMPLES, prior.info.channels, size, size)
            start = noise.like(torch.empty(shape, device=device)) * prior.info.sigma_max
            images = sample_ddim(Labelled(prior, labels), start, ladder_for(prior, SAMPLE_STEPS), noise)
        if not self.enabled:
            return
        grid = make_grid((images.clamp(-1, 1) + 1) / 2, nrow=4)
        folder = self.output / "samples"
        folder.mkdir(exist_ok=True)
        save_image(grid, folder / f"{step:08d}.png")
        if self.writer is not None:
            self.writer.add_image("samples", grid, step)


def write_card(output: Path, plan: Plan, step: int, images: int) -> None:
    """Write the model card, with metadata for the Hub, atomically."""
    summary = f"A prior of restorekit (family {plan.model.family}): D(x, sigma) = E[x0 | x] for images in [-1, 1]."
    if isinstance(plan.model, NoisyClassifierConfig):
        summary = "A classifier of restorekit: p(label | x) for x = x0 + sigma n, for images x0 in [-1, 1]."
    if plan.model.blind:
        summary = "A blind prior of restorekit: D(y) = E[x0 | y] for degraded photos y and photos x0 in [-1, 1]."
    holes = "\n- Also trained on holes of unknown pixels." if plan.noise.unknown_share else ""
    text = f"""---
license: {plan.card.license}
library_name: restorekit
pipeline_tag: {pipeline_tag(plan.model)}
---
# {plan.card.name}

{summary}

{plan.model.describe()}{holes}
- Training: {step} steps, {images} crops of {plan.data.crop} x {plan.data.crop}.
- Data: {plan.card.data}

## Measured quality

Not measured yet; see `restorekit evaluate`.
"""
    with atomic_path(output / CARD) as part:
        part.write_text(text, encoding="utf-8")
