from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from restorekit.core.denoiser import denoise_at
from restorekit.errors import TrainingError
from restorekit.initial.smooth_fill import smooth_fill
from restorekit.models.files import WEIGHTS, load_weights, read_config
from restorekit.priors.known_pixels import KnownPixels
from restorekit.training import processes
from restorekit.training.batches import batches
from restorekit.training.checkpoint import CHECKPOINT
from restorekit.training.logging import Report
from restorekit.training.loop import Trainer, learning_rate, train
from restorekit.training.plan import OptimizerPlan, Plan, RunPlan
from tests.training.plans import conditional_plan, photos, tiny_plan


@pytest.fixture
def losses(monkeypatch):
    """Losses by step, of all trainings of a test."""
    seen: list[tuple[int, float]] = []
    log = Report.log

    def record(self, step, images, loss, lr):
        seen.append((step, loss))
        log(self, step, images, loss, lr)

    monkeypatch.setattr(Report, "log", record)
    return seen


def test_output_folder_can_be_loaded(tmp_path: Path) -> None:
    plan = tiny_plan(photos(tmp_path / "photos"))
    train(plan, tmp_path / "out")
    assert read_config(tmp_path / "out" / WEIGHTS) == plan.model
    prior = load_weights(tmp_path / "out" / WEIGHTS)
    assert not prior.info.partial_noise
    x = torch.randn(1, 3, 20, 16)
    assert prior(x, torch.tensor([0.3])).shape == x.shape
    card = (tmp_path / "out" / "README.md").read_text()
    assert card.startswith("---\nlicense: apache-2.0")
    assert "24 crops" in card
    assert "made here" in card
    assert not list((tmp_path / "out").glob("*.part"))


OPTIMIZERS = pytest.mark.parametrize("optimizer", ["muon", "adamw"])


@OPTIMIZERS
def test_training_lowers_the_loss(tmp_path: Path, losses, optimizer: str) -> None:
    rule = {"name": optimizer, "lr": 3e-3}
    plan = tiny_plan(photos(tmp_path / "photos"), run={"steps": 150, "log_steps": 10}, optimizer=rule)
    train(plan, tmp_path / "out")
    assert losses[0][1] > 0.6
    assert losses[-1][1] < 0.6 * losses[0][1]


@OPTIMIZERS
@pytest.mark.parametrize("accumulate", [1, 2])
def test_resumed_run_has_the_losses_of_an_uninterrupted_run(
    tmp_path: Path, losses, monkeypatch, accumulate: int, optimizer: str
) -> None:
    run = {"save_minutes": 1e-9, "accumulate": accumulate}
    rule = {"name": optimizer, "weight_decay": 0.1}
    plan = tiny_plan(photos(tmp_path / "photos"), run=run, optimizer=rule)
    train(plan, tmp_path / "whole")
    whole, step = list(losses), Trainer._step
    losses.clear()

    def killed(self, crops):
        if self.progress.step == 4:
            raise KeyboardInterrupt
        return step(self, crops)

    monkeypatch.setattr(Trainer, "_step", killed)
    with pytest.raises(KeyboardInterrupt):
        train(plan, tmp_path / "cut")
    monkeypatch.setattr(Trainer, "_step", step)
    train(plan, tmp_path / "cut", resume=True)
    assert losses == whole
    a, b = (load_weights(tmp_path / name / WEIGHTS).state_dict() for name in ("whole", "cut"))
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_accumulation_uses_the_crops_of_one_large_batch(tmp_path: Path, losses) -> None:
    folder = photos(tmp_path / "photos")
    seen = []
    for batch, accumulate in [(4, 2), (8, 1)]:
        trainer = Trainer(tiny_plan(folder, run={"batch": batch, "accumulate": accumulate}), tmp_path / f"{batch}")
        crops = trainer._crops()
        seen.append(torch.cat([next(crops)[0] for _ in range(accumulate)]))
    assert torch.equal(*seen)


def test_non_finite_loss_stops_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    folder, out = photos(tmp_path / "photos"), tmp_path / "out"
    train(tiny_plan(folder, run={"steps": 2}), out)
    before = (out / CHECKPOINT).read_bytes(), (out / WEIGHTS).read_bytes()
    trainer = Trainer(tiny_plan(folder), out, resume=True)
    with torch.no_grad():
        next(trainer.model.net.parameters()).fill_(torch.nan)
    with pytest.raises(TrainingError, match=r"the loss is nan within steps 2 to 3.*Lower optimizer.lr"):
        trainer.run()
    assert ((out / CHECKPOINT).read_bytes(), (out / WEIGHTS).read_bytes()) == before


def test_max_minutes_stops_the_run(tmp_path: Path) -> None:
    trainer = Trainer(tiny_plan(photos(tmp_path / "photos")), tmp_path / "out")
    assert trainer.run(max_minutes=0).step == 0
    assert (tmp_path / "out" / CHECKPOINT).exists()


