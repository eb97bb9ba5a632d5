"""The command `restorekit evaluate pairs`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.models.small import small_model
from tests.run.test_folder import save


def names_of(table: str) -> list[str]:
    return [line.split("|")[1].strip() for line in table.splitlines()[2:]]


def test_pairs_of_one_folder(restorekit, tmp_path: Path) -> None:
    model = small_model(tmp_path / "model")
    for name in ("a_real.png", "a_mean.png"):
        save(tmp_path / "in" / name, 20, 24, 3, seed=len(name))
    words = ["evaluate", "pairs", tmp_path / "in", "--set", "sigma=9", "--model", model]
    code, out, err = restorekit(*words)
    assert (code, err) == (0, "")
    assert names_of(out) == ["a", "a", "mean of 1", "mean of 1", "smallest gain: a", "smallest gain: a"]
    assert f"| denoise (sigma=9, model={model}) |" in out
    assert "| NLM (sigma " in out or "| BM3D (sigma " in out


def test_pairs_of_two_folders_with_another_recipe_and_notes_after_the_table(restorekit, tmp_path: Path) -> None:
    model = small_model(tmp_path / "model")
    for name in ("in/a.png", "in/b.png", "true/a.png", "true/b.png"):
        save(tmp_path / name, 20, 24, 1, seed=len(name))
    words = ["evaluate", "pairs", tmp_path / "in", tmp_path / "true", "--model", model, "--every", "2"]
    code, out, err = restorekit(*words, "--no-baselines", "--recipe", "denoise", "--set", "sigma=9")
    assert code == 0
    assert names_of(out) == ["a", "mean of 1", "smallest gain: a"]
    assert err == f"note: {tmp_path}/in/a.png: grey image: the colour prior gets three equal channels\n"


def test_suffixes_take_two_values(restorekit, tmp_path: Path) -> None:
    model = small_model(tmp_path / "model")
    for name in ("a_noisy.png", "a.png"):
        save(tmp_path / "in" / name, 20, 24, 3)
    words = ["evaluate", "pairs", "--suffixes", "_noisy", "", tmp_path / "in", "--model", model, "--no-baselines"]
    code, out, _ = restorekit(*words, "--set", "sigma=9")
    assert code == 0
    assert names_of(out)[0] == "a"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["nowhere"], 1, "error: nowhere: no such folder (in "),
        (["in"], 1, "error: in/a.png: the name has no suffix, allowed: names that end with _real or _mean"),
        (["in", "--recipe", "denois"], 2, "error: --recipe: unknown recipe 'denois'. Did you mean 'denoise'?"),
        (["in", "--recipe", "inpaint"], 2, "error: --recipe: inpaint requires an additional image per photo"),
        (["in", "in", "--set", "sigm=3"], 2, "error: denoise: unknown option 'sigm'. Did you mean 'sigma'?"),
        (["in", "in", "--model", "ddpm-foto"], 1, "unknown model 'ddpm-foto'"),
        (["in", "--suffixes", "_real"], 2, "requires 2 arguments"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_input_is_reported_in_one_line(
    restorekit, tmp_path: Path, monkeypatch, words: list[str], code: int, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    save(Path("in/a.png"), 20, 24, 3)
    found, out, err = restorekit("evaluate", "pairs", *words)
    assert (found, out, len(err.splitlines())) == (code, "", 1)
    assert message in err
