from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import torch

from restorekit.errors import OptionError
from restorekit.models.config import NoisyClassifierConfig
from restorekit.nets.classifier import Classifier
from restorekit.nets.unet import UNet
from restorekit.training.plan import Plan
from restorekit.training.plan_file import read_plan

RECIPES = Path(__file__).parents[2] / "recipes"
MINIMAL = """
[card]
name = "a"
data = "none"
[data]
folder = "photos"
[run]
steps = 10
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "plan.toml"
    path.write_text(text)
    return path


def classes_of(tmp_path: Path, count: int) -> str:
    """A `data.folder` with a folder for each class."""
    for i in range(count):
        (tmp_path / "classes" / f"n{i:08d}").mkdir(parents=True)
    return f"data.folder={tmp_path / 'classes'}"


NAMED = [path for path in sorted(RECIPES.glob("*.toml")) if "imagenet" not in path.stem]


@pytest.mark.parametrize("path", NAMED, ids=lambda path: path.stem)
def test_bundled_plans_are_valid(path: Path) -> None:
    assert read_plan(path).card.name


@pytest.mark.parametrize(("name", "millions"), [("guided", 296), ("classifier", 65)])
def test_imagenet_64_plans_have_the_parameter_counts_of_the_paper(tmp_path: Path, name: str, millions: int) -> None:
    plan = read_plan(RECIPES / f"{name}_imagenet64.toml", [classes_of(tmp_path, 1000)])
    assert plan.model.classes is not None
    assert len(plan.model.classes) == 1000
    assert parameters(plan) == millions


def test_imagenet_256_plan_has_the_parameter_count_of_the_paper(tmp_path: Path) -> None:
    assert parameters(read_plan(RECIPES / "guided_imagenet256.toml", [classes_of(tmp_path, 1000)])) == 554


def parameters(plan: Plan) -> int:
    """Millions (Dhariwal and Nichol 2021, tables 11 and 12)."""
    kind = Classifier if isinstance(plan.model, NoisyClassifierConfig) else UNet
    with torch.device("meta"):
        return round(sum(value.numel() for value in kind(plan.model.net).parameters()) / 1e6)


def test_classes_from_folders_require_sub_folders(tmp_path: Path) -> None:
    message = r"model\.classes is 'folders', but data\.folder, .*nowhere, has no subfolders"
    with pytest.raises(OptionError, match=message):
        read_plan(RECIPES / "guided_imagenet64.toml", [f"data.folder={tmp_path / 'nowhere'}"])
    with pytest.raises(OptionError, match=r"net\.classes is 1000, allowed: the number of names"):
        read_plan(RECIPES / "guided_imagenet64.toml", [classes_of(tmp_path, 2)])


def test_overrides_set_keys(tmp_path: Path) -> None:
    path = written(tmp_path, MINIMAL)
    plan = read_plan(
        path, ["run.batch=3", "model.net.multipliers=[1, 2]", "data.folder=else/where", "optimizer.clip=null"]
    )
    assert plan.run.batch == 3
    assert plan.model.net.multipliers == (1, 2)
    assert plan.data.folder == Path("else/where")
    assert plan.optimizer.clip is None


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("run.stepz=3", r"run: unknown key 'stepz'\. Did you mean 'steps'\? Allowed: .*batch.*steps"),
        ("rum.steps=3", "the plan: unknown key 'rum'. Did you mean 'run'"),
        ("model.net.chanels=64", r"model\.net: unknown key 'chanels'\. Did you mean 'channels'"),
        ("run.batch=0", r"run\.batch: found 0, allowed: greater than or equal to 1$"),
        ("run.batch=many", r'run\.batch: found "many", allowed: a valid integer$'),
        ("loss.norm=l3", r"loss\.norm: found \"l3\", allowed: 'l2', 'l1' or 'log'$"),
        ("optimizer.name=adam", r"optimizer\.name: found \"adam\", allowed: 'muon' or 'adamw'"),
        ("optimizer.momentum=1", r"optimizer\.momentum: .*less than 1"),
        ("data.crop=30", "data.crop is 30, allowed: multiples of 8"),
        ("run.steps.more=3", "'steps' is a value"),
        ("model.family=gan", "model.family: found 'gan', allowed: 'epsilon', 'score', 'classifier'$"),
        ("loss.objective=slices", r"loss\.objective: .*'denoising', 'sliced', 'vlb' or 'sigma'"),
        ("model.passes=2", "passes is 2, but partial_noise is false"),
        ("model.self_conditioned=true", r"net\.in_channels is 3, allowed: 6"),
        ("noise.unknown_share=0.5", r"unknown_share is 0\.5, but model\.passes is 0"),
        ("run.fsdp=true", r"optimizer\.name is 'muon', but run\.fsdp is true; allowed: 'adamw'$"),
        ("run.steps", "allowed: key.subkey=value"),
    ],
)
def test_invalid_values_are_reported(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        read_plan(written(tmp_path, MINIMAL), [override])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("run.compile=true", r"run\.compile is true, but run\.fsdp is true; allowed: false$"),
        ("loss.objective=sliced", r"loss\.objective is 'sliced', but run\.fsdp is true; allowed: 'denoising'$"),
    ],
)
def test_keys_invalid_with_divided_weights_are_reported(tmp_path: Path, override: str, message: str) -> None:
    plan, divided = written(tmp_path, MINIMAL), ["optimizer.name=adamw", "run.fsdp=true"]
    assert read_plan(plan, divided).run.fsdp
    with pytest.raises(OptionError, match=message):
        read_plan(plan, [*divided, override])


def test_all_problems_are_listed(tmp_path: Path) -> None:
    path = written(tmp_path, MINIMAL.replace("steps = 10", "") + "\nstepz = 5")
    with pytest.raises(OptionError) as caught:
        read_plan(path, ["run.batch=0", "loss.norm=l3", "dat.crop=3", "optimizer.name=adamw", "optimizer.momentum=0.5"])
    first, *lines = str(caught.value).splitlines()
    assert first == f"{path}: 6 errors"
    assert [line.split(":")[0] for line in lines] == [
        "  loss.norm",
        "  optimizer.momentum is 0.5, but optimizer.name is 'adamw'; allowed",
        "  run.steps is missing",
        "  run.batch",
        "  run",
        "  the plan",
    ]
    assert "unknown key 'stepz'. Did you mean 'steps'?" in lines[4]


def test_all_contradictions_are_listed(tmp_path: Path) -> None:
    overrides = ["data.crop=30", "noise.unknown_share=0.5", "loss.objective=sigma", "loss.label_dropout=0.5"]
    with pytest.raises(OptionError) as caught:
        read_plan(written(tmp_path, MINIMAL), overrides)
    lines = str(caught.value).splitlines()
    assert len(lines) == 5
    for text in ("data.crop is 30", "noise.unknown_share is 0.5", "loss.objective is 'sigma'", "label_dropout is 0.5"):
        assert any(text in line for line in lines), text


def test_problems_with_control_characters_are_printable(tmp_path: Path) -> None:
    with pytest.raises(OptionError) as caught:
        read_plan(written(tmp_path, MINIMAL), ["run.batch=0", '"a\\u001b[31m"=1'])
    assert all(line.isprintable() for line in str(caught.value).splitlines())


def test_momentum_is_refused_with_adamw(tmp_path: Path) -> None:
    path = written(tmp_path, MINIMAL)
    plan = read_plan(path, ["optimizer.momentum=0.9"])
    assert (plan.optimizer.name, plan.optimizer.momentum) == ("muon", 0.9)
    with pytest.raises(OptionError, match=r"momentum is 0\.9, but optimizer\.name is 'adamw'; allowed: 0\.95"):
        read_plan(path, ["optimizer.name=adamw", "optimizer.momentum=0.9"])


def test_plans_with_published_settings_name_their_optimizer() -> None:
    for path in RECIPES.glob("*.toml"):
        if any(name in path.stem for name in ("cifar10", "imagenet", "celeba", "mnist")):
            assert tomllib.loads(path.read_text(encoding="utf-8"))["optimizer"]["name"] == "adamw", path.stem


def test_missing_keys_and_unreadable_files_are_reported(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"run\.steps is missing"):
        read_plan(written(tmp_path, MINIMAL.replace("steps = 10", "")))
    with pytest.raises(OptionError, match="not a readable TOML plan"):
        read_plan(written(tmp_path, "[card"))
    with pytest.raises(OptionError, match="not a readable TOML plan"):
        read_plan(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["noise.distribution=lognormal"], "noise.distribution is 'lognormal', but model.family is 'score'"),
        (["model.net.chanels=3"], r"model\.net: unknown key 'chanels'\. Did you mean 'channels'"),
        (["model.net.levels=4"], r"net\.levels is 4, allowed: 10 \(levels\.count\)"),
        (["loss.objective=sliced", "loss.norm=l1"], "allowed: loss.norm 'l2'"),
        (["data.dataset=mnist", "data.cache=false"], "data.cache is false, but data.dataset is 'mnist'"),
    ],
)
def test_keys_invalid_for_a_score_network_are_reported(tmp_path: Path, overrides: list[str], message: str) -> None:
    plan = written(tmp_path, MINIMAL)
    assert read_plan(plan, ["model.family=score"]).model.family == "score"
    with pytest.raises(OptionError, match=message):
        read_plan(plan, ["model.family=score", *overrides])


LEARNED = [
    "model.net.classes=2",
    "model.net.out_channels=6",
    "model.net.in_channels=5",
    "model.partial_noise=true",
    "noise.partial_share=0.5",
]
CLASSES = ['model.classes=["a", "b"]', "data.labels=folders"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.family=classifier", "model.net.classes=2", "loss.norm=l1"], "loss.norm is 'l1', but model.family is"),
        (["model.family=classifier", "model.net.classes=2", "data.dequantize=true"], "data.dequantize is true, but"),
        (["model.net.classes=2", "model.net.out_channels=6", "loss.weighting=p2"], "the network learns a variance"),
        (["model.net.classes=2", "loss.objective=sliced"], "but model.classes is given"),
        ([*LEARNED, "loss.objective=vlb"], "loss.objective is 'vlb', but model.partial_noise is true"),
        ([*LEARNED, "noise.distribution=lognormal"], "noise.distribution 'uniform-t'"),
        ([*LEARNED, "model.passes=1", "noise.unknown_share=0.1"], "model.passes is 1, but a variance is learned"),
    ],
)
def test_ignored_keys_are_refused(tmp_path: Path, overrides: list[str], message: str) -> None:
    plan = written(tmp_path, MINIMAL)
    with pytest.raises(OptionError, match=message):
        read_plan(plan, [*CLASSES, *overrides])
