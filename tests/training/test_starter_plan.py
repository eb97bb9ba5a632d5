"""The plan that `restorekit train --new` writes, and how a training goes on after --max-minutes."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from restorekit.training.checkpoint import CHECKPOINT
from restorekit.training.plan_file import STARTER, read_plan
from tests.training.plans import photos

SMALL = ("model.net.channels=32", "model.net.blocks=1", "model.net.multipliers=[1]", "data.crop=16", "model.size=16")
SHORT = ("run.steps=2", "run.batch=2", "data.workers=0", "run.sample_minutes=null")


def test_new_plan_is_valid_and_trains(tmp_path: Path, restorekit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = restorekit("train", "--new", "my plan.toml")
    assert (code, out) == (
        0,
        "train: my plan.toml written; set data.folder in it, then: restorekit train 'my plan.toml'\n",
    )
    assert restorekit("train", "my plan.toml", "--dry-run")[0] == 0
    photos(tmp_path / "photos")
    words = [word for override in (*SMALL, *SHORT) for word in ("--set", override)]
    code, _, err = restorekit("train", "my plan.toml", *words)
    assert (code, err) == (0, "")
    assert (tmp_path / "runs" / "my plan" / "model.safetensors").exists()


def test_every_key_of_the_new_plan_is_explained() -> None:
    text = STARTER.read_text(encoding="utf-8")
    sections = [block for block in text.split("\n\n") if "[" in block]
    assert all(block.startswith("#") or block.startswith("[optimizer]") for block in sections)
    assert read_plan(STARTER).run.steps == 20000


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--new", "a.toml"), "--new: a.toml exists; allowed: a new file"),
        (("--new", "a.txt"), "--new: a.txt: found the suffix '.txt', allowed: '.toml'"),
        (("--new", "none/a.toml"), "--new: none/a.toml: cannot be written"),
        (("--new", "b.toml", "a.toml"), "train: allowed: a training plan, or only --new FILE.toml"),
        (("--new", "b.toml", "--set", "run.steps=3"), "train: allowed: a training plan, or only --new FILE.toml"),
        ((), "train: allowed: a training plan, or only --new FILE.toml"),
    ],
)
def test_new_plan_never_overwrites_and_needs_a_name(
    tmp_path: Path, restorekit, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.toml").write_text("mine")
    code, _, err = restorekit("train", *words)
    assert code == 2
    assert message in err
    assert [path.name for path in tmp_path.iterdir()] == ["a.toml"]
    assert (tmp_path / "a.toml").read_text() == "mine"


def test_a_training_that_is_out_of_time_names_the_command_that_resumes(
    tmp_path: Path, restorekit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    restorekit("train", "--new", "plan.toml")
    words = [word for override in (*SMALL, *SHORT) for word in ("--set", override)]
    words += ["--set", f"data.folder={photos(tmp_path / 'my photos')}"]
    code, _, err = restorekit("train", "plan.toml", *words, "--max-minutes", "0")
    text = f"train: stopped after 0 of 2 steps (0%); checkpoint: runs/plan/{CHECKPOINT}; to resume: restorekit train "
    assert (code, err.startswith(text)) == (0, True), err
    command = shlex.split(err.removeprefix(text))
    assert command[-3:] == ["--max-minutes", "0", "--resume"]
    assert (tmp_path / "runs" / "plan" / CHECKPOINT).exists()
    code, _, err = restorekit("train", *command[:-3], "--resume")
    assert (code, err) == (0, ""), err


def test_the_command_is_not_guessed_under_accelerate_launch(
    tmp_path: Path, restorekit, monkeypatch: pytest.MonkeyPatch
) -> None:
    from restorekit.cli.training import _resume_command

    monkeypatch.setenv("LOCAL_RANK", "0")
    assert _resume_command(Path("plan.toml"), None, (), None) == "the same command with --resume"
