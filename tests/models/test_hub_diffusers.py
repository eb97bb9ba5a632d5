"""Priors straight from a repository of diffusers on the Hub, which is faked by its cache."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from restorekit.errors import ModelError
from restorekit.models import registry
from restorekit.models.hub import fetch
from restorekit.models.importers.imports import import_model
from tests.models.fake_hub import FakeHub
from tests.models.importers.layouts import seeded_tensor
from tests.models.importers.test_diffusers import LAYOUTS, write_folder
from tests.models.small import small_model

OLD, NEW = "1" * 40, "2" * 40


@pytest.fixture
def offline_cache(tmp_path: Path, monkeypatch) -> Path:
    """An offline cache of huggingface_hub with two commits of org/name; `main` and `v2` are the second."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    repository = tmp_path / "hub" / "models--org--name"
    write_folder(repository / "snapshots" / OLD, LAYOUTS["ho"])
    write_folder(repository / "snapshots" / NEW, LAYOUTS["training-script"], pipeline=True, suffix="bin")
    (repository / "refs").mkdir()
    for name in ("main", "v2"):
        (repository / "refs" / name).write_text(NEW)
    return repository


def test_cached_repository_is_loaded_offline_at_the_pinned_revision(offline_cache: Path) -> None:
    x, sigma = seeded_tensor("x", (1, 3, 16, 16)), torch.tensor([0.5])
    results = {name: registry.load_prior(f"hf://org/name{name}")(x, sigma) for name in ("", "@main", "@v2", f"@{OLD}")}
    assert torch.equal(results[""], results["@main"])
    assert torch.equal(results[""], results["@v2"])
    assert torch.equal(results[""], registry.load_prior(offline_cache / "snapshots" / NEW)(x, sigma))
    assert torch.equal(results[f"@{OLD}"], registry.load_prior(offline_cache / "snapshots" / OLD)(x, sigma))
    assert not torch.allclose(results[""], results[f"@{OLD}"])
    digests = {registry.model_digest(f"hf://org/name{name}") for name in ("", f"@{OLD}")}
    assert len(digests) == 2


def test_repository_is_imported(offline_cache: Path, tmp_path: Path) -> None:
    import_model(f"hf://org/name@{OLD}", tmp_path / "m")
    x, sigma = seeded_tensor("x", (1, 3, 16, 16)), torch.tensor([0.5])
    assert torch.equal(
        registry.load_prior(tmp_path / "m")(x, sigma), registry.load_prior(f"hf://org/name@{OLD}")(x, sigma)
    )
    assert f"hf://org/name@{OLD}" in (tmp_path / "m" / "README.md").read_text()


def test_missing_repositories_and_revisions_are_reported_in_one_line(offline_cache: Path) -> None:
    for source in ("hf://org/other", "hf://org/name@v3"):
        with pytest.raises(ModelError, match=f"model {source}: ") as caught:
            registry.load_prior(source)
        assert "\n" not in str(caught.value)
    shutil.rmtree(offline_cache / "snapshots" / NEW / "unet")
    with pytest.raises(ModelError, match=r"offline, and model\.safetensors of org/name at revision main is not in"):
        registry.load_prior("hf://org/name")


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_only_one_weights_file_is_downloaded(hub: FakeHub, tmp_path: Path, suffix: str) -> None:
    folder = write_folder(tmp_path / "m", LAYOUTS["ho"], pipeline=True, suffix=suffix)
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*")}
    if suffix == "safetensors":
        files["unet/diffusion_pytorch_model.bin"] = b"another copy"
    commit = hub.add("org/name", {**files, "vae/model.safetensors": b"not needed", "README.md": b"text"})
    model = fetch("hf://org/name")
    assert registry.load_prior("hf://org/name").info.size == 16
    loaded = {path for path in hub.paths("GET") if "/resolve/" in path}
    weights = f"unet/diffusion_pytorch_model.{suffix}"
    texts = ["README.md", "unet/config.json", "scheduler/scheduler_config.json"]
    assert loaded == {f"/org/name/resolve/{commit}/{file}" for file in (weights, *texts)}
    assert (model.commit, model.files()) == (commit, [weights, *texts])


def test_cached_model_is_used_if_the_hub_fails(hub: FakeHub, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m", LAYOUTS["ho"])
    hub.add("org/name", {path.name: path.read_bytes() for path in folder.iterdir()})
    weights = fetch("hf://org/name").weights
    hub.status = 503
    assert fetch("hf://org/name").weights == weights


def test_damaged_configuration_is_removed(hub: FakeHub, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m", LAYOUTS["ho"])
    hub.add("org/name", {path.name: path.read_bytes() for path in folder.iterdir()})
    config = fetch("hf://org/name").folder / "config.json"
    config.write_bytes(config.read_bytes().replace(b"16", b"32"))
    with pytest.raises(ModelError, match=r"config\.json has the digest"):
        fetch("hf://org/name")
    assert not config.exists()
    assert registry.load_prior("hf://org/name").info.size == 16


def test_repository_without_a_model_is_refused(hub: FakeHub) -> None:
    hub.add("org/name", {"README.md": b"text"})
    with pytest.raises(ModelError, match=r"found neither model\.safetensors nor a UNet2DModel of diffusers"):
        fetch("hf://org/name")


def test_model_of_restorekit_is_not_imported(hub: FakeHub, tmp_path: Path, monkeypatch) -> None:
    hub.add("org/name", {"model.safetensors": (small_model(tmp_path / "m") / "model.safetensors").read_bytes()})
    fetch("hf://org/name")
    with pytest.raises(ModelError, match="found no UNet2DModel of diffusers"):
        import_model("hf://org/name", tmp_path / "imported")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelError, match="offline, and the UNet2DModel of diffusers of org/name at revision main is"):
        import_model("hf://org/name", tmp_path / "imported")
