"""Results reproduced from their records, and compared with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from restorekit.run.manifest import MANIFEST, digest
from tests.models.small import small_model
from tests.run.test_folder import save

RECIPE = '''
from typing import Annotated
import restorekit as rk

@rk.recipe("scatter", samples=True)
def scatter(y, prior, noise, *, amount: Annotated[float, rk.Option("Amount.", min=0)] = 0.1):
    """Add noise."""
    return y + amount * noise.like(y)
'''


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return small_model(tmp_path / "model")


@pytest.fixture
def out(tmp_path: Path, restorekit, model: Path) -> Path:
    """A folder with two samples of two photos, by a recipe in a file, with a mask for nothing."""
    (tmp_path / "scatter.py").write_text(RECIPE)
    for name in ("a.png", "b.jpg"):
        save(tmp_path / "in" / name, 16, 20, 3)
    words = "--samples", "2", "--seed", "4", "--amount", "0.3", "--model", model, "-o", tmp_path / "out"
    assert restorekit("run", tmp_path / "scatter.py", tmp_path / "in", *words)[0] == 0
    return tmp_path / "out"


@pytest.mark.parametrize("name", ["a-1.png", "a-2.png", "b-1.jpg", "b-2.jpg"])
def test_replay_reproduces_a_result(out: Path, restorekit, name: str) -> None:
    code, text, err = restorekit("replay", out / name)
    target = out / name.replace(".", "-replay.")
    assert (code, text, err) == (0, f"replay: {target} is identical to the recorded result\n", "")
    assert target.read_bytes() == (out / name).read_bytes()


def test_replay_of_a_deleted_result(out: Path, restorekit) -> None:
    expected = digest(out / "a-1.png")
    (out / "a-1.png").unlink()
    code, text, _ = restorekit("replay", out / "a-1.png", "-o", out / "a-1.png", "--json")
    assert code == 0
    assert json.loads(text) == {"result": str(out / "a-1.png"), "output": str(out / "a-1.png"), "identical": True}
    assert digest(out / "a-1.png") == expected


def test_replay_uses_the_inversion_the_options_and_the_encoding_of_the_record(
    tmp_path: Path, restorekit, model: Path
) -> None:
    photo, mask = save(tmp_path / "a.png", 16, 20, 3), tmp_path / "m.png"
    image = Image.new("L", (20, 16), 255)
    image.paste(0, (4, 4, 8, 8))
    image.save(mask)
    target = tmp_path / "out" / "a.webp"
    words = "--mask", mask, "--invert-mask", "--steps", "2", "--output-quality", "40", "--no-lossless"
    assert restorekit("inpaint", photo, *words, "--model", model, "-o", target)[0] == 0
    code, text, _ = restorekit("replay", target)
    assert (code, "is identical" in text) == (0, True)


@pytest.mark.parametrize("name", ["in/a.png", "scatter.py", "model/model.safetensors"])
def test_replay_requires_unchanged_inputs(out: Path, restorekit, tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    kind = {"in/a.png": "source", "scatter.py": "recipe_file", "model/model.safetensors": "models"}[name]
    if kind == "models":
        data = bytearray(file.read_bytes())
        data[-1] ^= 1
        file.write_bytes(data)
    else:
        file.write_bytes(file.read_bytes() + b"\n")
    code, _, err = restorekit("replay", out / "a-1.png")
    assert code == 1
    assert err == f"error: {out / 'a-1.png'}: cannot be reproduced; changed since: {kind}\n"
    assert not (out / "a-1-replay.png").exists()


def test_replay_overwrites_nothing_by_default(out: Path, restorekit) -> None:
    save(out / "a-1-replay.png", 1, 1, 3)
    before = (out / "a-1-replay.png").read_bytes()
    code, _, err = restorekit("replay", out / "a-1.png")
    assert (code, err) == (1, f"error: {out / 'a-1-replay.png'}: exists; --overwrite replaces it\n")
    assert (out / "a-1-replay.png").read_bytes() == before
    assert restorekit("replay", out / "a-1.png", "--overwrite")[0] == 0


def test_replay_requires_a_record(out: Path, restorekit, tmp_path: Path) -> None:
    code, _, err = restorekit("replay", tmp_path / "in" / "a.png")
    assert code == 1
    assert "no record in" in err


def test_verify_reports_missing_and_changed_results(out: Path, restorekit) -> None:
    assert restorekit("verify", out) == (0, "verify: 4 ok\n", "")
    (out / "a-1.png").unlink()
    data = bytearray((out / "b-1.jpg").read_bytes())
    data[-10] ^= 1
    (out / "b-1.jpg").write_bytes(data)
    code, text, err = restorekit("verify", out)
    assert (code, text) == (1, "verify: 1 changed, 1 missing, 2 ok\n")
    assert err.splitlines() == [f"missing: {out / 'a-1.png'}", f"changed: {out / 'b-1.jpg'}"]
    code, text, _ = restorekit("verify", out / "a-2.png", "--json")
    found: dict[str, Any] = json.loads(text)
    assert found == {"results": [{"output": str(out / "a-2.png"), "condition": "ok"}], "counts": {"ok": 1}}


def test_verify_requires_a_manifest(restorekit, tmp_path: Path) -> None:
    code, _, err = restorekit("verify", tmp_path)
    assert (code, f"allowed: a folder with {MANIFEST}" in err) == (1, True)
