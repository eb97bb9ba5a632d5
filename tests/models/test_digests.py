"""Recorded digests of weights, and `restorekit models verify`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from restorekit.core.files import file_sha256
from restorekit.core.reserved import BUNDLED
from restorekit.models.digests import SUMS, read_sums, recorded_sha256, verify_model, write_sums
from restorekit.models.files import WEIGHTS, save_weights
from restorekit.models.hub import fetch
from restorekit.models.importers.imports import import_model
from restorekit.models.registry import bundled_models
from tests.models.fake_hub import FakeHub
from tests.models.importers.test_diffusers import LAYOUTS, write_folder
from tests.models.small import CONFIG, small_model


def test_digests_of_bundled_models_are_current() -> None:
    found = {path.relative_to(BUNDLED).as_posix(): file_sha256(path) for path in BUNDLED.glob(f"*/{WEIGHTS}")}
    hint = f"to update: cd {BUNDLED.name} && sha256sum */{WEIGHTS} > {SUMS}"
    assert read_sums(BUNDLED / SUMS) == found, hint
    model = bundled_models()[0]
    assert verify_model(model.name).condition == "ok"
    assert verify_model(model.name).sha256 == file_sha256(model.path)


def test_changed_weights_are_found(tmp_path: Path) -> None:
    folder = small_model(tmp_path / "m")
    assert verify_model(str(folder)).condition == "unknown"
    write_sums(folder, [WEIGHTS], "hf://org/name@1")
    assert verify_model(str(folder)).condition == "ok"
    assert verify_model(str(folder / WEIGHTS)).condition == "ok"
    with (folder / WEIGHTS).open("rb+") as file:
        file.seek(-1, 2)
        file.write(b"?")
    found = verify_model(str(folder))
    assert found.condition == "changed"
    assert found.sha256 == file_sha256(folder / WEIGHTS)
    assert str(recorded_sha256(folder / WEIGHTS)) in found.detail


def test_weights_that_cannot_be_loaded_are_damaged_or_missing(tmp_path: Path) -> None:
    folder = small_model(tmp_path / "m")
    save_weights(folder / WEIGHTS, {}, CONFIG, None)
    write_sums(folder, [WEIGHTS], "here")
    assert verify_model(str(folder)).condition == "damaged"
    assert "do not fit the network" in verify_model(str(folder)).detail
    for name in ("ddpm-foto", str(tmp_path / "none")):
        assert (verify_model(name).condition, verify_model(name).sha256) == ("missing", None)


def test_imported_models_record_their_digest(tmp_path: Path) -> None:
    import_model(write_folder(tmp_path / "source", LAYOUTS["ho"]), tmp_path / "m")
    assert verify_model(str(tmp_path / "m")).condition == "ok"
    assert (tmp_path / "m" / SUMS).read_text().startswith("# source\n")


def test_nothing_is_downloaded_for_verification(hub: FakeHub, tmp_path: Path) -> None:
    hub.add("org/name", {WEIGHTS: (small_model(tmp_path / "m") / WEIGHTS).read_bytes()})
    assert verify_model("hf://org/name").condition == "missing"
    assert hub.requests == []
    fetch("hf://org/name")
    hub.requests.clear()
    assert verify_model("hf://org/name").condition == "ok"
    assert hub.requests == []


def test_verification_keeps_damaged_files_of_the_cache(hub: FakeHub, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m", LAYOUTS["ho"])
    hub.add("org/unet", {path.name: path.read_bytes() for path in folder.iterdir()})
    hub.add("org/name", {WEIGHTS: (small_model(tmp_path / "s") / WEIGHTS).read_bytes()})
    for source, file in (("hf://org/name", WEIGHTS), ("hf://org/unet", "config.json")):
        model = fetch(source)
        path = model.folder / file
        content = path.read_bytes().replace(b"16", b"32", 1)
        path.write_bytes(content if file == "config.json" else content[:-1] + b"?")
        hub.requests.clear()
        found = verify_model(source)
        assert (found.condition, found.sha256) == ("changed", file_sha256(model.weights))
        assert f"{path} has the digest " in found.detail
        assert path.is_file()
        assert hub.requests == []


def test_detail_of_a_missing_model_has_no_prefix() -> None:
    assert verify_model("nonsense").detail.startswith("unknown model 'nonsense'")


def test_models_of_plugins_have_no_digest(monkeypatch) -> None:
    monkeypatch.setattr("restorekit.models.digests.family_of", lambda model: ("family", "text"))
    assert verify_model("family:text").condition == "unknown"


def test_lines_of_a_list_are_those_of_sha256sum(tmp_path: Path) -> None:
    digest = "0123456789abcdef" * 4
    (tmp_path / SUMS).write_text(f"# from here\n{digest}  a/b.safetensors\n{digest} *c d\nnot a line\n")
    assert read_sums(tmp_path / SUMS) == {"a/b.safetensors": digest, "c d": digest}
    assert read_sums(tmp_path / "none") == {}
    (tmp_path / "m").mkdir()
    write_sums(tmp_path, [SUMS], "a name\nwith two lines")
    assert len((tmp_path / SUMS).read_text().splitlines()) == 2


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="requires sha256sum")
def test_sha256sum_accepts_the_list(tmp_path: Path) -> None:
    import subprocess

    folder = small_model(tmp_path / "m")
    write_sums(folder, [WEIGHTS], "hf://org/name@1")
    command = ["sha256sum", "--check", "--strict", SUMS]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"{WEIGHTS}: OK\n")
