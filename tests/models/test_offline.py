"""Nothing is sent to the network when offline, and what is missing is named."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from restorekit.errors import ModelError
from restorekit.models import registry
from restorekit.models.files import CARD, WEIGHTS
from restorekit.models.hub import fetch
from restorekit.models.importers.imports import import_model
from restorekit.models.pull import pull_model
from tests.models.fake_hub import FakeHub
from tests.models.importers.layouts import seeded_tensor
from tests.models.importers.test_diffusers import LAYOUTS, write_folder
from tests.models.small import small_model

# Fails on every socket, before anything of restorekit is imported.
COMMAND = """
import socket, sys

def fail(*_, **__):
    raise SystemExit("a socket was used")

socket.socket.__init__ = socket.socket.connect = socket.create_connection = socket.getaddrinfo = fail
from restorekit.cli import app
app.main()
"""


@pytest.fixture
def no_socket(monkeypatch) -> list[str]:
    """Make every socket fail; returns the attempts, which a library may hide."""
    from huggingface_hub import utils

    attempts: list[str] = []
    # The connections that are open could be used again.
    getattr(utils, "close_session", lambda: None)()

    def fail(*arguments, **_):
        attempts.append(repr(arguments))
        raise AssertionError("a socket was used")

    for name in ("__init__", "connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, fail)
    for name in ("create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, fail)
    return attempts


@pytest.fixture
def cache(hub: FakeHub, tmp_path: Path) -> Path:
    """A cache with org/name@v1 and with a model of diffusers, org/unet; the card of the first is not in it."""
    weights = (small_model(tmp_path / "m") / WEIGHTS).read_bytes()
    hub.add("org/name", {WEIGHTS: weights, CARD: b"text"}, branch="v1")
    folder = write_folder(tmp_path / "unet", LAYOUTS["ho"], pipeline=True)
    hub.add("org/unet", {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*")})
    for source in ("hf://org/name@v1", "hf://org/unet"):
        fetch(source)
    hub.requests.clear()
    return tmp_path / "hub"


@pytest.fixture(params=["variable", "constant"])
def offline(request, monkeypatch) -> None:
    """Forbid connections by the environment, or as huggingface_hub does that was imported with it."""
    if request.param == "variable":
        monkeypatch.setenv("HF_HUB_OFFLINE", "true")
    else:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def test_models_in_the_cache_are_used_without_a_socket(
    cache: Path, offline, no_socket: list[str], restorekit, tmp_path: Path
) -> None:
    x, sigma = seeded_tensor("x", (1, 3, 16, 16)), torch.tensor([0.5])
    loaded = registry.load_prior("hf://org/name@v1")(x, sigma)
    assert torch.equal(loaded, registry.load_prior(tmp_path / "m")(x, sigma))
    assert registry.load_prior("hf://org/unet").info.size == 16
    assert pull_model("hf://org/name@v1", tmp_path / "copy").weights.is_file()
    import_model("hf://org/unet", tmp_path / "imported")
    for words in (
        ["models", "list"],
        ["models", "info", "hf://org/name@v1"],
        ["models", "verify", "hf://org/unet", "hf://org/name@v1", str(tmp_path / "imported")],
    ):
        assert restorekit(*words)[0::2] == (0, "")
    assert no_socket == []


def test_missing_files_are_named_without_a_socket(cache: Path, offline, no_socket: list[str]) -> None:
    unet = fetch("hf://org/unet")
    (unet.folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    for source, missing in (
        ("hf://org/none", "model.safetensors of org/none at revision main"),
        ("hf://org/name", "model.safetensors of org/name at revision main"),
        ("hf://org/name@v2", "model.safetensors of org/name at revision v2"),
        ("hf://org/name@../refs/v1", "model.safetensors of org/name at revision ../refs/v1"),
        ("hf://org/unet", "unet/diffusion_pytorch_model.safetensors of org/unet at revision main"),
    ):
        with pytest.raises(ModelError) as caught:
            fetch(source)
        assert str(caught.value) == f"model {source}: offline, and {missing} is not in the cache, {cache}"
    assert no_socket == []


def test_offline_option_restores_without_a_socket(cache: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (18, 20, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    environment = {
        **os.environ,
        "HF_HUB_CACHE": str(cache),
        "HF_HOME": str(tmp_path / "home"),
        "RESTOREKIT_PLUGINS": "",
    }
    environment.pop("HF_HUB_OFFLINE", None)

    def run(source: str) -> subprocess.CompletedProcess[str]:
        words = ["--offline", "denoise", str(tmp_path / "photo.png"), "--sigma", "9", "--model", source]
        command = [sys.executable, "-c", COMMAND, *words, "-o", str(tmp_path / "result.png")]
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    done = run("hf://org/name@v2")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "offline, and model.safetensors of org/name at revision v2 is not in the cache" in done.stderr
    done = run("hf://org/name@v1")
    assert (done.returncode, (tmp_path / "result.png").is_file()) == (0, True), done.stderr


def test_online_loading_uses_a_socket(cache: Path, no_socket: list[str]) -> None:
    with pytest.raises(AssertionError, match="a socket was used"):
        fetch("hf://org/none")
