"""Damaged weights files of deepinv: every one is refused in one line."""

from __future__ import annotations

import pickle
import random
import warnings
from pathlib import Path

import pytest
import torch

import restorekit as rk

models = pytest.importorskip("deepinv.models")
SIZES = {"in_channels": 3, "out_channels": 3, "nc": (8, 8, 12, 16), "nb": 1, "pretrained": None}
NETWORKS = {
    "drunet": models.DRUNet(**SIZES),
    "gsdrunet": models.GSDRUNet(**SIZES),
    "ffdnet": models.FFDNet(n_conv_layers=4, nf=8, img_channels=3, pretrained=None),
}
HEADS = {"drunet": "m_head.weight", "gsdrunet": "student_grad.model.m_head.weight", "ffdnet": "blocks.0.0.weight"}
NAMES = pytest.mark.parametrize("name", NETWORKS)


def refused(name: str, path: Path) -> str:
    """Return the message with which a file is refused: one line."""
    with warnings.catch_warnings(action="error"), pytest.raises(rk.ModelError) as caught:
        rk.load_prior(f"deepinv:{name}@{path}")
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 700 + len(str(path))
    return message


CHANGES = {
    "empty": lambda weights, head: weights.clear(),
    "head missing": lambda weights, head: weights.pop(head),
    "another missing": lambda weights, head: weights.pop(list(weights)[1]),
    "additional": lambda weights, head: weights.update({"x\n\x1b[2J": torch.zeros(1)}),
    "number as name": lambda weights, head: weights.update({3: torch.zeros(1)}),
    "text as tensor": lambda weights, head: weights.update({head: "x"}),
    "None as tensor": lambda weights, head: weights.update({head: None}),
    "list as tensor": lambda weights, head: weights.update({head: [1.0]}),
    "scalar": lambda weights, head: weights.update({head: torch.tensor(1.0)}),
    "no values": lambda weights, head: weights.update({head: torch.zeros(0, 4, 3, 3)}),
    "vector": lambda weights, head: weights.update({head: torch.zeros(8)}),
    "other shape": lambda weights, head: weights.update({head: torch.zeros(8, 1, 3, 3)}),
    "integers": lambda weights, head: weights.update({head: weights[head].long()}),
    "complex": lambda weights, head: weights.update({head: weights[head].to(torch.complex64)}),
    "nan": lambda weights, head: weights.update({head: torch.full_like(weights[head], torch.nan)}),
    "sparse": lambda weights, head: weights.update({head: weights[head].flatten(1).to_sparse()}),
    "on no device": lambda weights, head: weights.update({head: weights[head].to("meta")}),
    "gigantic view": lambda weights, head: weights.update({head: torch.zeros(1).expand(10**6, 10**6, 3, 3)}),
    "state_dict is a list": lambda weights, head: weights.update(state_dict=[1]),
    "state_dict is empty": lambda weights, head: weights.update(state_dict={}),
}


@NAMES
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_files_with_wrong_content_are_refused(tmp_path: Path, name: str, change) -> None:
    weights = dict(NETWORKS[name].state_dict())
    change(weights, HEADS[name])
    torch.save(weights, tmp_path / "w.pth")
    assert (
        "the weights are not those of" in (message := refused(name, tmp_path / "w.pth")) or "not a weights" in message
    )


def test_gigantic_networks_are_not_built(tmp_path: Path) -> None:
    weights = dict(NETWORKS["drunet"].state_dict())
    weights["m_down1.1.weight"] = torch.zeros(10**6, 1)
    torch.save(weights, tmp_path / "w.pth")
    assert "the weights are not those of drunet" in refused("drunet", tmp_path / "w.pth")


@pytest.mark.parametrize("content", [None, 3, "text", [1], torch.zeros(2), {"a": {"b": 1}}], ids=repr)
def test_other_files_of_torch_are_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "w.pth")
    assert "not a weights file" in refused("drunet", tmp_path / "w.pth")


@pytest.mark.parametrize(
    "data", [b"", b"\x80\x04.", b"\x80\x02K\x01.", b"PK\x03\x04", pickle.dumps({"a": 1})], ids=repr
)
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "w.pth").write_bytes(data)
    assert "not a weights file" in refused("ffdnet", tmp_path / "w.pth")


def test_folders_are_refused(tmp_path: Path) -> None:
    assert "not a weights file" in refused("ffdnet", tmp_path)


@pytest.mark.parametrize("seed", range(40))
def test_damaged_bytes_are_refused_or_loaded(tmp_path: Path, seed: int) -> None:
    path, rng = tmp_path / "w.pth", random.Random(seed)
    torch.save(NETWORKS["ffdnet"].state_dict(), path)
    data = bytearray(path.read_bytes())
    if seed % 4 == 0:
        data = data[: rng.randrange(len(data))]
    else:
        # The pickle is at the start, the directory at the end.
        first, last = [(0, 2000), (len(data) - 2000, len(data)), (0, len(data))][seed % 4 - 1]
        for _ in range(rng.randint(1, 6)):
            data[rng.randrange(first, last)] = rng.randrange(256)
    path.write_bytes(data)
    try:
        rk.load_prior(f"deepinv:ffdnet@{path}")
    except rk.ModelError:
        refused("ffdnet", path)
