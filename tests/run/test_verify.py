"""Results compared with their records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from restorekit.run.manifest import MANIFEST
from tests.models.small import small_model
from tests.run.test_folder import save
from tests.run.test_replay import RECIPE


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return small_model(tmp_path / "model")


@pytest.fixture
def out(tmp_path: Path, restorekit, model: Path) -> Path:
    """A folder with two samples of two photos."""
    for name in ("a.png", "b.jpg"):
        save(tmp_path / "in" / name, 16, 20, 3)
    assert restorekit(*command(tmp_path, seed=4))[0] == 0
    return tmp_path / "out"


def command(folder: Path, seed: int) -> tuple[object, ...]:
    (folder / "scatter.py").write_text(RECIPE)
    words = "--samples", "2", "--seed", seed, "--model", folder / "model", "-o", folder / "out"
    return "run", folder / "scatter.py", folder / "in", *words


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


def test_verify_accepts_an_earlier_result(out: Path, restorekit, tmp_path: Path) -> None:
    before = (out / "a-1.png").read_bytes()
    assert restorekit(*command(tmp_path, seed=5))[0] == 0
    (out / "a-1.png").write_bytes(before)
    assert restorekit("verify", out)[:2] == (0, "verify: 4 ok\n")
    assert restorekit("verify", out / "a-1.png")[:2] == (0, "verify: 1 ok\n")


def test_verify_counts_every_file_once(out: Path, restorekit, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(out)
    assert restorekit("verify", out, out / "a-1.png", tmp_path / "link")[1] == "verify: 4 ok\n"


def test_verify_reports_images_without_a_record(out: Path, restorekit) -> None:
    save(out / "new.png", 4, 4, 3)
    (out / "notes.txt").write_text("")
    assert restorekit("verify", out) == (0, "verify: 4 ok, 1 unknown\n", f"unknown: {out / 'new.png'}\n")


def test_photos_of_results_next_to_them_are_not_unknown(tmp_path: Path, restorekit, model: Path) -> None:
    photo = save(tmp_path / "in" / "a.png", 16, 16, 3)
    assert restorekit("denoise", photo, "--sigma", "25", "--model", model)[0] == 0
    assert restorekit("verify", photo.parent) == (0, "verify: 1 ok\n", "")


def test_verify_fails_for_unreadable_results(out: Path, restorekit) -> None:
    (out / "a-1.png").unlink()
    (out / "a-1.png").mkdir()
    code, text, err = restorekit("verify", out)
    assert (code, text, err) == (1, "verify: 3 ok, 1 unreadable\n", f"unreadable: {out / 'a-1.png'}\n")


def test_verify_requires_a_manifest(restorekit, tmp_path: Path) -> None:
    code, _, err = restorekit("verify", tmp_path)
    assert (code, f"allowed: a folder with {MANIFEST}" in err) == (1, True)
