"""Imports only go downwards, without cycles; the levels are those of docs/architecture.md."""

from __future__ import annotations

import ast
import itertools
import re
import sys
import tomllib
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "restorekit"
LEVELS = [
    {"errors"},
    {"core"},
    {"nets", "initial"},
    {"priors", "sampling"},
    {"plugins"},
    {"models"},
    {"training", "run"},
    {"evaluation", "checks", "builtin"},
    {"ui"},
    {"cli"},
    {"testing", "__main__"},
]
LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names}
# restorekit/__init__.py is the lazy public interface and imports all packages; these may import it.
USERS_OF_THE_INTERFACE = {"builtin", "plugins", "cli"}
# Packages that must not import these modules.
FORBIDDEN = {
    "core": {"PIL", "typer", *(f"restorekit.{name}" for name in LEVEL if name not in ("errors", "core"))},
    "sampling": {"restorekit.priors", "restorekit.nets", "PIL"},
    "builtin": {"PIL", "pathlib", "typer", "restorekit.run"},
    "run": {"typer"},
    "training": {"typer"},
    "checks": {"pytest", "typer"},
    "ui": {"typer"},
    "testing": {"pytest", "typer"},
}
MAX_LINES = 300
# Distributions whose modules have other names.
DISTRIBUTIONS = {"PIL": "pillow", "cv2": "opencv-python-headless", "pydantic_core": "pydantic"}
DISTRIBUTIONS |= {"skimage": "scikit-image", "yaml": "pyyaml"}
# A baseline, used if it is installed; see docs/commands.md.
UNDECLARED = {"bm3d"}


def name_of(path: Path) -> str:
    """Full name of a module; that of the package for its __init__.py."""
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")
MODULES = {name_of(path): path for path in FILES}
ids = {"ids": lambda path: str(path.relative_to(ROOT))}


def package_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


@cache
def imports(path: Path) -> frozenset[str]:
    """Full names of everything that a file imports, including imports inside functions and for type checkers."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def imported_modules(path: Path) -> set[str]:
    """Modules of restorekit that a file imports, without the public interface."""
    return {next((m for m in (name, name.rpartition(".")[0]) if m in MODULES), "") for name in imports(path)} - {""}


def test_every_package_has_a_level() -> None:
    assert {package_of(path) for path in FILES} == set(LEVEL)


def test_levels_of_the_architecture_page_do_not_contradict_the_imports() -> None:
    page = (ROOT.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = [re.findall(r"`(\w+)`", row) for row in re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", page, re.MULTILINE)]
    documented = {name: level for level, names in enumerate(reversed(rows)) for name in names}
    assert set(documented) == set(LEVEL) - {"__main__"}
    for path in FILES:
        for name in imported_modules(path):
            package, target = package_of(path), name.split(".")[1]
            if {package, target} <= set(documented):
                assert documented[target] <= documented[package], f"{package} imports {name}"


@pytest.mark.parametrize("path", FILES, **ids)
def test_imports_only_go_downwards(path: Path) -> None:
    package = package_of(path)
    for name in imports(path):
        root, _, rest = name.partition(".")
        target = rest.partition(".")[0]
        if root == "restorekit" and target in LEVEL:
            assert LEVEL[target] <= LEVEL[package], f"{package} imports {name}"
        elif root == "restorekit":
            assert package in USERS_OF_THE_INTERFACE, f"{package} imports the public interface: {name}"


@pytest.mark.parametrize("path", FILES, **ids)
def test_packages_do_not_import_forbidden_modules(path: Path) -> None:
    for name in imports(path):
        for forbidden in FORBIDDEN.get(package_of(path), ()):
            assert not f"{name}.".startswith(f"{forbidden}."), f"{path.name} imports {name}"
    if package_of(path) == "builtin":
        assert ".to(device" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", FILES, **ids)
def test_only_main_and_testing_import_the_command_line(path: Path) -> None:
    if package_of(path) not in ("cli", "__main__", "testing"):
        assert not any(f"{name}.".startswith("restorekit.cli.") for name in imports(path))


@pytest.mark.parametrize("path", FILES, **ids)
def test_only_its_command_imports_the_page(path: Path) -> None:
    if package_of(path) != "ui" and path != ROOT / "cli" / "ui.py":
        assert not any(f"{name}.".startswith("restorekit.ui.") for name in imports(path))


def test_there_are_no_import_cycles() -> None:
    try:
        TopologicalSorter({name: imported_modules(path) for name, path in MODULES.items()}).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_imported_packages_are_declared() -> None:
    project = tomllib.loads((ROOT.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = itertools.chain(project["dependencies"], *project["optional-dependencies"].values())
    names = {re.split(r"[\[><=~ ]", requirement)[0] for requirement in declared}
    imported = {name.partition(".")[0] for path in FILES for name in imports(path)} - {"restorekit"}
    imported -= sys.stdlib_module_names | UNDECLARED
    assert sorted({DISTRIBUTIONS.get(name, name.replace("_", "-")) for name in imported} - names) == []


@pytest.mark.parametrize("path", FILES, **ids)
def test_facts_of_priors_are_read_from_their_info(path: Path) -> None:
    assert re.findall(r"(?:getattr|hasattr)\((?:self\.)?_?(?:prior|inner)\b.*", path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", FILES, **ids)
def test_long_files_state_the_reason(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if len(text.splitlines()) > MAX_LINES:
        assert re.search(r"^Length: \S", ast.get_docstring(ast.parse(text)) or "", re.MULTILINE), f"{path} is too long"
