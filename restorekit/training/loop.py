"""The training loop. Accelerate handles devices and processes; all randomness is a function of the step."""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from restorekit.core.noise import image_seed
from restorekit.core.signals import stop_on_signals
from restorekit.errors import TrainingError
from restorekit.models.files import WEIGHTS, save_weights
from restorekit.training.batches import batches
from restorekit.training.checkpoint import (
    CHECKPOINT,
    Progress,
    check_crops,
    read_checkpoint,
    restore,
    write_checkpoint,
)
from restorekit.training.ema import Ema
from restorekit.training.logging import Report, write_card
from restorekit.training.objectives import objective_for
from restorekit.training.optimizers import build_optimizer
from restorekit.training.plan import OptimizerPlan, Plan
from restorekit.training.processes import accelerator_for, check_processes
from restorekit.training.sharding import gather, shard, whole
from restorekit.training.transfer import start_from
from restorekit.training.validation import validation_for


@dataclass(frozen=True)
class Result:
    """How a training run ended.

    Attributes:
        step, steps: number of steps that are done, and of the plan.
        exit_code: 0; 128 + the number of the signal that stopped the run.
        is_main: True on the process that writes the files.
    """

    step: int
    steps: int
    exit_code: int
    is_main: bool


def learning_rate(plan: OptimizerPlan, steps: int, step: int) -> float:
    """Return the learning rate of optimizer step `step`, counted from 0, of `steps`."""
    warmup = min(1.0, (step + 1) / plan.warmup) if plan.warmup else 1.0
    progress = step / steps
    decay = {"cosine": 0.5 * (1 + math.cos(math.pi * progress)), "linear": 1 - progress, "none": 1.0}[plan.decay]
    return plan.lr * warmup * decay


