from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from restorekit.errors import ModelError
from restorekit.models import registry
from restorekit.models.config import EpsilonConfig, ScheduleConfig
from restorekit.models.files import WEIGHTS, load_weights, read_config, save_weights
from tests import golden
from tests.models.small import CONFIG, small_model


def test_a_file_says_what_it_is_and_loads(tmp_path: Path) -> None:
    folder = small_model(tmp_path / "m")
    assert read_config(folder / WEIGHTS) == CONFIG
    prior = registry.load_prior(folder)
    assert not prior.training
    assert not any(parameter.requires_grad for parameter in prior.parameters())
    assert (prior.channels, prior.size, prior.levels, prior.classes) == (3, None, None, None)
    again = registry.load_prior(folder / WEIGHTS)
    x, sigma = torch.randn(1, 3, 16, 16), torch.tensor([0.4])
    assert torch.equal(prior(x, sigma), again(x, sigma))
    assert not torch.equal(prior(x, sigma), x)


def test_weights_are_written_at_the_asked_precision(tmp_path: Path) -> None:
    folder = small_model(tmp_path / "m")
    assert all(v.dtype == torch.float32 for v in load_weights(folder / WEIGHTS).net.state_dict().values())
    size = (folder / WEIGHTS).stat().st_size
    count = sum(v.numel() for v in load_weights(folder / WEIGHTS).net.state_dict().values())
    assert size == pytest.approx(2 * count, rel=0.05)


def test_a_prior_with_attention_keeps_its_window() -> None:
    config = EpsilonConfig.model_validate({"size": 32, "net": {"channels": 32, "multipliers": [1], "blocks": 1}})
    assert config.build().size == 32


def test_schedules() -> None:
    want = golden.load("gd_schedules")
    linear = ScheduleConfig(kind="linear", steps=250, start=4e-4, end=0.08).table()
    want.agrees("output.linear_250.sqrt_recipm1_alphas_cumprod", linear)
    want.agrees("output.cosine_250.sqrt_recipm1_alphas_cumprod", ScheduleConfig(kind="cosine", steps=250).table())


def test_what_cannot_be_loaded_is_said(tmp_path: Path) -> None:
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
    strange = tmp_path / "c.safetensors"
    save_file({"x": torch.zeros(1)}, strange, metadata={"restorekit": json.dumps({"family": "gan"})})
    other = tmp_path / "d.safetensors"
    save_weights(other, {"x": torch.zeros(1)}, CONFIG, torch.float32)
    for path, message in [
        (text, "not a readable safetensors file"),
        (bare, "no 'restorekit' entry"),
        (strange, "header entry family: .*'gan'.*'epsilon', 'score'"),
        (other, "do not fit the header's network"),
    ]:
        with pytest.raises(ModelError, match=message):
            registry.load_prior(path)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(struct.pack("<Q", 2) + b"{}" + b"\x80\x04cos\nsystem\n")
    with pytest.raises(ModelError):
        registry.load_prior(path)


def test_the_hub_is_asked_for_name_and_revision(tmp_path: Path, monkeypatch) -> None:
    folder, asked = small_model(tmp_path / "m"), []

    def download(name, file, *, revision, library_name):
        asked.append((name, file, revision))
        return str(folder / file)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    registry.load_prior("hf://org/name@v1")
    registry.load_prior("hf://org/name")
    assert asked == [("org/name", WEIGHTS, "v1"), ("org/name", WEIGHTS, None)]


def test_a_hub_that_cannot_be_reached_is_one_line(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="hf://org/none") as caught:
        registry.load_prior("hf://org/none")
    assert "\n" not in str(caught.value)


def test_push_sends_weights_and_card(tmp_path: Path, monkeypatch) -> None:
    calls = []

    class Api:
        def __init__(self, **_):
            pass

        def create_repo(self, name, exist_ok):
            calls.append(("create", name, exist_ok))

        def upload_folder(self, *, repo_id, folder_path, allow_patterns):
            calls.append(("upload", repo_id, sorted(allow_patterns)))
            return type("Commit", (), {"commit_url": "https://hub/commit"})

    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    assert registry.push_model(small_model(tmp_path / "m"), "org/name") == "https://hub/commit"
    assert calls == [("create", "org/name", True), ("upload", "org/name", ["README.md", WEIGHTS])]
    with pytest.raises(ModelError, match=r"has no model\.safetensors"):
        registry.push_model(tmp_path, "org/name")
