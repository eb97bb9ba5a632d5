"""The documentation site: generated pages, links, formulas, numbers and figures. `make docs` builds all of it."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer.main
import yaml

import restorekit as rk
from restorekit import testing
from restorekit.cli.app import build_app
from restorekit.models.registry import bundled_models
from restorekit.plugins.discovery import plugins

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# Numbers of docs/choosing.md that no page of measurements contains, and where they are from.
OTHER_NUMBERS = {"2.7": "python benchmarks/startup.py PHOTO"}
pytest.importorskip("mkdocs", reason="mkdocs is not installed: pip install 'restorekit[docs]'")


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch):
    """Import a hook of the site by its name."""
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "hooks"))

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    return load


def nav_pages(entries: list) -> list[str]:
    """Return the pages of a navigation."""
    values = [value for entry in entries for value in entry.values()]
    return [page for value in values for page in (nav_pages(value) if isinstance(value, list) else [value])]


def read_configuration() -> dict:
    """Return mkdocs.yml; values with Python tags become None."""

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda loader, suffix, node: None)
    return yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Loader)


def test_all_pages_are_in_the_navigation(hook) -> None:
    pages = nav_pages(read_configuration()["nav"])
    repository = hook("repository_pages").repository_pages()
    generated = {"zoo.md", "reference/commands.md", *hook("reference_pages").reference_pages()}
    here = {path.name for path in (ROOT / "docs").glob("*.md")}
    assert sorted(pages) == sorted(set(pages))
    assert here | generated <= set(pages)
    assert set(pages) <= here | generated | set(repository)


def options(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """Yield the words and the long options of a command and of its subcommands."""
    yield words, [flag for parameter in command.params for flag in parameter.opts if flag.startswith("--")]
    for name, subcommand in getattr(command, "commands", {}).items():
        yield from options(subcommand, (*words, name))


def test_every_command_and_option_is_in_the_reference(hook) -> None:
    page = hook("command_pages").commands_page()
    third_party = {recipe.name for plugin in plugins() if not plugin.is_builtin for recipe in plugin.recipes}
    expected = {
        " ".join(("restorekit", *words)): flags
        for words, flags in options(typer.main.get_command(build_app()))
        if third_party.isdisjoint(words)
    }
    sections = dict(section.split("\n", 1) for section in page.split("\n## ")[1:])
    assert sections.keys() == expected.keys()
    for command, flags in expected.items():
        assert all(flag in sections[command] for flag in flags), command


def test_every_public_name_is_in_the_reference(hook) -> None:
    pages = "\n".join(hook("reference_pages").reference_pages().values())
    for name in (*rk.__all__, *testing.__all__, "denoise", "inpaint", "complete"):
        assert re.search(rf"^(?:::: [\w.]+\.{name}|### {name} .*)$", pages, re.MULTILINE), name


def test_the_model_zoo_states_the_facts_of_every_bundled_model(hook) -> None:
    page = hook("model_zoo").zoo_page()
    for model in bundled_models():
        section = page.split(f"\n## {model.name}\n")[1].split("\n## ")[0]
        assert all(
            f"\n| {name} | " in section for name in ("parameters", "sigma", "training data", "licence", "sha256")
        )
        assert "not stated" not in section
        assert str(ROOT) not in section
        card = (ROOT / "restorekit" / "weights" / model.name / "README.md").read_text(encoding="utf-8")
        values = re.findall(r"^\| .* \|$", section.split("\nMeasured values of the card:\n")[1], re.MULTILINE)
        assert len(values) - 2 == card.count("    - type: ") > 0


@pytest.mark.parametrize(
    ("source", "page", "text", "expected"),
    [
        ("docs/index.md", "index.md", "[a](../benchmarks/solvers.md#x)", "[a](benchmarks/solvers.md#x)"),
        ("docs/index.md", "index.md", "[a b](../restorekit/weights/m/README.md)", "[a b](cards/m.md)"),
        ("benchmarks/steps.md", "benchmarks/steps.md", "[a](../docs/solvers.md)", "[a](../solvers.md)"),
        ("plugins/restorekit-x/README.md", "packages/x.md", "[r](../../README.md)", "[r](../index.md)"),
        ("docs/a.md", "a.md", "[solvers.md](solvers.md#bias)", "[Solvers](solvers.md#bias)"),
        ("docs/a.md", "a.md", "[d](../restorekit/builtin/denoise.py)", "d (`restorekit/builtin/denoise.py`)"),
        ("docs/a.md", "a.md", "[d](../no/such.py)", "[d](../no/such.py)"),
        ("docs/a.md", "a.md", "`[a](../benchmarks/x.md)`", "`[a](../benchmarks/x.md)`"),
        ("docs/a.md", "a.md", "```\n[a](../benchmarks/x.md)\n```", "```\n[a](../benchmarks/x.md)\n```"),
        ("docs/a.md", "a.md", "[h](https://x.org/a) [i](#b)", "[h](https://x.org/a) [i](#b)"),
        ("docs/a.md", "a.md", "![i](figures/a.png)", "![i](figures/a.png)"),
    ],
)
def test_links_to_the_repository_become_links_of_the_site(
    hook, source: str, page: str, text: str, expected: str
) -> None:
    assert hook("repository_pages").rewritten(text, source, page) == expected


def test_pipes_in_the_code_of_tables_are_shown_without_backslashes(hook) -> None:
    text = "| a | `x \\| y` | b \\| c |\n`d \\| e`\n"
    assert hook("repository_pages").with_plain_pipes(text) == "| a | `x | y` | b \\| c |\n`d \\| e`\n"


def test_formulas_become_mathml(hook) -> None:
    pytest.importorskip("latex2mathml", reason="latex2mathml is not installed: pip install 'restorekit[docs]'")
    formulas = hook("formulas")
    inline = formulas.on_page_content(r'<p><span class="arithmatex">\(a &lt; \sigma\)</span></p>', None, None, None)
    assert inline.startswith("<p><math")
    assert "<mo>&#x0003C;</mo>" in inline
    block = formulas.on_page_content('<div class="arithmatex">\\[\nx\n\\]</div>', None, None, None)
    assert 'display="block"' in block
    page = (ROOT / "docs" / "mathematics.md").read_text(encoding="utf-8")
    text = re.sub(r"^```.*?^```", "", page, flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"\$\$(.*?)\$\$|\$([^$]+)\$", text, re.DOTALL)
    assert len(found) > 50
    for display, inner in found:
        assert formulas.mathml(display or inner, bool(display)).startswith("<math")
    with pytest.raises(Exception, match=r"found \\foo, allowed: LaTeX"):
        formulas.mathml(r"\foo x", block=False)


def test_elements_that_load_from_other_hosts_are_found(hook) -> None:
    loaded = hook("no_requests").loaded
    assert loaded('<script src="https://cdn.org/a.js"></script>')
    assert loaded('<img alt="x" src="//cdn.org/a.png">')
    assert loaded('<link rel="stylesheet" href="https://fonts.org/a.css">')
    assert not loaded('<a href="https://x.org">x</a><img src="a.png"><link rel="canonical" href="https://x.org/a">')


def numbers(text: str) -> list[str]:
    """Return the decimal numbers of a text, without code and links."""
    text = re.sub(r"`[^`]*`", "", text)
    return re.findall(r"(?<![\d.-])\d+\.\d+(?![\d.]*\d)", re.sub(r"\]\([^)]*\)", "]", text))


def test_numbers_on_choosing_are_those_of_the_linked_pages() -> None:
    page = (ROOT / "docs" / "choosing.md").read_text(encoding="utf-8")
    checked = 0
    for section in page.split("\n## ")[1:]:
        linked = ""
        for paragraph in re.split(r"\n\n|\n(?=[|-])", section):
            targets = re.findall(r"\]\(([^)#]+\.md)", paragraph)
            own = "\n".join((ROOT / "docs" / target).read_text(encoding="utf-8") for target in targets)
            linked = own or linked
            for number in numbers(paragraph):
                assert number in OTHER_NUMBERS or number in linked, f"{number}: {paragraph[:100]}"
                checked += 1
    assert checked > 80


def test_numbers_of_dejpeg_are_those_of_the_benchmark() -> None:
    page = (ROOT / "plugins" / "restorekit-dejpeg" / "README.md").read_text(encoding="utf-8")
    found = numbers("\n".join(re.findall(r"^\| \d+ \|.*", page, re.MULTILINE)))
    assert len(found) == 16
    measured = (ROOT / "benchmarks" / "dejpeg.md").read_text(encoding="utf-8")
    assert all(number in measured for number in found)


def test_the_readme_is_short_and_has_one_picture_and_one_table() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 80
    assert text.count("![") == 1
    assert text.count("\n|---") == 1
    choosing = (ROOT / "docs" / "choosing.md").read_text(encoding="utf-8")
    assert all(number in choosing for number in numbers(text) if number != "3.11")


def test_every_figure_has_its_command_where_it_is_shown() -> None:
    figures = sorted((ROOT / "docs" / "figures").iterdir())
    assert figures
    for figure in figures:
        command = re.compile(rf"`python (examples/\w+\.py) (?:[^`]* )?docs/figures/{re.escape(figure.name)}`")
        if figure.name.startswith("ui-"):  # screenshots
            command = re.compile(r"`RESTOREKIT_SCREENSHOTS=docs/figures python -m pytest (tests/browser/test_ui\.py)`")
        shown = [page for page in PAGES if f"figures/{figure.name})" in page.read_text(encoding="utf-8")]
        assert shown, f"{figure.name} is on no page"
        for page in shown:
            (script, *_) = command.findall(page.read_text(encoding="utf-8")) or [""]
            assert script, f"{page.name} shows {figure.name} without the command that draws it"
            assert (ROOT / script).is_file()


def test_the_pages_show_pictures_of_the_repository_only() -> None:
    for page in PAGES:
        for target in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).is_file(), f"{page.name}: {target}"
