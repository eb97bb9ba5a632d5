"""Checkpoints of NCSN and NCSNv2; tests/data/ncsnv2_layouts.json describes the networks of NCSNv2 and their results."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

from restorekit.errors import ModelError
from restorekit.models import registry
from restorekit.models.importers.imports import import_model
from restorekit.priors.score import ScorePrior
from tests import golden
from tests.models.importers.layouts import Layout, layouts, seeded_tensor

LAYOUTS = layouts("ncsnv2_layouts")
ORIGINAL = {
    "data": {"dataset": "CIFAR10", "image_size": 16, "channels": 3, "logit_transform": False, "random_flip": True},
    "model": {"sigma_begin": 1, "sigma_end": 0.01, "num_classes": 10, "batch_norm": False, "ngf": 8},
}


def parallel(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"module.{name}": value for name, value in weights.items()}


def checkpoint_v2(layout: Layout) -> list[Any]:
    """A checkpoint as NCSNv2 writes it: weights, optimizer, epoch, step and averaged weights."""
    last = {name: torch.zeros_like(value) for name, value in layout.weights.items()}
    optimizer = {
        "state": {0: {"step": 3, "exp_avg": torch.zeros(2)}},
        "param_groups": [{"lr": 1e-4, "betas": (0.9, 0.999)}],
    }
    return [parallel({**last, "sigmas": layout.tensors["sigmas"]}), optimizer, 1, 3, layout.weights]


def write(folder: Path, content: Any, settings: Any, *, zipped: bool = True) -> Path:
    (folder / "config.yml").write_text(yaml.dump(settings))
    torch.save(content, folder / "checkpoint.pth", _use_new_zipfile_serialization=zipped)
    return folder / "checkpoint.pth"


@pytest.mark.parametrize("zipped", [True, False])
def test_imported_network_agrees_with_ncsn(tmp_path: Path, zipped: bool) -> None:
    want = golden.load("ncsn_refinenet_3ch_16px")
    file = write(tmp_path, [parallel(want.weights), {"state": {}, "param_groups": []}], ORIGINAL, zipped=zipped)
    import_model(file, tmp_path / "m")
    prior = registry.load_prior(tmp_path / "m")
    assert isinstance(prior, ScorePrior)
    u, label = want["input.x"], want["input.y"]
    want.agrees("output.score", prior.net(u, label))
    sigma = prior.table.flip(0)[label].float()
    expected = 2 * (u + (sigma / 2).reshape(-1, 1, 1, 1) ** 2 * want["output.score"]) - 1
    torch.testing.assert_close(prior(2 * u - 1, sigma), expected, atol=1e-4, rtol=1e-4)
    assert prior.info.levels == pytest.approx([2 * 0.01 ** (index / 9) for index in range(10)])


@pytest.mark.parametrize("depth", LAYOUTS)
def test_imported_network_agrees_with_ncsnv2(tmp_path: Path, depth: str) -> None:
    layout = LAYOUTS[depth]
    file = write(tmp_path, checkpoint_v2(layout), layout.settings)
    found = import_model(file, tmp_path / "m", config=tmp_path / "config.yml")
    assert found.config.net.depth == depth
    prior = registry.load_prior(tmp_path / "m")
    assert isinstance(prior, ScorePrior)
    u, label, score = seeded_tensor("x", (2, 3, 16, 16)) * 0.3 + 0.5, layout.tensors["y"], layout.tensors["score"]
    sigma = prior.table.flip(0)[label].float()
    sigma_u = (sigma / 2).reshape(-1, 1, 1, 1)
    torch.testing.assert_close(prior.net(u, label) / sigma_u, score, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(prior(2 * u - 1, sigma), 2 * (u + sigma_u**2 * score) - 1, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("setting", ["logit_transform", "rescaled"])
def test_other_data_reach_the_network_unchanged(tmp_path: Path, setting: str) -> None:
    layout = LAYOUTS["plain"]
    settings = {**layout.settings, "data": {**layout.settings["data"], setting: True}}
    file = write(tmp_path, checkpoint_v2(layout), settings)
    import_model(file, tmp_path / "m")
    prior = registry.load_prior(tmp_path / "m")
    assert isinstance(prior, ScorePrior)
    assert prior.info.logits == (setting == "logit_transform")
    assert prior.info.sigma_max == pytest.approx(50), "the unit of sigma is that of the data"
    # The recorded network received u in [0, 1] and converted it to 2 u - 1; this one receives that.
    z, label, score = seeded_tensor("x", (2, 3, 16, 16)) * 0.6, layout.tensors["y"], layout.tensors["score"]
    sigma = prior.table.flip(0)[label].float()
    expected = z + sigma.reshape(-1, 1, 1, 1) ** 2 * score
    torch.testing.assert_close(prior(z, sigma), expected, atol=1e-4, rtol=1e-4)
    card = (tmp_path / "m" / "README.md").read_text()
    assert ("levels of logits" if prior.info.logits else "levels in [-1, 1]") in card
    assert ("restorekit sample only" in card) == prior.info.logits


def test_card_states_levels_and_source(tmp_path: Path) -> None:
    layout = LAYOUTS["plain"]
    file = write(tmp_path, checkpoint_v2(layout), layout.settings)
    import_model(file, tmp_path / "m")
    card = (tmp_path / "m" / "README.md").read_text()
    for text in ("12 levels in [0, 1]: 50, ", "norms without levels (NCSNv2)", "checkpoint.pth", "license: unknown"):
        assert text in card
    assert str(tmp_path) not in card


def test_configurations_with_python_objects_are_read_without_making_them(tmp_path: Path) -> None:
    layout = LAYOUTS["plain"]
    parts = {name: Namespace(**values) for name, values in layout.settings.items()}
    file = write(tmp_path, checkpoint_v2(layout), Namespace(**parts, device=torch.device("cpu")))
    text = (tmp_path / "config.yml").read_text()
    assert "!!python/object:argparse.Namespace" in text
    attack = f"evil: !!python/object/apply:os.mkdir [{tmp_path / 'executed'}]\n"
    (tmp_path / "config.yml").write_text(text + attack)
    import_model(file, tmp_path / "m")
    assert not (tmp_path / "executed").exists()
    assert registry.load_prior(tmp_path / "m").info.sigma_max == pytest.approx(100)


@pytest.mark.parametrize(
    ("part", "changes", "message"),
    [
        ("data", {"logit_transform": True, "rescaled": True}, r"config\.yml: data\.logit_transform and .* one of them"),
        ("data", {"logit_transform": "yes"}, r"config\.yml: data\.logit_transform is yes, allowed: true or false"),
        ("model", {"sigma_dist": "uniform"}, r"model\.sigma_dist is uniform, allowed: geometric"),
        ("model", {"nonlinearity": "relu"}, r"model\.nonlinearity is relu, allowed: elu"),
        ("model", {"ngf": 6}, r"of another shape: .*begin_conv.* \[4, 3, 3, 3\] instead of \[6, 3, 3, 3\]|do not fit"),
        ("model", {"ngf": "many"}, "found many"),
        ("model", {"num_classes": 13}, r"has 12 levels from 50 to 0\.01, but .*config\.yml has 13"),
    ],
)
def test_networks_that_are_not_ours_are_refused(tmp_path: Path, part: str, changes: dict, message: str) -> None:
    layout = LAYOUTS["plain"]
    settings = {**layout.settings, part: {**layout.settings[part], **changes}}
    file = write(tmp_path, checkpoint_v2(layout), settings)
    with pytest.raises(ModelError, match=message):
        import_model(file, tmp_path / "m")
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data: {channels: 3}", "found no section model"),
        ("data: [", "not a readable YAML file"),
        ("data: {}\nmodel: {ngf: 4, num_classes: 12}", "found no setting 'channels'"),
    ],
)
def test_damaged_configurations_are_reported(tmp_path: Path, text: str, message: str) -> None:
    file = write(tmp_path, checkpoint_v2(LAYOUTS["plain"]), {})
    (tmp_path / "config.yml").write_text(text)
    with pytest.raises(ModelError, match=message):
        import_model(file, tmp_path / "m")


def test_checkpoint_without_configuration_or_averages_is_reported(tmp_path: Path) -> None:
    layout = LAYOUTS["plain"]
    file = write(tmp_path, checkpoint_v2(layout)[:2], layout.settings)
    with pytest.raises(ModelError, match=r"found 2 entries, allowed with model\.ema: 5"):
        import_model(file, tmp_path / "m")
    (tmp_path / "config.yml").unlink()
    with pytest.raises(ModelError, match="--config with the YAML file of NCSN"):
        import_model(file, tmp_path / "m")
