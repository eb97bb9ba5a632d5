"""The documentation covers everything, and everything that it mentions exists."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
import typer.main
from PIL import Image

from restorekit.cli.app import build_app
from restorekit.cli.commands import COMMON, SAMPLES
from restorekit.core.options import ImageOption, MaskChannel
from restorekit.plugins import hooks
from restorekit.plugins.discovery import SELECTION, plugins
from restorekit.plugins.recipe_file import load_recipe
from restorekit.sampling.solvers import SOLVERS
from restorekit.testing import check_recipe

ROOT = Path(__file__).parents[1]
# Methods without a prior in benchmarks/solvers.md.
CLASSICAL = ("biharmonic", "bicubic", "Wiener", "Richardson-Lucy", "grey")
# Pages that the build of the site generates; it checks the links to them.
GENERATED = ("docs/zoo.md", "docs/reference/commands.md", "docs/reference/solvers.md")
RECIPES, COMMANDS, TRAINING, PLUGINS = (
    (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    for name in ("recipes", "commands", "training", "plugins")
)


def test_every_recipe_and_option_is_documented() -> None:
    for recipe in [recipe for plugin in plugins() if plugin.is_builtin for recipe in plugin.recipes]:
        section = RECIPES.split(f"\n## {recipe.name}\n")[1].split("\n## ")[0]
        for parameter in recipe.parameters:
            row = next(
                line for line in section.splitlines() if line.startswith(f"| `--{parameter.name.replace('_', '-')}`")
            )
            if not parameter.required:
                default = parameter.default
                text = f"{default:g}" if isinstance(default, float) else str(default)
                assert row.split("|")[-2].strip() == text
            if isinstance(parameter.spec, ImageOption) and parameter.spec.invertible:
                assert f"`--invert-{parameter.name}`" in section
            if isinstance(parameter.spec, ImageOption) and parameter.spec.is_mask:
                assert f"| `--{parameter.name}-channel` |" in section
                assert f"| `--resize-{parameter.name}` |" in section
    for name, *_ in (*COMMON, *SAMPLES):
        assert f"`--{name.replace('_', '-')}`" in RECIPES


def test_every_channel_of_a_mask_is_documented() -> None:
    section = RECIPES.split("\n### Masks\n")[1].split("\n## ")[0]
    assert all(f"`{channel}`" in section for channel in get_args(MaskChannel) if channel != "auto")


def test_every_hook_is_documented() -> None:
    for name in dir(hooks):
        if getattr(getattr(hooks, name), "restorekit_spec", None):
            assert f"`{name}(register)`" in PLUGINS
    assert set(re.findall(r"`(register_\w+)\(", PLUGINS)) == {
        name for name in dir(hooks) if name.startswith("register_")
    }


def test_every_command_is_documented() -> None:
    group = typer.main.get_command(build_app())
    third_party = [r.name for plugin in plugins() if not plugin.is_builtin for r in plugin.recipes]
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        if name in third_party:
            continue
        assert f"`restorekit {name}" in COMMANDS
        for inner in getattr(command, "commands", {}):
            assert f"restorekit {name} {inner}" in COMMANDS
    for command in (group, *group.commands["plugins"].commands.values(), *map(group.commands.get, ("plugins", "run"))):  # type: ignore[attr-defined]
        for parameter in command.params:
            assert all(flag in COMMANDS for flag in parameter.opts if flag.startswith("--")), parameter.opts
    for parameter in group.commands["train"].params:  # type: ignore[attr-defined]
        for flag in parameter.opts:
            if flag.startswith("--"):
                assert f"`{flag}`" in TRAINING


def test_links_point_to_existing_files() -> None:
    folders = ("", "docs", "benchmarks", "restorekit/weights/*", "plugins/*")
    for page in [page for folder in folders for page in ROOT.glob(f"{folder}/*.md".lstrip("/"))]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            path = page.parent / target
            if path.relative_to(ROOT).as_posix() not in GENERATED:
                assert path.exists(), f"{page.relative_to(ROOT)}: {target}"


def test_the_commands_of_the_readme_exist() -> None:
    group = typer.main.get_command(build_app())
    blocks = (ROOT / "README.md").read_text(encoding="utf-8").split("```")[1::2]
    names = re.findall(r"^restorekit ([a-z]+)", "\n".join(blocks), re.MULTILINE)
    assert names
    for name in names:
        assert name in group.commands  # type: ignore[attr-defined]


def test_the_example_recipe_works(tmp_path: Path) -> None:
    file = tmp_path / "lighten.py"
    file.write_text(RECIPES.split("```python\n# lighten.py\n")[1].split("```")[0])
    check_recipe(load_recipe(file), amount=0.2)


def test_the_example_recipe_with_a_network_works(tmp_path: Path) -> None:
    file, weights = tmp_path / "enlarge.py", tmp_path / "factor.txt"
    file.write_text(RECIPES.split("```python\n# enlarge.py\n")[1].split("```")[0])
    weights.write_text("2")
    check_recipe(load_recipe(file), weights=weights)


def test_every_solver_is_documented() -> None:
    page = (ROOT / "docs" / "solvers.md").read_text(encoding="utf-8")
    for solver in SOLVERS:
        assert page.count(f"`{solver.name}`") >= 2


def test_figures_of_the_solvers_are_those_of_the_benchmark() -> None:
    measured: dict[str, dict[str, float]] = {}
    for line in (ROOT / "benchmarks" / "solvers.md").read_text(encoding="utf-8").splitlines():
        kind, method, decibels, *_ = [cell.strip() for cell in line.strip("|").split("|")] + ["", ""]
        if re.fullmatch(r"\d+\.\d\d", decibels):
            measured.setdefault(kind, {})[method] = float(decibels)
    page = (ROOT / "docs" / "solvers.md").read_text(encoding="utf-8")
    documented = re.findall(
        r"\| (.+?) ([\d.]+) \| `(.+?)` ([\d.]+) \((.+?)\) \|(?: `(.+?)` ([\d.]+) \((.+?)\))? \|", page
    )
    assert len(documented) == len(measured) == 6
    solvers = {solver.name for solver in SOLVERS}
    for (first, base, solver, best, gain, recipe, filled, more), rows in zip(
        documented, measured.values(), strict=True
    ):
        classical = {name: value for name, value in rows.items() if name in CLASSICAL}
        generative = {name: value for name, value in rows.items() if name in solvers}
        (plain, value), (name, top) = (
            max(group.items(), key=lambda item: item[1]) for group in (classical, generative)
        )
        assert (first.split("| ")[-1], base, solver, best) == (plain, f"{value:.2f}", name, f"{top:.2f}")
        assert gain == f"{top - value:+.2f}"
        if recipe:
            assert (filled, more) == (f"{rows[recipe]:.2f}", f"{rows[recipe] - value:+.2f}")


def test_the_example_solver_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "solvers.md").read_text(encoding="utf-8")
    source = page.split("# my_package/kept.py\n")[1].split("```")[0]
    (tmp_path / "my_package").mkdir()
    (tmp_path / "my_package" / "kept.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    test = page.split("from my_package.kept")[1].split("```")[0]
    try:
        exec(compile("from my_package.kept" + test, "docs/solvers.md", "exec"), {})
    finally:
        for name in ("my_package", "my_package.kept"):
            sys.modules.pop(name, None)


def test_no_file_contains_a_home_folder() -> None:
    folders = ("restorekit", "plugins", "recipes", "tests", "benchmarks", "docs", "examples", ".ci")
    files = [*ROOT.glob("*"), *(path for name in folders for path in (ROOT / name).rglob("*"))]
    texts = [path for path in files if path.is_file() and path.suffix in (".py", ".pyi", ".in", ".md", ".toml", "")]
    assert len(texts) > 200
    for path in texts:
        text = path.read_text(encoding="utf-8", errors="ignore")
        assert not re.search(r"(?<![\w.])/(home|root|Users)/\w", text), path


def test_architecture_page_names_the_functions_of_the_call_path(tmp_path: Path) -> None:
    Image.new("RGB", (40, 40), "gray").save(tmp_path / "photo.png")
    mask = Image.new("L", (40, 40))
    mask.paste(255, (10, 20, 30, 22))
    mask.save(tmp_path / "mask.png")
    words = ["inpaint", "photo.png", "--mask", "mask.png", "-o", "result.png"]
    script = [sys.executable, str(ROOT / "benchmarks" / "call_path.py"), *words]
    environment = {**os.environ, SELECTION: ""}
    printed = subprocess.run(script, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout
    _, per_photo = (int(count) for count in re.findall(r": (\d+) functions", printed))
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert per_photo <= 112
    for name in re.findall(r"^ *\d+  \S+: (?:\S*\.)?(\w+)$", printed, re.MULTILINE):
        assert re.search(rf"\b{name}\b", page), name
