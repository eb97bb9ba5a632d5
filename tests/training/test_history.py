"""The curves of a training: loss and validation PSNR by the number of images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from torch import Tensor, nn

from restorekit.core.denoiser import GREY_LEVEL, PriorInfo
from restorekit.errors import TrainingError
from restorekit.models.files import WEIGHTS, load_weights
from restorekit.training import history as history_module
from restorekit.training import logging as logging_module
from restorekit.training.data_plan import ValidationPlan
from restorekit.training.history import HISTORY, PLOT, History, _averaged
from restorekit.training.loop import Trainer, train
from restorekit.training.validation import Validation
from tests.training.plans import conditional_plan, photos, tiny_plan


def lines(output: Path) -> list[dict]:
    return [json.loads(line) for line in (output / HISTORY).read_text().splitlines()]


def validated_plan(tmp_path: Path, **sections):
    if not (tmp_path / "held-out").exists():
        photos(tmp_path / "photos"), photos(tmp_path / "held-out", 5)
    plan = tiny_plan(tmp_path / "photos", **sections)
    return plan.model_copy(update={"validation": ValidationPlan(folder=tmp_path / "held-out", sigmas=(15, 50))})


def test_training_writes_its_curves(tmp_path: Path) -> None:
    train(validated_plan(tmp_path), tmp_path / "out")
    rows = lines(tmp_path / "out")
    losses = [row for row in rows if "loss" in row]
    assert [(row["step"], row["images"]) for row in losses] == [(step, 4 * step) for step in range(1, 7)]
    measured = [row for row in rows if "psnr" in row]
    assert [(row["step"], sorted(row["psnr"])) for row in measured] == [(6, ["15", "50"])]
    with Image.open(tmp_path / "out" / PLOT) as image:
        assert image.format == "PNG"
        assert 500 < image.width < 2000
        assert len(np.unique(np.asarray(image.convert("L")))) > 10


def test_validation_psnr_is_that_of_the_written_weights(tmp_path: Path) -> None:
    plan = validated_plan(tmp_path, run={"weights": "float32"})
    train(plan, tmp_path / "out")
    prior, validation = load_weights(tmp_path / "out" / WEIGHTS), Validation(plan.validation, 16, 3)
    found = validation.psnr(prior)
    assert lines(tmp_path / "out")[-1]["psnr"] == pytest.approx({f"{sigma:g}": value for sigma, value in found.items()})


def test_a_resumed_training_has_the_curve_of_an_uninterrupted_one(tmp_path: Path, monkeypatch) -> None:
    plan = validated_plan(tmp_path, run={"save_minutes": 1e-9})
    train(plan, tmp_path / "whole")
    step = Trainer._step

    def killed(self, crops):
        if self.progress.step == 4:
            raise KeyboardInterrupt
        return step(self, crops)

    monkeypatch.setattr(Trainer, "_step", killed)
    with pytest.raises(KeyboardInterrupt):
        train(plan, tmp_path / "cut")
    # A run that was killed after its checkpoint may have written more lines, the last of them in part.
    with (tmp_path / "cut" / HISTORY).open("a") as file:
        file.write('{"step": 9, "images": 36, "loss": 7.0}\n{"step": 3, "ima')
    monkeypatch.setattr(Trainer, "_step", step)
    train(plan, tmp_path / "cut", resume=True)
    assert lines(tmp_path / "cut") == lines(tmp_path / "whole")
    assert (tmp_path / "cut" / PLOT).read_bytes() == (tmp_path / "whole" / PLOT).read_bytes()


def test_validation_does_not_change_the_training_and_may_change_on_resume(tmp_path: Path) -> None:
    with_photos = validated_plan(tmp_path)
    train(with_photos, tmp_path / "a")
    train(with_photos.model_copy(update={"validation": None}), tmp_path / "b")
    assert (tmp_path / "a" / WEIGHTS).read_bytes() == (tmp_path / "b" / WEIGHTS).read_bytes()
    longer = with_photos.model_copy(update={"run": with_photos.run.model_copy(update={"steps": 8})})
    train(longer, tmp_path / "b", resume=True)
    assert [row["step"] for row in lines(tmp_path / "b") if "psnr" in row] == [8]
    assert [row["step"] for row in lines(tmp_path / "b") if "loss" in row] == list(range(1, 9))


def test_without_matplotlib_there_is_a_note_and_no_plot(tmp_path: Path, monkeypatch, capsys) -> None:
    for module in (history_module, logging_module):
        monkeypatch.setattr(module, "has_matplotlib", lambda: False)
    train(tiny_plan(photos(tmp_path / "photos")), tmp_path / "out")
    assert "note: no loss.png: matplotlib is not installed; pip install 'restorekit[train]'" in capsys.readouterr().out
    assert len(lines(tmp_path / "out")) == 6
    assert not (tmp_path / "out" / PLOT).exists()


def test_a_new_training_starts_a_new_curve(tmp_path: Path) -> None:
    (tmp_path / HISTORY).write_text('{"step": 1, "images": 4, "loss": 1.0}\n')
    assert History(tmp_path, 0).rows == []
    assert [row["step"] for row in History(tmp_path, 1).rows] == [1]


def test_long_histories_are_averaged_and_drawn_with_few_points(tmp_path: Path) -> None:
    values = np.arange(10.0)
    np.testing.assert_allclose(_averaged(values, 1), [0.5, *np.arange(1, 9), 8.5])
    found = History(tmp_path, 0)
    for step in range(1, 5001):
        found.add_loss(step, 16 * step, 1 / step)
    found.add_psnr(5000, 80000, {25: 30.0})
    found.add_psnr(5000, 80000, {25: 31.0})
    found.write()
    assert found.psnr() == {"25": ([80000], [30.0])}
    assert (tmp_path / PLOT).stat().st_size < 200_000
    assert History(tmp_path, 5000).rows == found.rows


class Known(nn.Module):
    """D = x times a factor, at the levels that the prior knows."""

    def __init__(self, **facts) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(()))
        self.info = PriorInfo(3, None, 0.01, 10.0, **facts)
        self.seen: list[tuple[Tensor, Tensor | None]] = []

    def forward(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        self.seen.append((sigma, label))
        return self.factor * x


def test_psnr_is_measured_with_fixed_noise_at_known_levels_without_a_class(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", 7)
    validation = Validation(ValidationPlan(folder=folder, photos=4, sigmas=(25, 200)), 16, 3)
    assert len(validation.clean) == 4
    prior = Known()
    first = validation.psnr(prior)
    assert first == validation.psnr(prior)
    assert abs(first[25] - 20.2) < 1, "20 log10(255 / 25), and a little more since D is clipped"
    levels, classes = Known(levels=(1.0, 0.2)), Known(classes=("a", "b"), no_label=2)
    assert list(validation.psnr(levels)) == [25.5, 127.5]
    assert [float(sigma[0]) for sigma, _ in levels.seen] == pytest.approx([0.2, 1.0])
    validation.psnr(classes)
    assert classes.seen[0][1].tolist() == [2] * 4
    assert float(classes.seen[0][0][0]) == pytest.approx(25 * GREY_LEVEL)


def test_wrong_validation_is_one_line(tmp_path: Path) -> None:
    plan = tiny_plan(photos(tmp_path / "photos"))
    for folder, message in [(tmp_path / "none", "is not a folder"), (tmp_path, "no image in")]:
        wrong = plan.model_copy(update={"validation": ValidationPlan(folder=folder)})
        if folder == tmp_path:
            (tmp_path / "empty").mkdir()
            wrong = plan.model_copy(update={"validation": ValidationPlan(folder=tmp_path / "empty")})
        with pytest.raises(TrainingError, match=rf"validation\.folder: .*{message}"):
            train(wrong, tmp_path / "out")
    assert conditional_plan(tmp_path / "classes").validation is None
    raw = conditional_plan(tmp_path / "more").model_dump()
    raw["model"]["net"]["classes"], raw["loss"]["label_dropout"] = 2, 0.0
    raw["validation"] = {"folder": tmp_path}
    with pytest.raises(ValidationError, match="validation is given, but the model has classes and no label for none"):
        type(plan).model_validate(raw)
    with pytest.raises(ValidationError, match="sigmas"):
        ValidationPlan(folder=tmp_path, sigmas=())


def test_losses_that_are_not_finite_are_omitted(tmp_path: Path) -> None:
    history = History(tmp_path, 0)
    for step, loss in enumerate([1.0, float("nan"), float("inf"), 0.5], 1):
        history.add_loss(step, 16 * step, loss)
    history.write()
    assert History(tmp_path, 4).losses() == ([16, 64], [1.0, 0.5])
    assert "NaN" not in (tmp_path / "history.jsonl").read_text()
