"""A recipe in a single file, run without a package."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from restorekit.core.recipe import Recipe
from restorekit.core.reserved import check_names
from restorekit.errors import OptionError, RestorekitError, unknown
from restorekit.foreign import ForeignError, attempt


def recipe_in(file: Path, name: str | None = None) -> Recipe:
    """The recipe that a Python file defines; of several, the one of that name.

    What the file raises is a RestorekitError with its line. As for `python FILE`, its folder is on the path.
    """
    if file.suffix != ".py" or not file.is_file():
        what = "there is no such file" if not file.exists() else "not a Python file"
        raise OptionError(f"run: {file}: {what}; allowed: a file .py with a recipe")
    path = file.resolve()
    spec = importlib.util.spec_from_file_location(f"restorekit_run_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise OptionError(f"run: {file}: not a Python file; allowed: a file .py with a recipe")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    loader = spec.loader
    try:
        attempt(lambda: loader.exec_module(module), path)
    except ForeignError as error:
        raise RestorekitError(said(error, file)) from error
    # Those that it defines, not those that it imports.
    own = [r for r in vars(module).values() if isinstance(r, Recipe) and r.function.__module__ == spec.name]
    found = {recipe.name: recipe for recipe in own}
    chosen = _chosen(found, file, name)
    check_names(chosen)
    return chosen


def _chosen(found: dict[str, Recipe], file: Path, name: str | None) -> Recipe:
    if not found:
        raise OptionError(f"run: {file}: no recipe in it; allowed: a function with @rk.recipe(NAME)")
    if name is None and len(found) > 1:
        raise OptionError(f"run: {file}: has several recipes; allowed: --recipe {', --recipe '.join(found)}")
    if name is not None and name not in found:
        raise OptionError(unknown("recipe", name, found, f"run --recipe: {file}"))
    return found[name] if name is not None else next(iter(found.values()))


def said(error: ForeignError, file: Path) -> str:
    """One line for what the file raised."""
    return f"{file}, line {error.line}: {error.text}" if error.line else f"{file}: {error.text}"
