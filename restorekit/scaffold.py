"""`restorekit plugins new NAME`: a complete package, which installs and whose test passes as it is."""

from __future__ import annotations

import keyword
from pathlib import Path

from restorekit import __version__
from restorekit.core.recipe import NAME
from restorekit.errors import OptionError, RestorekitError
from restorekit.plugins import check_name, recipes

TEMPLATES = Path(__file__).parent / "templates" / "plugin"
PREFIX = "restorekit-"
# Names that the template's module uses itself.
USED = ("rk", "register_recipes", "operators", "examples")


def new_package(name: str, parent: Path) -> list[Path]:
    """Write the package restorekit-NAME into the new folder parent/NAME; returns its files.

    name: of the recipe and the plugin; OptionError when it is no name of a recipe, is taken, or the folder exists.
    """
    _check(name)
    folder = parent / name
    if folder.exists():
        raise OptionError(f"plugins new: {folder} is there already; allowed: a new folder")
    module = (PREFIX + name).replace("-", "_")
    words = {"name": name, "module": module, "function": name.replace("-", "_"), "restorekit": __version__}
    places = {
        "pyproject.toml.in": "pyproject.toml",
        "module.py.in": f"{module}.py",
        "test.py.in": f"tests/test_{words['function']}.py",
        "README.md.in": "README.md",
        "test.yml.in": ".github/workflows/test.yml",
        "gitignore.in": ".gitignore",
    }
    for template, place in places.items():
        text = (TEMPLATES / template).read_text(encoding="utf-8")
        for word, value in words.items():
            text = text.replace("{{" + word + "}}", value)
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(text, encoding="utf-8")
    return [folder / place for place in places.values()]


def _check(name: str) -> None:
    if not NAME.fullmatch(name):
        raise OptionError(f"plugins new: found {name!r}, allowed: lower-case words joined by hyphens")
    if f"{name}-".startswith(PREFIX):
        raise OptionError(f"plugins new: found {name!r}; the package is called {PREFIX}NAME, allowed: NAME alone")
    if keyword.iskeyword(name) or name.replace("-", "_") in USED:
        raise OptionError(f"plugins new: {name!r} means something in the package already; allowed: another name")
    if name in recipes():
        raise OptionError(f"plugins new: there is a recipe {name!r} already; allowed: another name")
    try:
        check_name(name)
    except RestorekitError as error:
        raise OptionError(f"plugins new: {error}") from None
