"""`restorekit models`: list, info, pull, push and verify; restoring with a model of the Hub."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restorekit.cli.terminal import print_table
from restorekit.core.files import file_sha256
from restorekit.models import registry
from restorekit.models.files import CARD, WEIGHTS
from restorekit.models.registry import bundled_models
from restorekit.run.manifest import Manifest
from tests.models.fake_hub import FakeHub
from tests.models.small import small_model


@pytest.fixture
def published(hub: FakeHub, tmp_path: Path) -> str:
    """A model on the Hub, v1 of org/name; returns its commit."""
    weights = (small_model(tmp_path / "m") / WEIGHTS).read_bytes()
    return hub.add("org/name", {WEIGHTS: weights, CARD: b"---\nlicense: mit\n---\n"}, branch="v1")


def table(text: str) -> dict[str, str]:
    """The rows of a table with two columns."""
    return dict(re.split(r" {2,}", line, maxsplit=1) for line in text.splitlines() if line[:1].strip())


def test_bundled_and_pulled_models_are_listed(restorekit, hub: FakeHub, published: str) -> None:
    names = [model.name for model in bundled_models()]
    assert [line.split()[0] for line in restorekit("models")[1].splitlines()[1:]] == names
    hub.add("org/other", {WEIGHTS: b"\x02\0\0\0\0\0\0\0{}"})
    assert restorekit("models", "pull", "hf://org/name@v1")[0] == 0
    assert restorekit("models", "pull", "hf://org/other")[0] == 1
    code, out, _ = restorekit("models", "list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[1:]] == [*names, "hf://org/name@v1"]
    assert restorekit("models")[1] == out
    facts = json.loads(restorekit("models", "list", "--json")[1])
    assert facts == json.loads(restorekit("models", "--json")[1])
    assert [fact["name"] for fact in facts] == [*names, "hf://org/name@v1"]
    assert facts[-1].items() >= {"family": "epsilon", "channels": 3, "size": 16, "classes": []}.items()
    code, _, err = restorekit("models", "--json", "verify", "ddpm-photo")
    assert (code, "restorekit models verify --json" in err) == (2, True)


def test_information_is_printed_as_a_table_and_as_json(restorekit, monkeypatch) -> None:
    monkeypatch.setattr("restorekit.run.device_memory.available_bytes", lambda device: 10**8)
    code, out, _ = restorekit("models", "info", "guided-scenes", "--device", "cpu")
    rows = table(out)
    assert code == 0
    assert rows["parameters"] == "9,929,734 (F16)"
    assert rows["classes"] == "6: buildings, forest, glacier, mountain, sea, street"
    assert rows["window"] == "64 x 64 pixels, 3 channels"
    assert rows["licence"] == "apache-2.0"
    assert rows["quality"].startswith("Bits per dimension 4.42")
    assert rows["sha256"].endswith(" (as recorded)")
    assert rows["memory"].startswith("39.7 MB for the weights, ")
    assert rows["memory"].endswith("(float32); fits: 100.0 MB are available on cpu")
    monkeypatch.setattr("restorekit.run.device_memory.available_bytes", lambda device: 40_000_000)
    assert "does not fit: 40.0 MB" in restorekit("models", "info", "guided-scenes")[1]
    monkeypatch.setattr("restorekit.run.device_memory.available_bytes", lambda device: None)
    assert "available memory of cpu is unknown" in restorekit("models", "info", "guided-scenes", "--device", "cpu")[1]
    facts = json.loads(restorekit("models", "info", "ddpm-photo", "--json")[1])
    assert facts["memory"].items() >= {"weights": 4 * facts["parameters"], "fits": None}.items()
    assert facts["config"]["prediction"] == "v"
    measured = {(row["task"], row["data"], row["setting"], row["metric"]): row["value"] for row in facts["measured"]}
    card = registry.find_weights("ddpm-photo").with_name(CARD).read_text("utf-8")
    assert f"value: {measured['Denoising', 'CBSD68', 'sigma 25', 'SSIM']}" in card


def test_unusual_cards_are_printed_without_escapes(restorekit, tmp_path: Path) -> None:
    folder = small_model(tmp_path / "m")
    (folder / CARD).write_text(
        "---\nlicense: 2026-01-02\ndatasets: {a: b}\nmodel-index:\n- results:\n"
        "  - {task: {type: a}, dataset: {name: 2026-01-02}, metrics: [{type: b, value: 2026-01-02}]}\n---\n"
    )
    for words in ([], ["--json"]):
        code, out, err = restorekit("models", "info", folder, "--device", "cpu", *words)
        assert (code, err) == (0, "")
        assert "{'a': 'b'}" in out


def test_cells_of_tables_have_no_escapes(capsys) -> None:
    print_table(["", ""], [["a\x1b[2J", "b\rc\nd"]])
    assert capsys.readouterr().out.split() == [r"a\x1b[2J", r"b\rc", "d"]


def test_unknown_names_and_devices_are_one_line(restorekit) -> None:
    code, _, err = restorekit("models", "info", "ddpm-foto")
    assert (code, err.count("\n")) == (1, 1)
    assert "Did you mean 'ddpm-photo'" in err
    assert restorekit("models", "info", "ddpm-photo", "--device", "tpu")[0] == 2


def test_pull_prints_path_commit_and_digest(restorekit, published: str, tmp_path: Path) -> None:
    code, out, err = restorekit("models", "pull", "hf://org/name@v1", "-o", tmp_path / "copy")
    weights = tmp_path / "copy" / WEIGHTS
    assert (code, err) == (0, "")
    assert table(out) == {"path": str(weights), "commit": published, "sha256": file_sha256(weights)}
    for words in (["ddpm-photo"], ["hf://org/none"], ["hf://org/name@v1", "-o", tmp_path / "copy"]):
        code, out, err = restorekit("models", "pull", *words)
        assert (code, out, err.count("\n")) == (1, "", 1)


@pytest.mark.filterwarnings("ignore:Use 'content=")
def test_push_prints_the_commit(restorekit, hub: FakeHub, tmp_path: Path) -> None:
    folder = small_model(tmp_path / "m")
    rows = tmp_path / "rows.json"
    rows.write_text(json.dumps([{"sigma": 25, "method": str(folder), "PSNR (dB)": 31.1, "SSIM": 0.9}]))
    words = ["models", "push", folder, "org/name", "--private", "--revision", "v2"]
    code, out, err = restorekit(*words, "--metrics", rows, "--dataset", "CBSD68")
    repository = hub.repositories["org/name"]
    commit = repository.branches["v2"]
    assert (code, out, err) == (0, f"{hub.url}/org/name/commit/{commit}\n", "")
    assert repository.is_private
    assert b"value: 31.1" in repository.commits[commit][CARD]
    code, _, err = restorekit(*words, "--metrics", rows)
    assert (code, "--metrics and --dataset" in err) == (2, True)


def test_verification_reports_every_model(restorekit, tmp_path: Path) -> None:
    folder = small_model(tmp_path / "m")
    code, out, err = restorekit("models", "verify", "ddpm-photo", folder)
    assert code == 0
    assert re.fullmatch(r"ok: ddpm-photo: sha256 \w{64}\n", out)
    assert err.startswith(f"unknown: {folder}: no digest of ")
    (folder / "SHA256SUMS").write_text(f"{'0' * 64}  {WEIGHTS}\n")
    code, out, err = restorekit("models", "verify", folder, "ddpm-foto")
    assert (code, out) == (1, "")
    assert [line.split(":")[0] for line in err.splitlines()] == ["changed", "missing"]
    code, out, _ = restorekit("models", "verify", "--json", folder, "ddpm-photo")
    assert (code, [found["condition"] for found in json.loads(out)]) == (1, ["changed", "ok"])


def test_records_pin_the_commit_and_replay_uses_it(restorekit, hub: FakeHub, published: str, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (18, 20, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    result = tmp_path / "out" / "photo.png"
    words = ["denoise", tmp_path / "photo.png", "--sigma", "9", "-o", tmp_path / "out"]
    assert restorekit(*words, "--model", "hf://org/name@v1")[0] == 0
    (record,) = Manifest(result.parent).records("photo.png")
    assert record.models["model"] == f"hf://org/name@{published}"
    assert record.request["models"]["model"] == file_sha256(tmp_path / "m" / WEIGHTS)
    other = bytearray((tmp_path / "m" / WEIGHTS).read_bytes())
    other[-1] ^= 1
    hub.add("org/name", {WEIGHTS: bytes(other)}, branch="v1")
    code, out, _ = restorekit("replay", result)
    assert (code, "identical" in out) == (0, True)


def test_record_is_that_of_the_model_that_was_loaded(
    restorekit, hub: FakeHub, published: str, tmp_path: Path, monkeypatch
) -> None:
    load = registry.load_prior

    def load_while_the_branch_moves(source: str):
        prior = load(source)
        hub.add("org/name", {WEIGHTS: (tmp_path / "m" / WEIGHTS).read_bytes()[:-1] + b"?"}, branch="v1")
        return prior

    monkeypatch.setattr(registry, "load_prior", load_while_the_branch_moves)
    Image.new("RGB", (20, 18), (9, 99, 199)).save(tmp_path / "photo.png")
    words = ["denoise", tmp_path / "photo.png", "--sigma", "9", "-o", tmp_path / "out"]
    assert restorekit(*words, "--model", "hf://org/name@v1")[0] == 0
    (record,) = Manifest(tmp_path / "out").records("photo.png")
    assert hub.repositories["org/name"].branches["v1"] != published
    assert record.models["model"] == f"hf://org/name@{published}"
    assert record.request["models"]["model"] == file_sha256(tmp_path / "m" / WEIGHTS)
