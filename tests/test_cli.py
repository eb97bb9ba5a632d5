"""The command line as a person types it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restorekit.plugins import recipes
from tests.models.small import small_model
from tests.run.test_folder import save
from tests.training.plans import photos

ROOT = Path(__file__).parents[1]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return small_model(tmp_path / "model")


def test_help_does_not_load_torch() -> None:
    code = "import sys; from restorekit.cli import build_app; build_app(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("words", [["--help"], ["denoise", "--help"], ["inpaint", "--help"], ["train", "--help"]])
def test_help_names_every_option(restorekit, words) -> None:
    code, out, _ = restorekit(*words)
    assert code == 0
    if words[0] in recipes():
        for parameter in recipes()[words[0]].parameters:
            assert "--" + parameter.name.replace("_", "-") in out
    if words == ["--help"]:
        assert all(name in out for name in ("denoise", "inpaint", "train", "evaluate", "models", "plugins"))


def test_denoise_a_folder(restorekit, model: Path, tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png", 40, 30, 3)
    save(tmp_path / "in" / "sub" / "b.jpg", 20, 24, 1)
    code, out, err = restorekit("denoise", tmp_path / "in", "--sigma", "25", "--model", model, "-o", tmp_path / "out")
    assert code == 0
    assert err.splitlines() == [f"note: {tmp_path}/in/sub/b.jpg: grey: the colour prior sees three equal channels"]
    assert "2 restored" in out
    assert str(tmp_path / "out") in out
    with Image.open(tmp_path / "out" / "sub" / "b.jpg") as back:
        assert (back.size, back.mode, back.format) == ((24, 20), "L", "JPEG")
    code, out, _ = restorekit("denoise", tmp_path / "in", "--model", model, "-o", tmp_path / "out")
    assert code == 0
    assert "2 already there" in out


@pytest.mark.parametrize("mode", ["mean", "sample"])
def test_inpaint_keeps_what_is_known_bit_for_bit(restorekit, model: Path, tmp_path: Path, mode: str) -> None:
    photo = save(tmp_path / "a.png", 40, 30, 3)
    marks = np.zeros((40, 30), np.uint8)
    marks[5:12, 8:20] = 255
    Image.fromarray(marks).save(tmp_path / "m.png")
    flags = ["--mask", tmp_path / "m.png", "--mode", mode, "--steps", "3", "--model", model, "-o", tmp_path / "o.png"]
    code, _, err = restorekit("inpaint", photo, *flags)
    assert (code, err) == (0, "")
    before, after = (np.asarray(Image.open(p)) for p in (photo, tmp_path / "o.png"))
    known = marks == 0
    assert np.array_equal(before[known], after[known])
    assert not np.array_equal(before[~known], after[~known])


def test_a_folder_with_broken_files_gives_exit_code_one(restorekit, model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    save(folder / "good.png", 16, 16, 3)
    (folder / "text.png").write_text("not a picture")
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).convert("CMYK").save(folder / "cmyk.jpg")
    code, out, err = restorekit("denoise", folder, "--model", model, "-o", tmp_path / "out")
    assert code == 1
    assert "2 restored" in out
    assert "1 failed" in out
    assert f"failed: {folder / 'text.png'}: not an image" in err
    assert "note:" in err
    assert "CMYK became RGB" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["denoise", "nowhere"], "nowhere: there is no such file or folder"),
        (["denoise", "a.png", "--sigma", "300"], "found 300, allowed: a number from 0 to 255, or auto"),
        (["denoise", "a.png", "--mode", "best"], "Allowed: mean, sample"),
        (["denoise", "a.png", "--model", "ddpm-foto"], "unknown model 'ddpm-foto'"),
        (["denoise", "a.png", "--device", "abacus"], "--device: abacus is not to be had"),
        (["denoise", "a.png", "--precision", "int1"], "unknown precision 'int1'"),
        (["denoise", "a.png", "--format", "gif"], "--format: unknown format 'gif'"),
        (["denoise", "a.png", "--samples", "0"], "samples"),
        (["denoise"], "Missing argument"),
        (["denoise", "a.png", "--sgima", "3"], "No such option"),
        (["inpaint", "a.png"], "Missing option '--mask'"),
        (["inpaint", "a.png", "--mask", "none.png"], "--mask: none.png: there is no such file"),
        (["deniose", "a.png"], "No such command 'deniose'"),
        (["train", "none.toml"], "none.toml: not a readable TOML plan"),
        (["evaluate", "denoise", "nowhere", "--sigma", "a"], "--sigma: found a, allowed: numbers"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_input_gets_one_clear_line(restorekit, tmp_path: Path, monkeypatch, words, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "a.png", 8, 8, 3)
    code, _, err = restorekit(*words)
    assert code in (1, 2)
    assert message in " ".join(err.replace("│", " ").split())
    assert "Traceback" not in err


def test_train_measures_and_lists(restorekit, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = photos(tmp_path / "photos")
    plan = tmp_path / "plan.toml"
    plan.write_text(
        f"""
        [card]
        name = "tiny"
        data = "made here"
        [model]
        size = 16
        [model.net]
        channels = 32
        multipliers = [1, 2]
        blocks = 1
        [data]
        folder = "{folder}"
        crop = 16
        [run]
        steps = 2
        batch = 2
        """
    )
    code, out, _ = restorekit("train", plan, "--dry-run", "--set", "run.steps=3")
    assert code == 0
    assert '"steps": 3' in out
    assert not (tmp_path / "runs").exists()
    assert restorekit("train", plan)[0] == 0
    assert (tmp_path / "runs" / "plan" / "model.safetensors").exists()
    code, _, err = restorekit("train", plan)
    assert code == 1
    assert "--resume" in err
    code, _, err = restorekit("train", plan, "--set", "run.stepz=1")
    assert code == 2
    assert "Did you mean 'steps'" in err
    words = ["evaluate", "denoise", folder, "--sigma", "15", "25", "--model", tmp_path / "runs" / "plan"]
    code, out, _ = restorekit(*words, "--every", "2", "--no-baselines")
    assert code == 0
    assert [line.split("|")[1].strip() for line in out.splitlines()[2:]] == ["15", "15", "25", "25"]


def test_lists(restorekit) -> None:
    code, out, _ = restorekit("plugins")
    assert code == 0
    assert "denoise  restorekit" in out
    code, out, _ = restorekit("models")
    assert code == 0
    assert all(name in out for name in ("ddpm-photo", "ddpm-fill", "ncsn-photo"))
    assert restorekit("--version")[1].startswith("restorekit 0.")
