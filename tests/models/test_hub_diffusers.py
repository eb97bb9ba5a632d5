"""Priors straight from a repository of diffusers on the Hub, which is faked by its cache."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from restorekit.errors import ModelError
from restorekit.models import registry
from restorekit.models.importers.imports import import_model
from tests.models.importers.layouts import seeded_tensor
from tests.models.importers.test_diffusers import LAYOUTS, write_folder

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
    with pytest.raises(ModelError, match=r"found neither model\.safetensors nor a UNet2DModel of diffusers"):
        registry.load_prior("hf://org/name")


def test_only_one_weights_file_is_downloaded(tmp_path: Path, monkeypatch) -> None:
    from huggingface_hub.errors import EntryNotFoundError

    requests = []

    def no_file(name, file, **_):
        raise EntryNotFoundError(f"404: no {file} in {name}")

    def snapshot(name, *, revision, library_name, allow_patterns):
        files = [pattern for pattern in allow_patterns if "diffusion_pytorch_model" in pattern]
        requests.append((name, revision, files))
        return str(write_folder(tmp_path / "snapshot", LAYOUTS["ho"]))

    monkeypatch.setattr("huggingface_hub.hf_hub_download", no_file)
    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    assert registry.load_prior("hf://org/name@v1").info.size == 16
    name = "diffusion_pytorch_model.safetensors"
    assert requests == [("org/name", "v1", [name, f"unet/{name}"])]