def test_existing_checkpoint_is_not_overwritten_and_missing_one_is_reported(tmp_path: Path) -> None:
    plan, out = tiny_plan(photos(tmp_path / "photos"), run={"steps": 1}), tmp_path / "out"
    with pytest.raises(TrainingError, match=r"checkpoint\.pt does not exist"):
        Trainer(plan, out, resume=True)
    train(plan, out)
    with pytest.raises(TrainingError, match="--resume continues from it"):
        Trainer(plan, out)
    changed = tiny_plan(plan.data.folder, run={"steps": 1}, optimizer={"lr": 0.5})
    message = (
        r"differs from that of .* in optimizer\.lr: checkpoint 0\.001, plan 0\.5; allowed: those of the checkpoint$"
    )
    with pytest.raises(TrainingError, match=message):
        Trainer(changed, out, resume=True)


def test_checkpoint_of_another_version_is_refused(tmp_path: Path) -> None:
    plan, out = tiny_plan(photos(tmp_path / "photos"), run={"steps": 1}), tmp_path / "out"
    train(plan, out)
    state = torch.load(out / CHECKPOINT, weights_only=True)
    state["plan"]["model"]["looks"] = state["plan"]["model"].pop("passes")
    torch.save(state, out / CHECKPOINT)
    with pytest.raises(TrainingError, match="was written by another version of restorekit"):
        Trainer(plan, out, resume=True)


def test_checkpoint_is_not_resumed_with_another_optimizer(tmp_path: Path) -> None:
    folder, out = photos(tmp_path / "photos"), tmp_path / "out"
    adamw, muon = (tiny_plan(folder, run={"steps": 2}, optimizer={"name": name}) for name in ("adamw", "muon"))
    train(adamw, out)
    refused = pytest.raises(
        TrainingError, match=r"differs .* in optimizer\.name: checkpoint 'adamw', plan 'muon'; allowed:"
    )
    with refused:
        Trainer(muon, out, resume=True)
    # Checkpoints from before optimizer.name existed are AdamW's.
    state = torch.load(out / CHECKPOINT, weights_only=True)
    del state["plan"]["optimizer"]["name"], state["plan"]["optimizer"]["momentum"]
    torch.save(state, out / CHECKPOINT)
    with refused:
        Trainer(muon, out, resume=True)
    assert Trainer(adamw, out, resume=True).progress.step == 2


@OPTIMIZERS
def test_learning_rate_reaches_every_parameter(tmp_path: Path, optimizer: str) -> None:
    plan = tiny_plan(photos(tmp_path / "photos"), optimizer={"name": optimizer, "warmup": 2, "lr": 1e-3})
    trainer = Trainer(plan, tmp_path / "out")
    crops = trainer._crops()
    for step in range(3):
        trainer._step(crops)
        expected = learning_rate(plan.optimizer, plan.run.steps, step)
        assert {group["lr"] for group in trainer.optimizer.param_groups} == {expected}


def test_run_starts_from_given_weights(tmp_path: Path) -> None:
    plan, out = tiny_plan(photos(tmp_path / "photos"), run={"weights": "float32"}), tmp_path / "a"
    train(plan, out)
    trainer = Trainer(plan, tmp_path / "b", init_from=out / WEIGHTS)
    ours, theirs = trainer.model.net.state_dict(), load_weights(out / WEIGHTS).net.state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert all(parameter.requires_grad for parameter in trainer.model.parameters())
    net = {**plan.model.net.model_dump(), "channels": 64}
    other = tiny_plan(plan.data.folder, model={"net": net})
    with pytest.raises(TrainingError, match=r"0% of its weights fit the plan's model\.net"):
        Trainer(other, tmp_path / "c", init_from=out / WEIGHTS)


