"""The command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restorekit.cli.app import build_app
from restorekit.cli.evaluate import repeat_flags
from restorekit.core.reserved import COMMANDS
from restorekit.plugins.discovery import recipes
from tests.models.small import small_model
from tests.run.test_folder import save
from tests.training.plans import photos

ROOT = Path(__file__).parents[2]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return small_model(tmp_path / "model")


def test_help_does_not_load_torch() -> None:
    code = (
        "import sys; from restorekit.cli import app; sys.argv = ['restorekit', '--help']\n"
        "try: app.main()\n"
        "except SystemExit: sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode, "Usage" in done.stdout) == (0, True)


@pytest.mark.parametrize("words", [["--help"], ["denoise", "--help"], ["inpaint", "--help"], ["train", "--help"]])
def test_help_names_every_option(restorekit, words) -> None:
    code, out, _ = restorekit(*words)
    assert code == 0
    if words[0] in recipes():
        for parameter in recipes()[words[0]].parameters:
            assert "--" + parameter.name.replace("_", "-") in out
    if words == ["--help"]:
        assert all(name in out for name in ("denoise", "inpaint", "train", "evaluate", "models", "plugins"))
    if words[0] == "train":
        flags = ("--output", "--set", "--dry-run", "--resume", "--init-from", "--max-minutes")
        assert all(flag in out for flag in flags)


def test_denoise_a_folder(restorekit, model: Path, tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png", 40, 30, 3)
    save(tmp_path / "in" / "sub" / "b.jpg", 20, 24, 1)
    code, out, err = restorekit("denoise", tmp_path / "in", "--sigma", "25", "--model", model, "-o", tmp_path / "out")
    assert code == 0
    assert err.splitlines() == [
        f"note: {tmp_path}/in/sub/b.jpg: grey image: the colour prior gets three equal channels"
    ]
    assert "2 restored" in out
    assert str(tmp_path / "out") in out
    with Image.open(tmp_path / "out" / "sub" / "b.jpg") as back:
        assert (back.size, back.mode, back.format) == ((24, 20), "L", "JPEG")
    code, out, _ = restorekit("denoise", tmp_path / "in", "--sigma", "25", "--model", model, "-o", tmp_path / "out")
    assert code == 0
    assert "2 skipped because results exist" in out
    code, out, _ = restorekit("denoise", tmp_path / "in", "--sigma", "20", "--model", model, "-o", tmp_path / "out")
    assert code == 0
    assert "2 restored" in out


@pytest.mark.parametrize("mode", ["mean", "sample"])
def test_inpaint_keeps_known_pixels_bit_identical(restorekit, model: Path, tmp_path: Path, mode: str) -> None:
    photo = save(tmp_path / "a.png", 40, 30, 3)
    mask = np.zeros((40, 30), np.uint8)
    mask[5:12, 8:20] = 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    flags = ["--mask", tmp_path / "m.png", "--mode", mode, "--steps", "3", "--model", model, "-o", tmp_path / "o.png"]
    code, _, err = restorekit("inpaint", photo, *flags)
    assert (code, err) == (0, "")
    before, after = (np.asarray(Image.open(p)) for p in (photo, tmp_path / "o.png"))
    known = mask == 0
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
    assert f"failed: {folder / 'text.png'}: not a readable image" in err
    assert "note:" in err
    assert "CMYK was converted to RGB" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["denoise", "nowhere"], "nowhere: no such file or folder"),
        (["denoise", "a.png", "--sigma", "300"], "found 300, allowed: a number from 0 to 255, or auto"),
        (["denoise", "a.png", "--mode", "best"], "Allowed: mean, sample"),
        (["denoise", "a.png", "--model", "ddpm-foto"], "unknown model 'ddpm-foto'"),
        (["denoise", "a.png", "--device", "abacus"], "--device: unknown device 'abacus'; allowed: auto, cpu"),
        (["denoise", "a.png", "--engine", "spark"], "'--engine': 'spark' is not one of 'local', 'ray'"),
        (["denoise", "a.png", "--precision", "int1"], "unknown precision 'int1'"),
        (["denoise", "a.png", "--format", "gif"], "--format: unknown format 'gif'"),
        (["denoise", "a.png", "--samples", "0"], "samples"),
        (["denoise"], "Missing argument"),
        (["denoise", "a.png", "--sgima", "3"], "No such option"),
        (["inpaint", "a.png"], "Missing option '--mask'"),
        (["inpaint", "a.png", "--mask", "none.png"], "--mask: none.png: no such file"),
        (["deniose", "a.png"], "No such command 'deniose'"),
        (["train", "none.toml"], "none.toml does not exist"),
        (["evaluate", "denoise", "nowhere", "--sigma", "a"], "--sigma: found a, allowed: numbers"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_input_is_reported_in_one_line(restorekit, tmp_path: Path, monkeypatch, words, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "a.png", 8, 8, 3)
    code, _, err = restorekit(*words)
    assert code in (1, 2)
    assert message in " ".join(err.replace("│", " ").split())
    assert "Traceback" not in err


def test_train_and_evaluate(restorekit, tmp_path: Path, monkeypatch) -> None:
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
    words = ["evaluate", "bpd", folder, "--model", tmp_path / "runs" / "plan", "--steps", "3", "--json"]
    code, out, _ = restorekit(*words)
    assert code == 0
    (row,) = json.loads(out)
    assert row["steps"] == 3
    assert row["bits per dimension"] > 0


def test_plugins_and_models_are_listed(restorekit) -> None:
    code, out, _ = restorekit("plugins")
    assert code == 0
    assert "denoise   restorekit" in out
    code, out, _ = restorekit("models")
    assert code == 0
    lines = {line.split()[0]: line.split() for line in out.splitlines()}
    assert {"ddpm-photo", "ddpm-fill", "ncsn-photo"} < set(lines)
    assert lines["ncsn-photo"][1:] == ["score", "3", "64", "px", "8.7", "MB", "-"]
    assert " ".join(lines["guided-scenes"]).endswith("buildings, forest, glacier, mountain, sea, street")
    assert restorekit("--version")[1].startswith("restorekit 0.")


def test_only_the_named_command_is_built() -> None:
    app = build_app("inpaint")
    assert [info.name for info in app.registered_commands + app.registered_groups] == ["inpaint"]
    app = build_app("models")
    assert [info.name for info in app.registered_commands + app.registered_groups] == ["models"]
    app = build_app("inpiant")
    names = {info.name for info in app.registered_commands + app.registered_groups}
    assert names == {*recipes(), *COMMANDS}


@pytest.mark.parametrize("words", [["--help", "inpaint"], ["--no-plugins", "--help"], []])
def test_global_help_lists_all_commands(restorekit, words: list[str]) -> None:
    code, out, _ = restorekit(*words)
    assert code == 0
    assert all(f" {name} " in out for name in ("denoise", "inpaint", *COMMANDS))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            "evaluate denoise a --sigma 15 25 50 --every 2",
            "evaluate denoise a --sigma 15 --sigma 25 --sigma 50 --every 2",
        ),
        ("evaluate inpaint a --mask m n --mode mean", "evaluate inpaint a --mask m --mask n --mode mean"),
        ("evaluate denoise a --sigma=15", "evaluate denoise a --sigma=15"),
        ("denoise a b --sigma 15", "denoise a b --sigma 15"),
    ],
)
def test_options_with_several_values_are_repeated(words: str, expected: str) -> None:
    assert repeat_flags(words.split()) == expected.split()
