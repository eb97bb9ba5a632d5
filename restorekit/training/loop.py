"""The training loop: accelerate carries devices and processes, everything random is a function of the step."""

from __future__ import annotations

import itertools
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import TorchDynamoPlugin
from torch import Tensor

from restorekit.core.noise import image_seed
from restorekit.errors import TrainingError
from restorekit.models.config import ModelConfig
from restorekit.models.files import WEIGHTS, save_weights
from restorekit.training.data import batches
from restorekit.training.ema import Ema
from restorekit.training.objectives import objective_for
from restorekit.training.optimizers import build_optimizer
from restorekit.training.plan import OptimizerPlan, Plan, RunPlan
from restorekit.training.report import Report, write_card
from restorekit.training.transfer import start_from

CHECKPOINT = "checkpoint.pt"
# Keys of a plan that a resumed run may change: they do not touch what is computed, or (steps) that is the wish.
FREE_ON_RESUME = {
    "run": {"steps", "log_steps", "save_minutes", "sample_minutes", "weights"},
    "data": {"folder", "download", "cache", "workers"},
}


@dataclass
class Progress:
    """How far a run is."""

    step: int = 0
    images: int = 0


def learning_rate(plan: OptimizerPlan, steps: int, step: int) -> float:
    """Learning rate of optimizer step number `step`, counted from 0, of `steps`."""
    warm = min(1.0, (step + 1) / plan.warmup) if plan.warmup else 1.0
    done = step / steps
    fall = {"cosine": 0.5 * (1 + math.cos(math.pi * done)), "linear": 1 - done, "none": 1.0}[plan.decay]
    return plan.lr * warm * fall


