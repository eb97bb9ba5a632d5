"""The files of the commands `restorekit evaluate`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restorekit.core import figures
from restorekit.evaluation.result_files import JSON, MARKDOWN, PLOT, Chart, Evaluation, write_evaluation
from restorekit.models.push import measured
from restorekit.run.engine import make_engine
from tests.models.small import small_classifier, small_model
from tests.run.test_folder import save, save_mask

COMMANDS = {
    "denoise": ["photos", "--sigma", "15", "25", "--model", "model", "--no-baselines"],
    "inpaint": ["photos", "--mask", "masks", "--model", "model", "--set", "steps=2"],
    "pairs": ["photos", "photos", "--model", "model", "--set", "sigma=9", "--no-baselines"],
    "bpd": ["photos", "--model", "model", "--steps", "2", "--crop", "16"],
    "classify": ["photos", "--model", "classifier", "--sigma", "0", "32"],
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    small_model(tmp_path / "model")
    small_classifier(tmp_path / "classifier")
    for number, name in enumerate(("dark", "bright")):
        save(tmp_path / "photos" / name / f"{number}.png", 24, 20, 3, seed=number)
    save_mask(tmp_path / "masks" / "dots-20x24.png", 24, 20)
    return tmp_path


@pytest.mark.parametrize("name", COMMANDS)
def test_every_evaluation_writes_its_table_and_a_plot(folder: Path, restorekit, name: str) -> None:
    code, out, err = restorekit("evaluate", name, *COMMANDS[name], "--output", "results/new", "--device", "cpu")
    assert code == 0, err
    text = (folder / "results" / "new" / MARKDOWN).read_text()
    table = [line for line in out.splitlines() if line.startswith("|")]
    assert text.startswith(f"# restorekit evaluate {name}\n\n`restorekit ")
    assert "\n".join(table) in text
    assert f"]({PLOT})\n" in text
    assert ", cpu, " in text
    rows = json.loads((folder / "results" / "new" / JSON).read_text())
    assert len(rows) == len(table) - 2
    header = [cell.strip() for cell in table[0].strip("|").split("|")]
    assert all(list(row) == header for row in rows), "no two columns have the same name"
    with Image.open(folder / "results" / "new" / PLOT) as image:
        assert image.format == "PNG"
        colours = np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0)
    assert any(tuple(colour) == (0x00, 0x72, 0xB2) for colour in colours.tolist()), "there is a dot"
    code, _, err = restorekit("evaluate", name, *COMMANDS[name], "--output", "results/new")
    assert code == 2
    assert f"results/new/{MARKDOWN} exists, allowed: a folder without the results of an evaluation" in err


def test_the_rows_are_those_of_json_and_metrics_of_a_model_card(folder: Path, restorekit) -> None:
    words = ["evaluate", "denoise", *COMMANDS["denoise"], "--device", "cpu"]
    code, out, _ = restorekit(*words, "--json", "-o", "a")
    assert code == 0
    rows = json.loads((folder / "a" / JSON).read_text())
    assert rows == json.loads(out)
    found = measured(folder / "model", folder / "a" / JSON, "My photos")
    assert sorted({result.metric_value for result in found}) == sorted(
        {row[name] for row in rows if row["method"] == "model" for name in ("PSNR (dB)", "SSIM")}
    )


def test_notes_are_in_the_table_of_pairs(folder: Path, restorekit) -> None:
    save(folder / "grey" / "a.png", 24, 20, 1)
    words = ["grey", "grey", "--model", "model", "--set", "sigma=9", "--no-baselines", "-o", "out"]
    assert restorekit("evaluate", "pairs", *words)[0] == 0
    note = "- grey/a.png: grey image: the colour prior gets three equal channels\n"
    assert note in (folder / "out" / MARKDOWN).read_text()


def test_problems_are_found_before_anything_is_measured(folder: Path, restorekit, monkeypatch) -> None:
    words = ["evaluate", "denoise", *COMMANDS["denoise"]]
    monkeypatch.setattr("restorekit.evaluation.denoising.evaluate", lambda *a, **k: pytest.fail("it was measured"))
    (folder / "file").write_text("")
    assert restorekit(*words, "-o", "file")[2] == "error: --output: file is a file, allowed: a folder\n"
    monkeypatch.setattr(figures, "has_matplotlib", lambda: False)
    code, _, err = restorekit(*words, "-o", "new")
    assert (code, err) == (2, "error: --output: matplotlib is not installed; pip install 'restorekit[bench]'\n")
    assert not (folder / "new").exists()


def test_the_plot_leaves_out_values_that_are_not_finite_and_shows_names_literally(tmp_path: Path) -> None:
    gains, methods = {"0": 0.0, "$1$_{": "inf", "_2": 2.0}, ("$x^$", "_b")
    rows = [{"photo": photo, "method": m, "gain (dB)": gain} for photo, gain in gains.items() for m in methods]
    evaluation = Evaluation("pairs", "restorekit evaluate pairs", make_engine("cpu"), ["| a |"], rows)
    write_evaluation(evaluation, tmp_path / "out", Chart("photo", "method", "gain (dB)"))
    write_evaluation(evaluation, tmp_path / "less", Chart("photo", "method", "gain (dB)"), rows[:2])
    heights = []
    for name in ("out", "less"):
        with Image.open(tmp_path / name / PLOT) as image:
            heights.append(image.height)
    assert heights[0] > heights[1]
