"""The training loop. Accelerate handles devices and processes; all randomness is a function of the step."""

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
from pydantic import ValidationError
from torch import Tensor

from restorekit.core.files import atomic_path
from restorekit.core.noise import image_seed
from restorekit.errors import TrainingError
from restorekit.models.config import ModelConfig
from restorekit.models.files import WEIGHTS, save_weights
from restorekit.training.data import batches
from restorekit.training.ema import Ema
from restorekit.training.logging import Report, write_card
from restorekit.training.objectives import objective_for
from restorekit.training.optimizers import build_optimizer
from restorekit.training.plan import OptimizerPlan, Plan, RunPlan
from restorekit.training.transfer import start_from

CHECKPOINT = "checkpoint.pt"
# Keys of a plan that may change when a run is resumed: except steps, they do not affect the computation.
FREE_ON_RESUME = {
    "run": {"steps", "log_steps", "save_minutes", "sample_minutes", "weights"},
    "data": {"folder", "download", "cache", "workers"},
}


@dataclass
class Progress:
    """Number of optimizer steps and of training images so far."""

    step: int = 0
    images: int = 0


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
        self.accelerator = _accelerator(plan.run)
        torch.manual_seed(plan.run.seed)
        prior = plan.model.build() if init_from is None else start_from(init_from, plan)
        prior.requires_grad_(True).train()
        prior.to(self.accelerator.device)
        if plan.run.channels_last:
            prior.to(memory_format=torch.channels_last)
        self.ema = Ema(prior, plan.run.ema)
        optimizer = build_optimizer(plan.optimizer, prior.parameters())
        self.model, self.objective = prior, objective_for(prior, plan).to(self.accelerator.device)
        self.progress = Progress()
        if saved is not None:
            self.ema.average.load_state_dict(saved["ema"])
            self.objective.load_state_dict(saved["objective"])
            optimizer.load_state_dict(saved["optimizer"])
            self.progress = Progress(**saved["progress"])
        self.wrapped, self.optimizer = self.accelerator.prepare(self.objective, optimizer)

    def run(self, max_minutes: float | None = None) -> Progress:
        """Train to the last step of the plan or for `max_minutes`; write weights, card and checkpoint to `output`."""
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
        """Write weights, card and checkpoint, each atomically; raise TrainingError if a recent loss is not finite."""
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
        with atomic_path(self.output / CHECKPOINT) as part:
            torch.save(state, part)

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
        """Perform one optimizer step; return the mean loss on the device."""
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
                    # Propagate non-finite gradients to the loss, which is checked before every save.
                    total += 0 * norm.detach()
                self.optimizer.step()
                self.optimizer.zero_grad()
                total += loss.detach() / plan.run.accumulate
        self.ema.update(self.model, step)
        self.progress.step += 1
        self.progress.images += plan.run.batch * plan.run.accumulate * self.accelerator.num_processes
        return total

    def _generator(self, part: int) -> torch.Generator:
        """Return the generator of one accumulation step on one process, independent of the history of the run."""
        index = (self.progress.step * self.plan.run.accumulate + part) * self.accelerator.num_processes
        seed = image_seed(self.plan.run.seed, f"step {index + self.accelerator.process_index}")
        return torch.Generator(self.accelerator.device).manual_seed(seed)

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

    def _rate(self) -> float:
        return learning_rate(self.plan.optimizer, self.plan.run.steps, self.progress.step - 1)

    def _saved_state(self, resume: bool) -> dict[str, Any] | None:
        path = self.output / CHECKPOINT
        if not resume:
            if path.exists():
                raise TrainingError(f"{path} exists; --resume continues from it, another --output starts a new run")
            return None
        if not path.exists():
            raise TrainingError(f"--resume: {path} does not exist")
        saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        try:
            # Plans written before optimizer.name existed were trained by AdamW.
            saved["plan"]["optimizer"].setdefault("name", "adamw")
            previous = Plan.model_validate(saved["plan"])
            saved["objective"]
        except (KeyError, ValidationError) as error:
            text = f"--resume: {path} was written by another version of restorekit; --init-from accepts its weights"
            raise TrainingError(text) from error
        before, now = _flat(_fixed(previous)), _flat(_fixed(self.plan))
        changed = [key for key in now if now[key] != before.get(key)]
        if changed:
            hint = f" (previously {before['optimizer.name']!r})" if "optimizer.name" in changed else ""
            raise TrainingError(f"--resume: the plan differs from that of {path} in {', '.join(changed)}{hint}")
        return saved


def _accelerator(run: RunPlan) -> Accelerator:
    # Accelerate keeps the precision of the first run in a process; the precision of a second run may differ.
    AcceleratorState._reset_state()
    dynamo = TorchDynamoPlugin(backend="inductor") if run.compile else None
    return Accelerator(
        mixed_precision="bf16" if run.precision == "bfloat16" else "no",
        gradient_accumulation_steps=run.accumulate,
        dynamo_plugin=dynamo,
        step_scheduler_with_optimizer=False,
    )


def _fixed(plan: Plan) -> dict[str, Any]:
    """Return the part of a plan that may not change when a run is resumed."""
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
    """Train according to a plan; write `model.safetensors`, `README.md`, `checkpoint.pt` and logs to `output`."""
    Trainer(plan, output, resume=resume, init_from=init_from).run(max_minutes)
    return plan.model