class Trainer:
    """One run of a plan into one folder.

    Arguments:
        plan: what to train.
        output: folder of the result and of the checkpoint that a resumed run starts from.
        resume: go on from the checkpoint in `output`; the losses are those of a run that was never interrupted.
        init_from: weights file to start from instead of fresh weights.
    """

    def __init__(self, plan: Plan, output: Path, *, resume: bool = False, init_from: Path | None = None) -> None:
        self.plan, self.output = plan, output
        saved = self._saved_state(resume)
        self.accelerator = _accelerator(plan.run)
        torch.manual_seed(plan.run.seed)
        prior = plan.model.build() if init_from is None else start_from(init_from, plan)
        prior.requires_grad_(True).train()
        prior.to(self.accelerator.device)
        if plan.run.channels_last:
            prior.to(memory_format=torch.channels_last)
        self.ema = Ema(prior, plan.run.ema)
        optimizer = build_optimizer(plan.optimizer, prior.parameters())
        self.bare, self.objective = prior, objective_for(prior, plan).to(self.accelerator.device)
        self.progress = Progress()
        if saved is not None:
            self.ema.average.load_state_dict(saved["ema"])
            self.objective.load_state_dict(saved["objective"])
            optimizer.load_state_dict(saved["optimizer"])
            self.progress = Progress(**saved["progress"])
        self.wrapped, self.optimizer = self.accelerator.prepare(self.objective, optimizer)

    def run(self, max_minutes: float | None = None) -> Progress:
        """Train until the plan's last step or for `max_minutes`; leaves weights, card and checkpoint in `output`."""
        self.output.mkdir(parents=True, exist_ok=True)
        plan, main = self.plan.run, self.accelerator.is_main_process
        stop_at = math.inf if max_minutes is None else time.monotonic() + 60 * max_minutes
        saved_at = sampled_at = time.monotonic()
        with Report(self.output, plan.steps, self.progress.step, enabled=main) as report:
            crops = self._crops()
            losses: list[Tensor] = []
            while self.progress.step < plan.steps and not self._any(time.monotonic() >= stop_at):
                losses.append(self._step(crops))
                if len(losses) == plan.log_steps or self.progress.step == plan.steps:
                    report.log(self.progress.step, self.progress.images, self._checked(losses), self._rate())
                    losses = []
                if main and time.monotonic() - saved_at > 60 * plan.save_minutes:
                    self.save(losses)
                    saved_at = time.monotonic()
                if main and plan.sample_minutes and time.monotonic() - sampled_at > 60 * plan.sample_minutes:
                    report.samples(self.ema.average, self.progress.step, self.plan.data.crop)
                    sampled_at = time.monotonic()
            if main:
                self.save(losses)
        return self.progress

    def save(self, losses: list[Tensor]) -> None:
        """Write weights, card and checkpoint, each atomically; not when a loss since the last check is not finite."""
        self._checked(losses)
        dtype = getattr(torch, self.plan.run.weights)
        save_weights(self.output / WEIGHTS, self.ema.average.net.state_dict(), self.plan.model, dtype)
        write_card(self.output, self.plan, self.progress.step, self.progress.images)
        state = {
            "plan": self.plan.model_dump(mode="json"),
            "progress": vars(self.progress),
            "objective": self.objective.state_dict(),
            "ema": self.ema.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        part = self.output / (CHECKPOINT + ".part")
        torch.save(state, part)
        part.replace(self.output / CHECKPOINT)

    def _crops(self) -> Any:
        plan, processes = self.plan.run, self.accelerator.num_processes
        block = plan.batch * processes
        return batches(
            self.plan.data,
            channels=self.plan.model.channels,
            seed=plan.seed,
            device=self.accelerator.device,
            count=plan.batch,
            first=self.progress.step * plan.accumulate * block + self.accelerator.process_index * plan.batch,
            stride=block,
            classes=self.plan.model.classes,
        )

    def _step(self, crops: Any) -> Tensor:
        """One step of the optimizer; returns the mean loss, still on the device."""
        plan, step = self.plan, self.progress.step
        total = torch.zeros((), device=self.accelerator.device)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(plan.optimizer, plan.run.steps, step)
        for part in range(plan.run.accumulate):
            with self.accelerator.accumulate(self.wrapped):
                clean, label = next(crops)
                loss = self.wrapped(clean, label, self._generator(part))
                self.accelerator.backward(loss)
                if self.accelerator.sync_gradients:
                    limit = math.inf if plan.optimizer.clip is None else plan.optimizer.clip
                    norm = self.accelerator.clip_grad_norm_(self.wrapped.parameters(), limit)
                    # A gradient that is not finite makes the loss so, and the check before every save finds it.
                    total += 0 * norm.detach()
                self.optimizer.step()
                self.optimizer.zero_grad()
                total += loss.detach() / plan.run.accumulate
        self.ema.update(self.bare, step)
        self.progress.step += 1
        self.progress.images += plan.run.batch * plan.run.accumulate * self.accelerator.num_processes
        return total

    def _generator(self, part: int) -> torch.Generator:
        """Randomness of one part of a step on one process: nothing depends on how the run came here."""
        place = (self.progress.step * self.plan.run.accumulate + part) * self.accelerator.num_processes
        seed = image_seed(self.plan.run.seed, f"step {place + self.accelerator.process_index}")
        return torch.Generator(self.accelerator.device).manual_seed(seed)

    def _checked(self, losses: list[Tensor]) -> float:
        if not losses:
            return math.nan
        mean = torch.stack(losses).mean().item()
        if not math.isfinite(mean):
            first = self.progress.step - len(losses)
            kept = self.output / CHECKPOINT
            raise TrainingError(
                f"the loss is {mean} within steps {first} to {self.progress.step}; the checkpoint before it is kept"
                f" ({kept if kept.exists() else 'none yet'}). Lower optimizer.lr or optimizer.clip."
            )
        return mean

    def _any(self, here: bool) -> bool:
        """True on every process as soon as it is on one, so that none waits for another."""
        if self.accelerator.num_processes == 1:
            return here
        flag = torch.tensor([here], device=self.accelerator.device)
        return bool(self.accelerator.gather(flag).any())

    def _rate(self) -> float:
        return learning_rate(self.plan.optimizer, self.plan.run.steps, self.progress.step - 1)

    def _saved_state(self, resume: bool) -> dict[str, Any] | None:
        path = self.output / CHECKPOINT
        if not resume:
            if path.exists():
                raise TrainingError(f"{path} exists: --resume goes on from it, another --output starts anew")
            return None
        if not path.exists():
            raise TrainingError(f"--resume: there is no {path}")
        saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        if "objective" not in saved:
            raise TrainingError(f"--resume: {path} is of another version of restorekit; --init-from takes its weights")
        # Plans written before optimizer.name existed were trained by AdamW.
        saved["plan"]["optimizer"].setdefault("name", "adamw")
        before, now = _flat(_fixed(Plan.model_validate(saved["plan"]))), _flat(_fixed(self.plan))
        changed = [key for key in now if now[key] != before.get(key)]
        if changed:
            hint = f" (there {before['optimizer.name']!r})" if "optimizer.name" in changed else ""
            raise TrainingError(f"--resume: the plan differs from that of {path} in {', '.join(changed)}{hint}")
        return saved


def _accelerator(run: RunPlan) -> Accelerator:
    # Accelerate keeps the precision of a process's first training; a second one may have another.
    AcceleratorState._reset_state()
    dynamo = TorchDynamoPlugin(backend="inductor") if run.compile else None
    return Accelerator(
        mixed_precision="bf16" if run.precision == "bfloat16" else "no",
        gradient_accumulation_steps=run.accumulate,
        dynamo_plugin=dynamo,
        step_scheduler_with_optimizer=False,
    )


def _fixed(plan: Plan) -> dict[str, Any]:
    """What a resumed run must have in common with the one before."""
    return plan.model_dump(mode="json", exclude={"card": True, **FREE_ON_RESUME})


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    pairs = (
        _flat(value, f"{prefix}{key}.").items() if isinstance(value, dict) else [(prefix + key, value)]
        for key, value in tree.items()
    )
    return dict(itertools.chain.from_iterable(pairs))


def train(
    plan: Plan,
    output: Path,
    *,
    resume: bool = False,
    init_from: Path | None = None,
    max_minutes: float | None = None,
) -> ModelConfig:
    """Train a plan into the folder `output` (`model.safetensors`, `README.md`, `checkpoint.pt`, logs)."""
    Trainer(plan, output, resume=resume, init_from=init_from).run(max_minutes)
    return plan.model
