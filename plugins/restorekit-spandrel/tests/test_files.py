"""Checkpoint files: formats that are read, and files that are refused in one line. Nothing in a file is executed."""

from __future__ import annotations

import os
import pickle
import random
import shutil
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import restorekit_spandrel as rs
import torch
from safetensors.torch import save_file
from torch import nn

import restorekit as rk
from restorekit.testing import photo, run_command

spandrel = pytest.importorskip("spandrel")

Saved = Callable[..., Path]
pytestmark = pytest.mark.filterwarnings("ignore:torch.meshgrid", "ignore:.*torch.jit")


def refused(path: Path, load: Callable[[Path], Any] = rs.load_enhancer) -> str:
    """Return the message with which a file is refused: one line that contains its path."""
    with warnings.catch_warnings(action="error"), pytest.raises(rk.ModelError) as caught:
        load(path)
    message = str(caught.value)
    assert message.isprintable()
    assert str(path) in message
    assert len(message) < 700 + len(str(path))
    return message


WRAPPERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "alone": lambda weights: weights,
    "BasicSR": lambda weights: {"params_ema": weights, "params": {}},
    "half precision": lambda weights: {name: value.half() for name, value in weights.items()},
    "DataParallel": lambda weights: {f"module.{name}": value for name, value in weights.items()},
    "with an epoch": lambda weights: {"state_dict": weights, "epoch": 3},
}


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_wrappers_of_state_dicts_are_removed(tmp_path: Path, build, wrap) -> None:
    weights = build("grey DnCNN").state_dict()
    torch.save(wrap(dict(weights)), tmp_path / "w.pth")
    found = rs.load_enhancer(tmp_path / "w.pth").net.state_dict()
    for name, value in weights.items():
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-3)
        assert found[name].dtype == torch.float32


def test_safetensors_files_are_read(tmp_path: Path, build) -> None:
    weights = build("ESRGAN").state_dict()
    save_file(weights, tmp_path / "w.safetensors")
    found = rs.load_enhancer(tmp_path / "w.safetensors").net.state_dict()
    assert all(torch.equal(found[name], value) for name, value in weights.items())


