"""The package that `restorekit plugins new NAME` creates; it can be installed and tested without changes."""

from __future__ import annotations

import keyword
from pathlib import Path

from restorekit import __version__
from restorekit.core.recipe import NAME
from restorekit.errors import OptionError, RestorekitError
from restorekit.plugins.discovery import check_name, recipes

TEMPLATES = Path(__file__).parent / "templates" / "plugin"
PREFIX = "restorekit-"
# Names that the module of the template uses.
RESERVED = ("rk", "register_recipes", "operators", "examples")


def new_package(name: str, parent: Path) -> list[Path]:
    """Write the package restorekit-NAME to the new folder parent/NAME, and return its files.

    name: name of the recipe and of the plugin. Raises OptionError if it is not allowed or already in use, or if the
    folder exists.
    """
    _check(name)
    folder = parent / name
    if folder.exists():
        raise OptionError(f"plugins new: {folder} already exists; allowed: a new folder")
    module = (PREFIX + name).replace("-", "_")
    fields = {"name": name, "module": module, "function": name.replace("-", "_"), "restorekit": __version__}
    targets = {
        "pyproject.toml.in": "pyproject.toml",
        "module.py.in": f"{module}.py",
        "test.py.in": f"tests/test_{fields['function']}.py",
        "README.md.in": "README.md",
        "test.yml.in": ".github/workflows/test.yml",
        "gitignore.in": ".gitignore",
    }
    for template, target in targets.items():
        text = (TEMPLATES / template).read_text(encoding="utf-8")
        for key, value in fields.items():
            text = text.replace("{{" + key + "}}", value)
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        (folder / target).write_text(text, encoding="utf-8")
    return [folder / target for target in targets.values()]


def _check(name: str) -> None:
    if not NAME.fullmatch(name):
        raise OptionError(f"plugins new: found {name!r}, allowed: lower-case words joined by hyphens")
    if f"{name}-".startswith(PREFIX):
        raise OptionError(
            f"plugins new: found {name!r}; the package is named {PREFIX}NAME; allowed: NAME without the prefix"
        )
    if keyword.iskeyword(name) or name.replace("-", "_") in RESERVED:
        raise OptionError(f"plugins new: {name!r} is reserved in the package; allowed: another name")
    if name in recipes():
        raise OptionError(f"plugins new: a recipe {name!r} already exists; allowed: another name")
    try:
        check_name(name)
    except RestorekitError as error:
        raise OptionError(f"plugins new: {error}") from None
