"""Help texts are printed literally: rich markup would remove expressions in brackets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
import typer.main
from torch import Tensor

import restorekit as rk
from restorekit.cli.app import build_app
from restorekit.cli.commands import typer_command
from restorekit.cli.terminal import click_command
from restorekit.plugins.discovery import recipes


def commands(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """Every command with all its help texts, as they are in the source."""
    yield words, [command.help or "", *(parameter.help or "" for parameter in command.params)]
    for name, subcommand in getattr(command, "commands", {}).items():
        yield from commands(subcommand, (*words, name))


COMMANDS = dict(commands(typer.main.get_command(build_app())))


def flat(text: str) -> str:
    """Text without line breaks and the frames of panels."""
    return " ".join(re.sub("[│─╭╮╰╯]", " ", text).split())


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_contains_expressions_in_brackets(restorekit, words: tuple[str, ...]) -> None:
    code, out, _ = restorekit(*words, "--help")
    assert code == 0
    for text in COMMANDS[words]:
        for expression in re.findall(r"\S*\[[^]]*\]\S*", flat(text)):
            assert expression in flat(out)
    if words and words[0] in recipes():
        for parameter in recipes()[words[0]].parameters:
            assert flat(parameter.spec.help) in flat(out)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_minus_h_is_help(restorekit, words: tuple[str, ...]) -> None:
    assert restorekit(*words, "-h") == restorekit(*words, "--help")


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_names_no_papers(words: tuple[str, ...]) -> None:
    text = flat(" ".join(COMMANDS[words]))
    assert not re.findall(r"et al|\b(?:19|20)\d\d\b|arXiv|RePaint|DPIR|DDNM|DDIM|NCSN", text)


@pytest.mark.parametrize("name", recipes())
def test_help_of_an_option_says_first_what_it_does(name: str) -> None:
    for parameter in recipes()[name].parameters:
        assert not re.match(rf"({'|'.join((*parameter.words, '[a-z]'))})", parameter.spec.help), parameter.name


@pytest.mark.parametrize("name", recipes())
def test_help_shows_the_range_of_every_number(restorekit, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    out = flat(restorekit(name, "--help")[1])
    for parameter in recipes()[name].options:
        if parameter.range:
            assert f"Allowed: {parameter.range}" in out.split(f" --{parameter.name.replace('_', '-')} ", 1)[1]
            low, high = parameter.spec.min, parameter.spec.max  # type: ignore[union-attr]
            assert all(f"{bound:g}" in parameter.range for bound in (low, high) if bound is not None)


def test_help_texts_contain_brackets() -> None:
    assert "E[x0 | known pixels]" in flat(COMMANDS[("inpaint",)][0])
    assert "[options]" in COMMANDS[("run",)][0]


@rk.recipe("bracketed", samples=True)
def bracketed(
    y: Tensor,
    prior: rk.Denoiser,
    noise: rk.ImageNoise,
    *,
    mask: Annotated[Tensor, rk.ImageOption("A mask [0, 1] or [black/white].")],
    level: Annotated[float, rk.Option("A level [bold] of [/] E[x | y].")] = 1.0,
) -> Tensor:
    """Estimate E[x0 | y] \\[i].

    The second paragraph
    has two lines and [links=a].

        indented [code]
        stays
    """
    return y


def test_any_brackets_are_printed_and_paragraphs_are_joined(capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    app = typer.Typer(add_completion=False)
    app.command()(typer_command(bracketed))
    click_command(app).main(["--help"], standalone_mode=False)
    out = capsys.readouterr().out
    assert "Estimate E[x0 | y] \\[i]." in out
    assert "The second paragraph has two lines and [links=a]." in out
    assert re.search(r"^ +indented \[code\] *\n +stays *$", out, re.MULTILINE)
    assert "A mask [0, 1] or [black/white]. A file for all photos" in flat(out)
    assert "A level [bold] of [/] E[x | y]." in flat(out)