@pytest.mark.parametrize("suffix", [".pt", ".pth"])
def test_tensors_of_torchscript_files_are_read_without_running_them(
    tmp_path: Path, build, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    net, y = build("grey DnCNN"), photo(16, 20, channels=1)
    torch.jit.trace(net, (y + 1) / 2).save(tmp_path / f"w{suffix}")
    monkeypatch.setattr(torch.jit, "load", None)
    network = rs.load_enhancer(tmp_path / f"w{suffix}")
    with torch.no_grad():
        expected = 2 * net((y + 1) / 2).clamp(0, 1) - 1
        torch.testing.assert_close(network(y), expected)


class Runs:
    """An object whose pickle runs a command when it is read."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.file),)


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".ckpt", ".safetensors", ".bin"])
@pytest.mark.parametrize("kind", ["torch", "legacy torch", "pickle", "TorchScript"])
def test_malicious_pickles_are_not_executed(tmp_path: Path, build, suffix: str, kind: str) -> None:
    path, trace = tmp_path / f"w{suffix}", tmp_path / "executed"
    content = {"first": Runs(trace), **build("grey DnCNN").state_dict()}
    if kind == "pickle":
        path.write_bytes(pickle.dumps(content))
    elif kind == "TorchScript":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("w/data.pkl", pickle.dumps(content))
            archive.writestr("w/constants.pkl", pickle.dumps(()))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind == "torch")
    message = refused(path)
    assert not trace.exists()
    if kind == "torch" and suffix != ".safetensors":
        assert "contains posix.mkdir" in message or "contains os.mkdir" in message
    for command in ("enhance", "fill"):
        words = ["--mask", tmp_path / "m.png"] if command == "fill" else []
        (tmp_path / "a.png").write_bytes(b"")
        assert run_command(command, tmp_path / "a.png", "--weights", path, *words)[0] != 0
    assert run_command("denoise", tmp_path / "a.png", "--model", f"spandrel:{path}")[0] != 0
    assert not trace.exists()
    pickle.loads(pickle.dumps(Runs(trace)))
    assert trace.exists(), "the pickle is malicious"


CHANGES: dict[str, tuple[Callable[[dict[Any, Any]], object], str]] = {
    "empty": (lambda w: w.clear(), "allowed: a dict of tensors"),
    "unknown names": (lambda w: (w.clear(), w.update(x=torch.zeros(1))), "not a network that spandrel .* knows"),
    "layer missing": (lambda w: w.pop("model.4.bias"), "not a network|do not fit"),
    "other shape": (lambda w: w.update({"model.4.weight": torch.zeros(3, 1, 3, 3)}), "do not fit"),
    "scalar": (lambda w: w.update({"model.0.weight": torch.tensor(1.0)}), "do not fit"),
    "number as name": (lambda w: w.update({3: torch.zeros(1)}), "keys that are no names"),
    "number in a wrapper": (lambda w: (w.clear(), w.update(params={1: torch.zeros(1)})), "keys that are no names"),
    "text as tensor": (lambda w: w.update({"model.4.bias": "x"}), "model.4.bias is str, allowed: a dense tensor"),
    "sparse": (lambda w: w.update({"model.4.bias": torch.zeros(8).to_sparse()}), "is Tensor, allowed: a dense tensor"),
    "gigantic view": (
        lambda w: w.update({"model.4.weight": torch.zeros(1).expand(10**5, 10**5, 3, 3)}),
        "more than the file contains",
    ),
}


@pytest.mark.parametrize(("change", "message"), CHANGES.values(), ids=CHANGES)
def test_files_with_wrong_content_are_refused(tmp_path: Path, build, change, message: str) -> None:
    weights = dict(build("grey DnCNN").state_dict())
    change(weights)
    torch.save(weights, tmp_path / "w.pth")
    found = refused(tmp_path / "w.pth")
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(found)


@pytest.mark.parametrize("data", [b"", b"text", b"\x80\x04.", b"PK\x03\x04", pickle.dumps({"a": 1})], ids=repr)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".pt"])
def test_other_files_are_refused(tmp_path: Path, data: bytes, suffix: str) -> None:
    (tmp_path / f"w{suffix}").write_bytes(data)
    refused(tmp_path / f"w{suffix}")


@pytest.mark.parametrize("seed", range(12))
def test_damaged_torchscript_files_are_refused_or_loaded(tmp_path: Path, build, seed: int) -> None:
    path, rng = tmp_path / "w.pt", random.Random(seed)
    torch.jit.trace(build("grey DnCNN"), torch.zeros(1, 1, 8, 8)).save(path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: bytearray(archive.read(name)) for name in archive.namelist()}
    name = next(name for name in parts if name.endswith("/data.pkl"))
    for _ in range(rng.randint(1, 6)):
        parts[name][rng.randrange(len(parts[name]))] = rng.randrange(256)
    if seed % 4 == 0:
        parts.pop(next(name for name in parts if "/data/" in name))
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, bytes(data))
    try:
        rs.load_enhancer(path)
    except rk.ModelError:
        refused(path)


def test_networks_for_another_recipe_are_refused(small_lama, saved: Saved, tmp_path: Path) -> None:
    lama, esrgan = saved("LaMa", "lama.pth"), saved("ESRGAN", "esrgan.pth")
    assert "LaMa fills holes, allowed: `restorekit fill`" in refused(lama)
    assert "ESRGAN fills no holes, allowed: `restorekit enhance`" in refused(esrgan, rs.load_filler)
    assert "LaMa fills holes, allowed: a denoiser" in refused(lama, lambda path: rs.load(str(path)))
    message = "ESRGAN enlarges images by a factor of 4, allowed: a denoiser"
    assert message in refused(esrgan, lambda path: rs.load(str(path)))


def test_networks_with_other_channels_are_refused(tmp_path: Path) -> None:
    from spandrel.architectures.ESRGAN import ESRGAN

    torch.save(ESRGAN(in_nc=3, out_nc=1, num_filters=8, num_blocks=1).state_dict(), tmp_path / "w.pth")
    assert "found ESRGAN with 3 channels to 1, allowed: 1 to 1, or 3 to 3" in refused(tmp_path / "w.pth")


def test_missing_files_are_refused(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "w.pth", lambda path: rs.load(str(path)))
    with pytest.raises(rk.ModelError, match=r"enhance weights: .*w.pth: no such file"):
        rk.enhance(photo(8, 8), weights=tmp_path / "w.pth")


def test_tensors_that_are_no_buffers_move_with_the_network(build, saved: Saved) -> None:
    network = rs.load_enhancer(saved("SwinIR"))
    plain = [name for module in network.modules() for name, v in vars(module).items() if isinstance(v, torch.Tensor)]
    assert plain == []
    assert isinstance(build("SwinIR").mean, torch.Tensor)
    moved = network.to(memory_format=torch.channels_last)
    assert all(p.is_contiguous() for p in moved.parameters())


def test_random_numbers_of_a_network_are_those_of_no_one_else(saved: Saved) -> None:
    network = rs.load_enhancer(saved("NAFNet"))

    class Random(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.rand_like(x)

    network._descriptor._model = Random()
    state = torch.random.get_rng_state()
    first = network(torch.zeros(2, 3, 8, 8))
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.rand(3)
    assert torch.equal(network(torch.zeros(2, 3, 8, 8)), first)
    assert torch.equal(first[0], first[1])


def test_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "w.pth").mkdir()
    assert "no such file" in refused(tmp_path / "w.pth")
    shutil.rmtree(tmp_path / "w.pth")
