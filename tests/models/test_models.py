from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from safetensors import safe_open
from safetensors.torch import save_file

import restorekit as rk
from restorekit.errors import ModelError
from restorekit.models import registry
from restorekit.models.config import EpsilonConfig, LevelsConfig, NoisyClassifierConfig, ScheduleConfig, ScoreConfig
from restorekit.models.files import WEIGHTS, load_weights, read_config, save_weights
from restorekit.nets.classifier import ClassifierConfig
from restorekit.nets.ncsn import NCSNConfig
from restorekit.priors.epsilon import EpsilonPrior
from tests import golden
from tests.models.small import CONDITIONAL, CONFIG, small_model


def test_model_file_holds_its_configuration_and_loads(tmp_path: Path) -> None:
    folder = small_model(tmp_path / "m")
    assert read_config(folder / WEIGHTS) == CONFIG
    prior = registry.load_prior(folder)
    assert not prior.training
    assert not any(parameter.requires_grad for parameter in prior.parameters())
    assert (prior.info.channels, prior.info.size, prior.info.levels, prior.info.classes) == (3, None, None, None)
    again = registry.load_prior(folder / WEIGHTS)
    x, sigma = torch.randn(1, 3, 16, 16), torch.tensor([0.4])
    assert torch.equal(prior(x, sigma), again(x, sigma))
    assert not torch.equal(prior(x, sigma), x)


def test_weights_are_written_in_the_given_precision(tmp_path: Path) -> None:
    folder = small_model(tmp_path / "m")
    assert all(v.dtype == torch.float32 for v in load_weights(folder / WEIGHTS).net.state_dict().values())
    size = (folder / WEIGHTS).stat().st_size
    count = sum(v.numel() for v in load_weights(folder / WEIGHTS).net.state_dict().values())
    assert size == pytest.approx(2 * count, rel=0.05)


def test_loading_draws_no_random_numbers(tmp_path: Path) -> None:
    folder = small_model(tmp_path / "m")
    state = torch.get_rng_state()
    load_weights(folder / WEIGHTS)
    assert torch.equal(torch.get_rng_state(), state)


def test_loaded_weights_are_independent_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / WEIGHTS
    save_weights(file, CONFIG.build().net.state_dict(), CONFIG, torch.float32)
    net, again = load_weights(file).net, load_weights(file).net
    with file.open("rb+") as stream:
        stream.write(bytes(file.stat().st_size))
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in net.state_dict().items())
    assert any(value.any() for value in net.state_dict().values())


def test_only_priors_with_attention_have_a_fixed_size() -> None:
    config = EpsilonConfig.model_validate({"size": 32, "net": {"channels": 32, "multipliers": [1], "blocks": 1}})
    assert config.build().info.size == 32
    assert CONFIG.build().info.size is None


def test_schedules_agree_with_guided_diffusion() -> None:
    want = golden.load("gd_schedules")
    linear = ScheduleConfig(kind="linear", steps=250, start=4e-4, end=0.08).table()
    want.agrees("output.linear_250.sqrt_recipm1_alphas_cumprod", linear)
    want.agrees("output.cosine_250.sqrt_recipm1_alphas_cumprod", ScheduleConfig(kind="cosine", steps=250).table())


def test_errors_name_files_that_cannot_be_loaded(tmp_path: Path) -> None:
    for source, message in [
        ("ddpm-foto", r"unknown model 'ddpm-foto'.*hf://org/name@revision"),
        (tmp_path, "the folder has no model.safetensors"),
        ("hf://not a name", "allowed: hf://org/name"),
    ]:
        with pytest.raises(ModelError, match=message):
            registry.load_prior(source)
    text = tmp_path / "a.safetensors"
    text.write_text("no weights")
    bare = tmp_path / "b.safetensors"
    save_file({"x": torch.zeros(1)}, bare)
    unknown_family = tmp_path / "c.safetensors"
    save_file({"x": torch.zeros(1)}, unknown_family, metadata={"restorekit": json.dumps({"family": "gan"})})
    no_json = tmp_path / "e.safetensors"
    save_file({"x": torch.zeros(1)}, no_json, metadata={"restorekit": "{"})
    other = tmp_path / "d.safetensors"
    save_weights(other, {"x": torch.zeros(1)}, CONFIG, torch.float32)
    for path, message in [
        (text, "not a readable safetensors file"),
        (bare, "no 'restorekit' entry"),
        (unknown_family, "header entry family: .*'gan'.*'epsilon', 'score'"),
        (no_json, "header entry 'restorekit' is not JSON"),
        (other, "do not fit the network in the header"),
    ]:
        with pytest.raises(ModelError, match=message):
            registry.load_prior(path)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(struct.pack("<Q", 2) + b"{}" + b"\x80\x04cos\nsystem\n")
    with pytest.raises(ModelError):
        registry.load_prior(path)


