"""Hooks that plugins implement. A plugin is a module that an entry point of the group `restorekit` refers to.

Every hook receives a function `register` and calls it once for each object that it adds. A name that restorekit or
another plugin already uses is an error. If a registration fails, the plugin registers nothing.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable
from types import ModuleType

import pluggy

from restorekit.core.family import PriorFamily
from restorekit.core.recipe import Recipe
from restorekit.core.solver import Solver
from restorekit.errors import RestorekitError, unknown

PROJECT = "restorekit"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def register_recipes(register: Callable[[Recipe], None]) -> None:
    """Call `register(recipe)` for every recipe.

    Each recipe becomes a command (`restorekit NAME`) and a function (`restorekit.NAME`).
    """


@hookspec
def register_priors(register: Callable[[PriorFamily], None]) -> None:
    """Call `register(PriorFamily(name, load, help))` for every family of priors.

    `--model NAME:TEXT` and `load_prior("NAME:TEXT")` then call `load(TEXT)`.
    """


@hookspec
def register_solvers(register: Callable[[Solver], None]) -> None:
    """Call `register(Solver(...))` for every solver of linear inverse problems.

    Every recipe with a `SolverOption` then accepts its name.
    """


def check_hooks(manager: pluggy.PluginManager, module: ModuleType) -> None:
    """Raise RestorekitError if a hook of a plugin has a misspelled name, under which it would never be called."""
    with contextlib.suppress(pluggy.PluginValidationError):
        manager.check_pending()
        return
    known = [name for name in globals() if name.startswith("register_")]
    for attribute in dir(module):
        options = manager.parse_hookimpl_opts(module, attribute)
        name = options and (options.get("specname") or attribute)
        if name and name not in known:
            code = inspect.unwrap(getattr(module, attribute)).__code__
            place = f"({code.co_filename}, line {code.co_firstlineno})"
            raise RestorekitError(f"{unknown('hook', name, known, '@rk.hookimpl')} {place}")
