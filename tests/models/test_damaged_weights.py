"""Weights files that are damaged, or whose header and tensors disagree: every one is refused in one line."""

from __future__ import annotations

import json
import random
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from restorekit.errors import ModelError
from restorekit.models.files import load_any_weights, save_weights
from tests.models.small import CONFIG

TENSORS = CONFIG.build().net.state_dict()
FIRST = "input_blocks.0.0.weight"


def refused(path: Path) -> str:
    """Return the message with which a file is refused: one line."""
    with warnings.catch_warnings(action="error"), pytest.raises(ModelError) as caught:
        load_any_weights(path)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 600 + len(str(path))
    return message


def written(folder: Path, tensors: dict[str, Tensor], header: object) -> Path:
    path = folder / "m.safetensors"
    text = header if isinstance(header, str) else json.dumps(header)
    save_file(tensors, path, metadata={"restorekit": text})
    return path


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("net.blocks", 2147483648),
        ("net.blocks", -1),
        ("net.channels", 2**40),
        ("net.channels", 4096),
        ("net.multipliers", [1] * 100_000),
        ("net.multipliers", [1, 2**62]),
        ("net.attention", [0]),
        ("net.attention", ["\n\x1b[2J"]),
        ("net.in_channels", 2**31),
        ("net.noise_estimator", 2**31),
        ("net.norm_eps", -1.0),
        ("net.norm_eps", float("nan")),
        ("net.dropout", 1),
        ("net.low_res", True),
        ("net.a\nb\x1b[31m", 1),
        ("net", "U-Net"),
        ("schedule.steps", 2**31),
        ("schedule.start", -1e-4),
        ("schedule.end", 0.9999),
        ("schedule.time_scale", float("inf")),
        ("channels", 10**30),
        ("size", 10**30),
        ("passes", 10**9),
        ("family", ["score"]),
        ("family", {"a": 1}),
        ("family", "x\n" * 1000),
        ("classes", "dark"),
    ],
)
def test_headers_with_invalid_values_are_refused(tmp_path: Path, key: str, value: object) -> None:
    header: dict[str, Any] = CONFIG.model_dump()
    section, *rest = key.split(".", 1)
    if rest:
        header[section][rest[0]] = value
    else:
        header[section] = value
    refused(written(tmp_path, TENSORS, header))


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "1" * 5000, "null", "[]", '"a"', "\0"])
def test_headers_that_are_not_a_configuration_are_refused(tmp_path: Path, text: str) -> None:
    assert "header entry" in refused(written(tmp_path, TENSORS, text))


def with_nan(tensors: dict[str, Tensor]) -> None:
    tensors[FIRST] = torch.full_like(tensors[FIRST], torch.nan)


def rename_all(tensors: dict[str, Tensor]) -> None:
    for name in list(tensors):
        tensors[f"\x1b]0;x\n{name}"] = tensors.pop(name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.clear(), rf"{len(TENSORS)} missing: time_embed\.0\.weight, .*, \.\.\.$"),
        (lambda t: t.pop(FIRST), rf"1 missing: {FIRST}$"),
        (lambda t: t.update(more=torch.zeros(1)), "1 unknown: more$"),
        (
            lambda t: t.update({FIRST: torch.zeros(2, 2)}),
            r"1 of another shape: .* \[2, 2\] instead of \[32, 3, 3, 3\]$",
        ),
        (rename_all, r"missing: .*unknown: \\x1b\]0;x\\n"),
        (with_nan, f"{FIRST} contain nan or inf"),
        (lambda t: t.update({FIRST: t[FIRST].long()}), "has the type I64, allowed: F16, BF16, F32, F64"),
        (lambda t: t.update({FIRST: t[FIRST].bool()}), "has the type BOOL"),
        (lambda t: t.update({FIRST: t[FIRST].to(torch.complex64)}), "has the type C64"),
    ],
)
def test_tensors_that_do_not_fit_are_described_in_one_line(
    tmp_path: Path, change: Callable[[dict[str, Tensor]], None], message: str
) -> None:
    tensors = dict(TENSORS)
    change(tensors)
    path = written(tmp_path, tensors, CONFIG.model_dump())
    with pytest.raises(ModelError, match=message):
        load_any_weights(path)
    refused(path)


@pytest.mark.parametrize("seed", range(40))
def test_damaged_files_are_refused_or_loaded(tmp_path: Path, seed: int) -> None:
    path, rng = tmp_path / "m.safetensors", random.Random(seed)
    save_weights(path, TENSORS, CONFIG, torch.float16)
    data = bytearray(path.read_bytes())
    header = 8 + struct.unpack("<Q", data[:8])[0]
    if seed % 4 == 0:
        data = data[: rng.randrange(len(data))]
    else:
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(8 if seed % 4 == 1 else header)] = rng.randrange(256)
    path.write_bytes(data)
    try:
        load_any_weights(path)
    except ModelError:
        refused(path)


def test_full_disk_is_reported_and_the_former_file_is_kept(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "m.safetensors"
    save_weights(path, TENSORS, CONFIG, torch.float16)
    before = path.read_bytes()

    def full(tensors: object, part: Path, metadata: object) -> None:
        part.write_bytes(b"partial")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("restorekit.models.files.save_file", full)
    with pytest.raises(ModelError, match=r"m\.safetensors: cannot be written \(.*No space left on device\)"):
        save_weights(path, TENSORS, CONFIG, torch.float16)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
