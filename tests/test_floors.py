"""Imports go downwards only; the floors are those of the design."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "restorekit"
FLOORS = [
    {"errors"},
    {"core"},
    {"nets"},
    {"priors", "sampling"},
    {"foreign", "hooks", "plugins"},
    {"models"},
    {"training", "run"},
    {"evaluation"},
    {"builtin", "commands", "doctor", "listings", "plugin_commands", "scaffold", "single", "terminal", "testing"},
    {"cli"},
    {"__main__"},
]
LEVEL = {name: level for level, names in enumerate(FLOORS) for name in names}
# The recipes that are measured; the command line that tests of plugins run.
ALLOWED_UPWARDS = {("evaluation", "builtin"), ("testing", "cli")}
FILES = sorted(p for p in ROOT.rglob("*.py") if p != ROOT / "__init__.py")


def part_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Full names of what a file imports, also inside functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return names


def test_every_part_has_a_floor() -> None:
    assert {part_of(path) for path in FILES} <= set(LEVEL)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_downwards(path: Path) -> None:
    here = part_of(path)
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "restorekit" or len(parts) < 2 or parts[1] not in LEVEL:
            continue
        there = parts[1]
        assert LEVEL[there] <= LEVEL[here] or (here, there) in ALLOWED_UPWARDS, f"{here} imports {name}"


FORBIDDEN = {
    "core": {"restorekit.priors", "restorekit.run", "PIL", "typer"},
    "sampling": {"restorekit.priors", "restorekit.nets", "PIL"},
    "builtin": {"PIL", "pathlib", "typer", "restorekit.run"},
    "run": {"typer", "restorekit.cli"},
    "training": {"restorekit.cli", "typer"},
    "testing": {"pytest", "typer"},
}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_parts_keep_to_their_business(path: Path) -> None:
    for name in imports(path):
        for banned in FORBIDDEN.get(part_of(path), ()):
            assert not f"{name}.".startswith(f"{banned}."), f"{path.name} imports {name}"
    if part_of(path) == "builtin":
        assert ".to(device" not in path.read_text(encoding="utf-8")
