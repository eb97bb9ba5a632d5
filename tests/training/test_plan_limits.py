"""Values of a plan that torch, or the memory of a computer, would not accept are refused in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restorekit.errors import OptionError, TrainingError
from restorekit.training.data import fit
from restorekit.training.data_plan import DataPlan
from restorekit.training.plan_file import read_plan

TEXT = """
card = {name = "a", data = "none"}
model.net = {channels = 32, multipliers = [1, 2], blocks = 1}
data.folder = "photos"
run.steps = 10
"""


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer.betas=[2, 3]", r"optimizer\.betas\.0: found 2, allowed: less than 1"),
        ("optimizer.betas=[0.9]", r"optimizer\.betas\.1 is missing"),
        ("optimizer.lr=1e30", r"optimizer\.lr: .*less than or equal to 10"),
        ("optimizer.lr=nan", r"optimizer\.lr: .*finite number"),
        ("optimizer.clip=inf", r"optimizer\.clip: .*finite number"),
        ("optimizer.weight_decay=1e4", r"optimizer\.lr \* optimizer\.weight_decay is 0\.0004 \* 10000, allowed: 1"),
        ("data.crop=1000000", r"data\.crop: .*less than or equal to 2048"),
        ("data.workers=1000000", r"data\.workers: .*256"),
        ("run.batch=1000000000", r"run\.batch: .*65536"),
        ("run.steps=1000000000000", r"run\.steps: .*1000000000"),
        ("run.seed=-1", r"run\.seed: found -1, allowed: .*0$"),
        ("run.seed=9223372036854775808", r"run\.seed"),
        ("noise.mean=1e30", r"noise\.mean: .*20"),
        ("noise.partial_std=1e30", r"noise\.partial_std: .*5"),
        ("loss.p2_gamma=1e30", r"loss\.p2_gamma: .*10"),
        ("degradation.gaussian_sigma=[1]", r"degradation\.gaussian_sigma\.1 is missing"),
        ("degradation.gaussian_sigma=[1, inf]", r"degradation\.gaussian_sigma\.1: .*finite"),
        ("degradation.camera=1", "degradation: unknown key 'camera'.*Allowed: camera_quality, camera_share"),
        ("model.schedule.start=-0.1", r"model\.schedule\.start: .*greater than 0"),
        ("model.schedule.end=2", r"model\.schedule\.end: .*less than 1"),
        ("model.schedule.end=0.999", r"schedule\.steps, start and end give sigma from .* to inf"),
        ("model.schedule.end=1e-300", "allowed: increasing"),
        ("model.schedule.steps=2147483648", r"model\.schedule\.steps: .*100000"),
        ("model.net.blocks=2147483648", r"model\.net\.blocks: .*16"),
        ("model.net.heads=7", "net.heads is 7, allowed: divisors of 64, the number of channels with attention"),
        ("model.net.head_channels=96", "net.head_channels is 96, allowed: divisors of 64"),
        ("model.net={channels=4096, multipliers=[64, 64]}", r"model\.net has .* parameters, allowed: 1e\+10 or less"),
        (
            "model={channels=2, net={in_channels=2, out_channels=2}}",
            r"model\.channels is 2, allowed in training: 1 or 3",
        ),
        ("model.net.low_res=true", "low_res_factor is None, allowed: a number if net.low_res"),
        ("model={family='score', levels={first=1e30}}", r"levels\.first: .*100000000"),
        ("model={family='score', net={features=1}}", r"features: .*2"),
        (
            "model={family='score', data='logits', net={rescale=false}}",
            r"model\.data is 'logits', allowed in training: 'unit' or 'signed'",
        ),
        ('card.name="a\\nb"', r"card\.name"),
    ],
)
def test_values_out_of_range_are_refused(tmp_path: Path, override: str, message: str) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(TEXT)
    assert read_plan(path).run.steps == 10
    with pytest.raises(OptionError, match=message) as caught:
        read_plan(path, [override])
    for line in str(caught.value).splitlines():
        assert line.isprintable()
        assert len(line) < 500 + len(str(path))


def test_upsamplers_are_not_trained(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(TEXT)
    with pytest.raises(OptionError, match=r"model.net.low_res is true, allowed in training: false"):
        read_plan(path, ["model.net.low_res=true", "model.low_res_factor=4"])


def test_crops_of_a_classifier_have_the_size_of_its_images(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(TEXT.replace("model.net", "model.other"))
    model = "model={family='classifier', classes=['a', 'b'], net={classes=2, size=32}}"
    with pytest.raises(OptionError, match=r"data\.crop is 64, allowed with model\.net\.size: 32"):
        read_plan(path, [model, "data.labels=folders"])
    assert read_plan(path, [model, "data.labels=folders", "data.crop=32"]).data.crop == 32


def test_narrow_images_are_not_enlarged_without_limit() -> None:
    image = Image.fromarray(np.zeros((2, 3000, 3), np.uint8))
    with pytest.raises(
        TrainingError, match=r"found an image of 3000 x 2 pixels for data\.crop = 2048; allowed: an enl"
    ):
        fit(image, DataPlan(folder=Path(), crop=2048), 3)
