"""Recipes in a single Python file, without a package."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from restorekit.core.recipe import Recipe
from restorekit.core.reserved import check_names
from restorekit.errors import OptionError, RestorekitError, unknown
from restorekit.plugins.plugin_errors import PluginError, call_plugin

ALLOWED = "allowed: a Python file with a recipe"


def load_recipe(file: Path, name: str | None = None) -> Recipe:
    """Return the recipe that a Python file defines.

    name: name of the recipe; may be None if the file defines only one. As with `python FILE`, modules in the folder of
    the file can be imported. Any exception of the file becomes a RestorekitError with the line number.
    """
    if file.suffix != ".py" or not file.is_file():
        problem = "no such file" if not file.exists() else "not a Python file"
        raise OptionError(f"run: {file}: {problem}; {ALLOWED}")
    path = file.resolve()
    spec = importlib.util.spec_from_file_location(f"restorekit_run_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise OptionError(f"run: {file}: not a Python file; {ALLOWED}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    loader = spec.loader
    try:
        call_plugin(lambda: loader.exec_module(module), [path])
    except PluginError as error:
        raise RestorekitError(error_line(error, file)) from error
    # Exclude the recipes that the file imports.
    defined = [r for r in vars(module).values() if isinstance(r, Recipe) and r.function.__module__ == spec.name]
    recipe = _select({recipe.name: recipe for recipe in defined}, file, name)
    check_names(recipe)
    return recipe


def _select(found: dict[str, Recipe], file: Path, name: str | None) -> Recipe:
    if not found:
        raise OptionError(f"run: {file}: no recipe in this file; allowed: a function with @rk.recipe(NAME)")
    if name is None and len(found) > 1:
        raise OptionError(f"run: {file}: {len(found)} recipes; allowed: --recipe {', --recipe '.join(found)}")
    if name is not None and name not in found:
        raise OptionError(unknown("recipe", name, found, f"run --recipe: {file}"))
    return found[name] if name is not None else next(iter(found.values()))


def error_line(error: PluginError, file: Path) -> str:
    """Return an error of the file in one line."""
    return f"{file}, line {error.line}: {error.text}" if error.line else f"{file}: {error.text}"