def test_runs_in_one_process_may_differ_in_precision(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos")
    for number, precision in enumerate(("bfloat16", "float32", "bfloat16")):
        plan = tiny_plan(folder, run={"steps": 1, "precision": precision})
        trainer = Trainer(plan, tmp_path / f"out-{number}")
        assert trainer.accelerator.mixed_precision == ("bf16" if precision == "bfloat16" else "no")
        trainer.run()


@pytest.mark.parametrize("in_hardware", [True, False])
def test_automatic_precision_is_that_of_the_device(
    in_hardware: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "has_bfloat16", lambda device: in_hardware)
    plan = tiny_plan(photos(tmp_path / "photos"), run={"steps": 1, "precision": "auto"})
    assert RunPlan(steps=1).precision == "auto"
    assert Trainer(plan, tmp_path / "out").accelerator.mixed_precision == ("bf16" if in_hardware else "no")


def test_prior_trained_on_partial_noise_supports_holes(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos")
    whole = tiny_plan(folder, run={"steps": 1, "weights": "float32"})
    train(whole, tmp_path / "whole")
    net = {**whole.model.net.model_dump(), "in_channels": 5}
    model = {**whole.model.model_dump(), "net": net, "partial_noise": True, "passes": 2}
    plan = tiny_plan(folder, model=model, noise={"partial_share": 0.5, "unknown_share": 0.5})
    start = Trainer(plan, tmp_path / "out", init_from=tmp_path / "whole" / WEIGHTS)
    x, sigma = torch.randn(1, 3, 16, 16), torch.tensor([0.4])
    with torch.no_grad():
        torch.testing.assert_close(start.model(x, sigma), load_weights(tmp_path / "whole" / WEIGHTS)(x, sigma))
    start.run()
    prior = load_weights(tmp_path / "out" / WEIGHTS)
    assert prior.info.partial_noise
    assert prior.info.supports_holes
    hole = torch.zeros(1, 1, 16, 16)
    hole[..., 4:9, 3:12] = 1
    known = (hole == 0).expand_as(x)
    assert torch.equal(prior(x, 0.4 * hole)[known], x[known])
    assert not torch.equal(prior(x, 0.4 * hole)[~known], prior(x, sigma)[~known])
    nothing = torch.where(hole > 0, torch.inf, 0.0)
    assert torch.equal(prior(x, nothing)[known], x[known])
    guess = smooth_fill(x, hole > 0)
    assert not torch.equal(prior(guess, nothing)[~known], guess[~known])
    given = KnownPixels(prior, hole > 0, x)
    assert torch.equal(denoise_at(given, guess, math.inf)[~known], prior(guess, nothing)[~known])
    assert torch.equal(prior(x, 0 * hole), x), "nothing is noisy"
    with pytest.raises(ValueError, match="not trained on partial noise"):
        load_weights(tmp_path / "whole" / WEIGHTS)(x, 0.4 * hole)


@pytest.mark.parametrize("plan_of", [lambda folder, **s: tiny_plan(photos(folder), **s), conditional_plan])
def test_sample_grids_are_written(tmp_path: Path, plan_of) -> None:
    plan = plan_of(tmp_path / "photos", run={"steps": 1, "sample_minutes": 1e-9})
    train(plan, tmp_path / "out")
    assert [p.name for p in (tmp_path / "out" / "samples").iterdir()] == ["00000001.png"]
    assert list((tmp_path / "out" / "logs").iterdir())


def test_learning_rate_warms_up_and_decays() -> None:
    plan = OptimizerPlan(lr=1.0, warmup=10)
    assert learning_rate(plan, 100, 0) == pytest.approx(0.1, rel=1e-3)
    assert learning_rate(plan, 100, 50) == pytest.approx(0.5)
    assert learning_rate(plan, 100, 100) == pytest.approx(0.0)
    assert learning_rate(OptimizerPlan(lr=1.0, warmup=0, decay="none"), 100, 99) == 1.0


SCORE = {
    "family": "score",
    "size": 16,
    "divide": True,
    "levels": {"first": 1.0, "last": 0.1, "count": 4},
    "net": {"features": 8, "levels": 4},
}


@pytest.mark.parametrize("objective", ["denoising", "sliced"])
def test_score_network_is_trained_at_its_levels(tmp_path: Path, objective: str) -> None:
    plan = Plan.model_validate(
        {
            **tiny_plan(photos(tmp_path / "photos")).model_dump(),
            "model": SCORE,
            "noise": {},
            "loss": {"objective": objective},
            "optimizer": {"lr": 5e-3, "warmup": 0, "decay": "none"},
            "run": {"steps": 30, "batch": 8, "log_steps": 30, "precision": "float32", "ema": 0.8},
        }
    )
    start = plan.model.build()
    train(plan, tmp_path / "out")
    prior = load_weights(tmp_path / "out" / WEIGHTS)
    assert read_config(tmp_path / "out" / WEIGHTS) == plan.model
    assert prior.info.levels is not None
    assert prior.info.levels == pytest.approx([2, 0.92832, 0.43089, 0.2], rel=1e-4)
    crops, _ = next(batches(plan.data, channels=3, seed=9, device=torch.device("cpu"), count=16, first=0, stride=1))
    sigma = torch.full((16,), 0.43089)
    noisy = crops + sigma[0] * torch.randn(crops.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before, after = ((p(noisy, sigma) - crops).square().mean().item() for p in (start, prior))
    assert after < 0.7 * before
    assert "NCSN" in (tmp_path / "out" / "README.md").read_text()


def test_large_seeds_are_accepted_and_non_finite_gradients_stop(tmp_path: Path) -> None:
    plan = tiny_plan(photos(tmp_path / "photos"), run={"steps": 2, "seed": 2**62, "log_steps": 1})
    trainer = Trainer(plan, tmp_path / "out")
    weight = next(trainer.model.parameters())
    weight.register_hook(lambda grad: grad * torch.nan)
    with pytest.raises(TrainingError, match="the loss is nan"):
        trainer.run()
    assert not (tmp_path / "out" / WEIGHTS).exists()