def written_by_an_earlier_version(path: Path) -> Path:
    """A file whose header has the former names of keys."""
    config = EpsilonConfig.model_validate(
        {"partial_noise": True, "passes": 3, "net": {**CONFIG.net.model_dump(), "in_channels": 5}}
    )
    weights = config.build().net.state_dict()
    header = config.model_dump()
    header["looks"] = header.pop("passes")
    save_file(weights, path, metadata={"restorekit": json.dumps(header)})
    return path


def test_headers_of_earlier_versions_are_read(tmp_path: Path) -> None:
    path = written_by_an_earlier_version(tmp_path / "old.safetensors")
    assert read_config(path).passes == 3
    prior = load_weights(path)
    assert prior.passes == 3
    assert prior.info.supports_holes


def test_ddpm_fill_supports_holes() -> None:
    prior = registry.load_prior("ddpm-fill")
    assert isinstance(prior, EpsilonPrior)
    assert prior.passes > 0
    assert prior.info.supports_holes


CLASSIFIER = NoisyClassifierConfig(
    net=ClassifierConfig(classes=2, size=16, channels=32, multipliers=(1, 2), blocks=1), classes=("dark", "bright")
)


@pytest.mark.parametrize("config", [CONFIG, CONDITIONAL, ScoreConfig(), CLASSIFIER], ids=lambda config: config.family)
def test_headers_hold_the_fields_only(tmp_path: Path, config: EpsilonConfig) -> None:
    path = tmp_path / "m.safetensors"
    save_weights(path, {"x": torch.zeros(1)}, config, torch.float32)
    with safe_open(path, "pt") as file:
        header = json.loads(file.metadata()["restorekit"])
    assert set(header) == set(type(config).model_fields)
    assert read_config(path) == config


def test_configurations_of_all_families_have_the_same_attributes() -> None:
    learned = {True: CONDITIONAL, False: CONFIG}
    for expected, config in learned.items():
        assert config.learned_variance == expected
        assert config.no_label == (2 if expected else None)
    for config in (CONFIG, CONDITIONAL, ScoreConfig(), CLASSIFIER):
        assert (config.passes, config.self_conditioned) == (0, False)
    for plain in (ScoreConfig(), CLASSIFIER):
        assert (plain.learned_variance, plain.no_label) == (False, None)


def test_levels_of_a_score_network_decrease() -> None:
    with pytest.raises(ValidationError, match=r"levels\.last is 2, allowed: less than levels\.first, 1"):
        LevelsConfig(first=1.0, last=2.0)


def test_score_network_of_other_data_does_not_rescale_its_input() -> None:
    for data in ("signed", "logits"):
        with pytest.raises(ValidationError, match=f"net.rescale is true, allowed with data '{data}': false"):
            ScoreConfig(data=data)
        assert ScoreConfig(data=data, net=NCSNConfig(rescale=False)).build().info.logits == (data == "logits")


def test_classifiers_are_loaded_by_name_folder_and_file(tmp_path: Path) -> None:
    save_weights(tmp_path / WEIGHTS, CLASSIFIER.build().net.state_dict(), CLASSIFIER, torch.float32)
    for source in (tmp_path, tmp_path / WEIGHTS, str(tmp_path)):
        classifier = rk.load_classifier(source)
        assert classifier.classes == ("dark", "bright")
        assert not classifier.training
    probabilities = classifier(torch.zeros(2, 3, 16, 16), torch.ones(2)).exp()
    torch.testing.assert_close(probabilities.sum(1), torch.ones(2))
    assert rk.load_classifier("classifier-patches").size == 32
    with pytest.raises(ModelError, match="found a prior, allowed: a classifier"):
        rk.load_classifier(small_model(tmp_path / "prior"))
    with pytest.raises(ModelError, match="found a classifier, allowed: a prior"):
        registry.load_prior(tmp_path)
    with pytest.raises(ModelError, match="unknown model 'classifier-patch'"):
        rk.load_classifier("classifier-patch")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no permissions for groups and others")
def test_weights_have_the_permissions_of_other_new_files(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    path = small_model(tmp_path / "model") / WEIGHTS
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode
