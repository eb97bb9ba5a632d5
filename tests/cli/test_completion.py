"""Completion of commands, options and values by a shell."""

from __future__ import annotations

import subprocess
import sys

import pytest

from restorekit.cli.completion import VARIABLE


@pytest.fixture
def complete(restorekit, monkeypatch: pytest.MonkeyPatch):
    """Return the completions of the last word of a command line."""

    def call(line: str) -> list[str]:
        monkeypatch.setenv(VARIABLE, "complete_bash")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
        code, out, err = restorekit()
        assert (code, err) == (0, "")
        return out.split()

    return call


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("restorekit den", {"denoise"}),
        ("restorekit plugins n", {"new"}),
        ("restorekit models p", {"pull", "push"}),
        ("restorekit models info ddpm-p", {"ddpm-photo"}),
        ("restorekit models verify ddpm-photo ncsn", {"ncsn-photo"}),
        ("restorekit denoise --on", {"--on-change"}),
        ("restorekit denoise --mode ", {"mean", "sample"}),
        ("restorekit denoise --model ddpm", {"ddpm-photo", "ddpm-fill"}),
        ("restorekit sample --model ncsn", {"ncsn-photo"}),
        ("restorekit evaluate denoise --model ncsn", {"ncsn-photo"}),
        ("restorekit complete --classifier classifier-p", {"classifier-patches"}),
        ("restorekit complete --label s", {"sea", "street"}),
        ("restorekit inpaint --mask-channel t", {"transparency"}),
        ("restorekit denoise a.png --device c", {"cpu", "cuda"}),
        ("restorekit denoise a.png --precision f", {"float32"}),
        ("restorekit denoise pho", set()),
    ],
)
def test_words_are_completed(complete, line: str, expected: set[str]) -> None:
    assert set(complete(line)) == expected


def test_completion_imports_neither_torch_nor_prints_broken_plugins(install, complete, capfd) -> None:
    install(broken="raise ValueError('no')")
    assert complete("restorekit den") == ["denoise"]
    code = """
import os, sys
from restorekit.cli import app
try:
    app.main()
except SystemExit:
    assert "torch" not in sys.modules
"""
    for line in ("restorekit complete --label s", "restorekit denoise --model "):
        environment = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1), VARIABLE: "complete_bash"}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment | {"RESTOREKIT_PLUGINS": ""}, capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, "")


def test_the_script_of_the_completion_is_installed(restorekit, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    code, out, _ = restorekit("--install-completion", "bash")
    assert code == 0
    assert "bash completion installed in" in out
    script = tmp_path / ".bash_completions" / "restorekit.sh"
    assert f"source '{script}'" in (tmp_path / ".bashrc").read_text()
    assert VARIABLE in script.read_text()
    code, out, _ = restorekit("--show-completion", "zsh")
    assert (code, VARIABLE in out) == (0, True)