class Trainer:
    """One run of a plan into one folder.

    Arguments:
        plan: the plan.
        output: folder of the weights, the model card and the checkpoint.
        resume: resume from the checkpoint in `output`; the losses are those of an uninterrupted run.
        init_from: weights file to initialize the model from; None for random weights.
    """

    def __init__(self, plan: Plan, output: Path, *, resume: bool = False, init_from: Path | None = None) -> None:
        self.plan, self.output = plan, output
        saved = self._saved_state(resume)
        self.accelerator = accelerator_for(plan.run)
        check_processes(self.accelerator)
        torch.manual_seed(plan.run.seed)
        self.validation = validation_for(plan)
        prior = plan.model.build() if init_from is None else start_from(init_from, plan)
        prior.requires_grad_(True).train()
        self.is_sharded = plan.run.fsdp and self.accelerator.num_processes > 1
        # The weights are whole until `shard`, and must be contiguous there.
        device = torch.device("cpu") if self.is_sharded else self.accelerator.device
        prior.to(device)
        if plan.run.channels_last and not self.is_sharded:
            prior.to(memory_format=torch.channels_last)
        self.ema = Ema(prior, plan.run.ema)
        optimizer = build_optimizer(plan.optimizer, prior.parameters())
        self.model, self.objective = prior, objective_for(prior, plan).to(device)
        self.progress = Progress()
        if saved is not None:
            modules = {"ema": self.ema.average, "objective": self.objective}
            self.progress = restore(saved, output / CHECKPOINT, modules, optimizer)
            check_crops(self.progress, self.crops_per_step, output / CHECKPOINT)
        self.has_dropout = any(isinstance(module, nn.Dropout) and module.p > 0 for module in prior.modules())
        if self.is_sharded:
            shard(self.objective, self.ema.average, optimizer, self.accelerator.device)
            self.wrapped, self.optimizer = self.objective, self.accelerator.prepare(optimizer)
        else:
            self.wrapped, self.optimizer = self.accelerator.prepare(self.objective, optimizer)

    def run(self, max_minutes: float | None = None) -> Result:
        """Train to the last step of the plan or for `max_minutes`; write weights, card and checkpoint to `output`.

        SIGINT and SIGTERM stop the run after the step in progress, on every process after the same one.
        """
        self.output.mkdir(parents=True, exist_ok=True)
        plan, main = self.plan.run, self.accelerator.is_main_process
        crops = self._crops()
        stop_at = math.inf if max_minutes is None else time.monotonic() + 60 * max_minutes
        saved_at = sampled_at = time.monotonic()
        with Report(self.output, plan.steps, self.progress.step, enabled=main) as report, stop_on_signals() as stop:
            losses: list[Tensor] = []
            while self.progress.step < plan.steps and not self._any(stop.requested or time.monotonic() >= stop_at):
                losses.append(self._step(crops))
                if len(losses) == plan.log_steps or self.progress.step == plan.steps:
                    report.log(self.progress.step, self.progress.images, self._checked(losses), self._rate())
                    losses = []
                if self._is_due(saved_at, plan.save_minutes):
                    self.save(losses, report)
                    saved_at = time.monotonic()
                if plan.sample_minutes and self._is_due(sampled_at, plan.sample_minutes):
                    report.samples(self.ema.average, self.progress.step, self.plan.data.crop)
                    sampled_at = time.monotonic()
            if main or self.is_sharded:
                self.save(losses, report)
        return Result(self.progress.step, plan.steps, stop.exit_code, main)

    def save(self, losses: list[Tensor], report: Report) -> None:
        """Write weights, card, curves and checkpoint, each atomically; TrainingError if a recent loss is not finite.

        The main process calls this, or all processes if the weights are divided; the main process writes.
        """
        self._checked(losses)
        psnr = None if self.validation is None else self.validation.psnr(self.ema.average)
        dtype = getattr(torch, self.plan.run.weights)
        weights = self.ema.average.net.state_dict()
        state = {
            "plan": self.plan.model_dump(mode="json"),
            "progress": self.progress.model_dump(),
            "objective": self.objective.state_dict(),
            "ema": self.ema.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        if self.is_sharded:
            main = self.accelerator.is_main_process
            weights, state = gather(weights, keep=main), gather(state, keep=main)
            if not main:
                return
        save_weights(self.output / WEIGHTS, weights, self.plan.model, dtype)
        write_card(self.output, self.plan, self.progress.step, self.progress.images)
        report.save(self.progress.step, self.progress.images, psnr)
        write_checkpoint(self.output / CHECKPOINT, state)

    @property
    def crops_per_step(self) -> int:
        """Number of crops of an optimizer step on all processes."""
        processes: int = self.accelerator.num_processes
        return self.plan.run.batch * self.plan.run.accumulate * processes

    def _crops(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Yield the crops from the current step on; the photos are read before this returns."""
        plan, processes = self.plan.run, self.accelerator.num_processes
        block = plan.batch * processes
        crops = batches(
            self.plan.data,
            channels=self.plan.model.channels,
            seed=plan.seed,
            device=self.accelerator.device,
            count=plan.batch,
            first=self.progress.step * plan.accumulate * block + self.accelerator.process_index * plan.batch,
            stride=block,
            classes=self.plan.model.classes,
        )
        return itertools.chain([next(crops)], crops)

    def _step(self, crops: Iterator[tuple[Tensor, Tensor | None]]) -> Tensor:
        """Perform one optimizer step; return the mean loss of all processes on the device."""
        plan, step = self.plan, self.progress.step
        total = torch.zeros((), device=self.accelerator.device)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(plan.optimizer, plan.run.steps, step)
        for part in range(plan.run.accumulate):
            with self.accelerator.accumulate(self.wrapped):
                clean, label = next(crops)
                with self._seeded_dropout(part), self._autocast():
                    loss = self.wrapped(clean, label, self._generator(part))
                self.accelerator.backward(loss)
                if self.accelerator.sync_gradients:
                    limit = math.inf if plan.optimizer.clip is None else plan.optimizer.clip
                    norm = self.accelerator.clip_grad_norm_(self.wrapped.parameters(), limit)
                    # Propagate non-finite gradients to the loss, which is checked before every save.
                    total += 0 * whole(norm.detach())
                self.optimizer.step()
                self.optimizer.zero_grad()
                total += loss.detach() / plan.run.accumulate
        self.ema.update(self.model, step)
        self.progress.step += 1
        self.progress.images += self.crops_per_step
        mean: Tensor = self.accelerator.reduce(total, "mean")
        return mean

    def _generator(self, part: int) -> torch.Generator:
        """Return the generator of one accumulation step on one process, independent of the history of the run."""
        return torch.Generator(self.accelerator.device).manual_seed(self._seed("step", part))

    @contextlib.contextmanager
    def _seeded_dropout(self, part: int) -> Iterator[None]:
        """Make dropout, which uses the global generators, independent of the history of the run as well."""
        if not self.has_dropout:
            yield
            return
        device = self.accelerator.device
        with torch.random.fork_rng([] if device.type == "cpu" else [device], device_type=device.type):
            torch.manual_seed(self._seed("dropout", part))
            yield

    def _autocast(self) -> contextlib.AbstractContextManager[None]:
        """Return the context of `run.precision`; a model that accelerate prepared contains it."""
        return self.accelerator.autocast() if self.is_sharded else contextlib.nullcontext()

    def _seed(self, name: str, part: int) -> int:
        """Return the seed of one accumulation step on one process.

        All these batches of `run.batch` crops have one numbering, as in `_crops`: two processes train on the same crops
        with the same noise as one process with twice `run.accumulate`.
        """
        index = (self.progress.step * self.plan.run.accumulate + part) * self.accelerator.num_processes
        return image_seed(self.plan.run.seed, f"{name} {index + self.accelerator.process_index}")

    def _checked(self, losses: list[Tensor]) -> float:
        if not losses:
            return math.nan
        mean = torch.stack(losses).mean().item()
        if not math.isfinite(mean):
            first = self.progress.step - len(losses)
            checkpoint = self.output / CHECKPOINT
            raise TrainingError(
                f"the loss is {mean} within steps {first} to {self.progress.step}; the previous checkpoint is kept"
                f" ({checkpoint if checkpoint.exists() else 'none yet'}). Lower optimizer.lr or optimizer.clip."
            )
        return mean

    def _any(self, condition: bool) -> bool:
        """Return True on every process if `condition` is true on any of them."""
        if self.accelerator.num_processes == 1:
            return condition
        flag = torch.tensor([condition], device=self.accelerator.device)
        return bool(self.accelerator.gather(flag).any())

    def _is_due(self, since: float, minutes: float) -> bool:
        """Return True on the processes that must save or sample now: the main process, or all if weights are divided.

        since: time of the last one, on the clock of this process.
        """
        is_due = self.accelerator.is_main_process and time.monotonic() - since > 60 * minutes
        return self._any(is_due) if self.is_sharded else is_due

    def _rate(self) -> float:
        return learning_rate(self.plan.optimizer, self.plan.run.steps, self.progress.step - 1)

    def _saved_state(self, resume: bool) -> dict[str, Any] | None:
        path = self.output / CHECKPOINT
        if resume:
            return read_checkpoint(path, self.plan)
        if path.exists():
            raise TrainingError(f"{path} exists; --resume continues from it, another --output starts a new run")
        return None


def train(
    plan: Plan,
    output: Path,
    *,
    resume: bool = False,
    init_from: Path | None = None,
    max_minutes: float | None = None,
) -> Result:
    """Train according to a plan; write `model.safetensors`, `README.md`, `checkpoint.pt`, curves and logs to `output`.

    TrainingError if a file cannot be written, or if there is not enough memory; a complete checkpoint is then kept.
    """
    try:
        return Trainer(plan, output, resume=resume, init_from=init_from).run(max_minutes)
    except OSError as error:
        raise TrainingError(f"{output}: {error}; the previous checkpoint, if any, is kept") from error
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        hint = "lower run.batch, data.crop or model.net, or set data.cache=false"
        raise TrainingError(f"not enough memory; {hint}") from error


def _is_out_of_memory(error: Exception) -> bool:
    # The allocator of the CPU raises RuntimeError.
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)
