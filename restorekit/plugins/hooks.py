"""Hooks that plugins implement. A plugin is a module that an entry point of the group `restorekit` refers to.

Every hook receives a function `register` and calls it once for each object that it adds. A name that restorekit or
another plugin already uses is an error. If a registration fails, the plugin registers nothing.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

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


def describe(item: Any, hook: str) -> str:
    """Return what a hook registers instead of an object of its kind, for a message."""
    if isinstance(item, FunctionType) and hook == register_recipes.__name__:
        return f"the function {item.__name__}, which is not decorated with @rk.recipe(NAME)"
    return repr(item)


def why_nothing(manager: pluggy.PluginManager, plugin: Any) -> str:
    """Return why a plugin registers nothing: it has no hooks, or none of them calls `register`."""
    names = [caller.name for caller in manager.get_hookcallers(plugin) or ()]
    if not names:
        return "no function is decorated with @rk.hookimpl"
    return f"no call of register(...) in {', '.join(sorted(names))}"


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
