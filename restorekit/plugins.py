"""Finding plugins, restorekit's own included, by the entry points of the group `restorekit`."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Literal, TypeVar

import pluggy

import restorekit
from restorekit import hooks
from restorekit.core.family import PriorFamily
from restorekit.core.recipe import Recipe
from restorekit.core.reserved import BUNDLED, COMMANDS, SOLVERS, check_names
from restorekit.core.solver import Solver
from restorekit.errors import OptionError, RestorekitError, unknown
from restorekit.foreign import ForeignError, attempt

# Names of plugins or distributions, joined by commas, that are loaded beside restorekit's own; all when it is not set.
SELECTION = "RESTOREKIT_PLUGINS"

# Whether plugins of third parties are imported.
_importing: ContextVar[bool] = ContextVar("importing", default=True)

State = Literal["ok", "failed", "not selected"]
T = TypeVar("T", bound=Recipe | PriorFamily | Solver)


@dataclass
class Plugin:
    """One entry point and what became of it.

    Attributes:
        name: of the entry point.
        distribution, version: of the package that it belongs to; "unknown" when its metadata does not say.
        module: that the entry point names.
        entry: the entry point itself.
        state: "ok", "failed", or "not selected" by `RESTOREKIT_PLUGINS`.
        error: why it failed, one line; None otherwise.
        trace: a short traceback of a failure.
    """

    name: str
    distribution: str
    version: str
    module: str
    entry: EntryPoint
    state: State = "ok"
    recipes: list[Recipe] = field(default_factory=list)
    priors: list[PriorFamily] = field(default_factory=list)
    solvers: list[Solver] = field(default_factory=list)
    error: str | None = None
    trace: str = ""

    @property
    def is_own(self) -> bool:
        """It ships with restorekit."""
        return _same(self.distribution, hooks.PROJECT)


def plugins() -> tuple[Plugin, ...]:
    """All plugins, restorekit's own first; one that cannot be loaded carries its error and the others work."""
    return _plugins(os.environ.get(SELECTION), _importing.get())


def forget() -> None:
    """Look for plugins anew at the next question, after an installation in a running process."""
    importlib.invalidate_caches()
    _plugins.cache_clear()


def recipes() -> dict[str, Recipe]:
    """Every recipe by its name."""
    return {recipe.name: recipe for plugin in plugins() for recipe in plugin.recipes}


def prior_families() -> dict[str, PriorFamily]:
    """Every family of priors that plugins bring, by its name."""
    return {family.name: family for plugin in plugins() for family in plugin.priors}


def solvers() -> dict[str, Solver]:
    """Every solver by its name: restorekit's own, then those of plugins."""
    brought = [solver for plugin in plugins() for solver in plugin.solvers]
    return {solver.name: solver for solver in (*_built_in_solvers(), *brought)}


def solver_named(name: str, where: str = "solver") -> Solver:
    """The solver of that name; OptionError names the near ones."""
    table = solvers()
    if name not in table:
        raise OptionError(unknown("solver", name, table, where))
    return table[name]


def plugin_named(name: str, distribution: str | None = None) -> Plugin:
    """The plugin of that name (and that distribution), or the only one of a distribution of that name.

    OptionError names the near ones.
    """
    those = [p for p in plugins() if distribution is None or _same(p.distribution, distribution)]
    found = [p for p in those if name == p.name] or [p for p in those if _same(p.distribution, name)]
    if len(found) > 1:
        several = ", ".join(f"{p.name} of {p.distribution}" for p in found)
        raise OptionError(f"plugins: {name} means several; allowed: one of {several}")
    if not found:
        raise OptionError(unknown("plugin", name, [p.name for p in plugins()], "plugins"))
    return found[0]


def warn_of_broken_plugins() -> None:
    """One line on standard error for each plugin that could not be loaded, and for a selected one that is not there."""
    for name in _missing(plugins(), os.environ.get(SELECTION)):
        print(f"warning: {unknown('plugin', name, [p.name for p in plugins()], SELECTION)}", file=sys.stderr)
    for plugin in plugins():
        if plugin.error:
            print(f"warning: plugin {plugin.name} of {plugin.distribution}: {plugin.error}", file=sys.stderr)


@contextlib.contextmanager
def unimported() -> Iterator[None]:
    """Within it, plugins of third parties are listed, but not imported: "ok", without what they bring, or "not
    selected"."""
    token = _importing.set(False)
    try:
        yield
    finally:
        _importing.reset(token)


@functools.cache
def _plugins(selection: str | None, importing: bool) -> tuple[Plugin, ...]:
    manager = pluggy.PluginManager(hooks.PROJECT)
    manager.add_hookspecs(hooks)
    found = [_described(entry) for entry in entry_points(group=hooks.PROJECT)]
    taken: dict[tuple[str, str], str] = {}
    for plugin in sorted(found, key=lambda p: (not p.is_own, p.name)):
        if not plugin.is_own and not _is_selected(plugin, selection):
            plugin.state = "not selected"
        elif plugin.is_own or importing:
            _load(manager, plugin, taken)
    return tuple(sorted(found, key=lambda p: (not p.is_own, p.name)))


def _described(entry: EntryPoint) -> Plugin:
    dist = entry.dist
    if dist is None:
        return Plugin(entry.name, "unknown", "unknown", entry.module, entry)
    return Plugin(entry.name, dist.name, dist.version, entry.module, entry)


def _same(one: str, other: str) -> bool:
    """Whether two names of distributions are one (PEP 503)."""
    one, other = (name.lower().replace("_", "-").replace(".", "-") for name in (one, other))
    return one == other


def _is_selected(plugin: Plugin, selection: str | None) -> bool:
    return selection is None or any(_is_called(plugin, name) for name in _names(selection))


def _is_called(plugin: Plugin, name: str) -> bool:
    return name == plugin.name or _same(name, plugin.distribution)


def _names(selection: str) -> list[str]:
    return [name.strip() for name in selection.split(",") if name.strip()]


def _missing(found: Iterable[Plugin], selection: str | None) -> list[str]:
    return [name for name in _names(selection or "") if not any(_is_called(plugin, name) for plugin in found)]


def _load(manager: pluggy.PluginManager, plugin: Plugin, taken: dict[tuple[str, str], str]) -> None:
    """Fill in what the plugin brings, all of it or, with an error, nothing."""
    key = f"{plugin.distribution}:{plugin.name}"
    try:
        brought = attempt(lambda: _brought(manager, plugin, key, taken))
    except ForeignError as error:
        if manager.has_plugin(key):
            manager.unregister(name=key)
        plugin.state, plugin.error, plugin.trace = "failed", str(error), error.trace
        return
    plugin.recipes, plugin.priors, plugin.solvers = brought
    things: list[Recipe | PriorFamily | Solver] = [*plugin.recipes, *plugin.priors, *plugin.solvers]
    for thing in things:
        taken[type(thing).__name__, thing.name] = f"{plugin.name} of {plugin.distribution}"


def _brought(
    manager: pluggy.PluginManager, plugin: Plugin, key: str, taken: dict[tuple[str, str], str]
) -> tuple[list[Recipe], list[PriorFamily], list[Solver]]:
    module = plugin.entry.load()
    manager.register(module, name=key)
    # A hook with a slip in its name would never be called.
    manager.check_pending()
    others = [p for p in manager.get_plugins() if p is not module]

    def called(hook: str, kind: type[T], name: str, check: Callable[[T], None]) -> list[T]:
        added: list[T] = []

        def register(thing: T) -> None:
            if not isinstance(thing, kind):
                raise TypeError(f"{hook}: register() takes a {name}, found {thing!r}")
            other = taken.get((kind.__name__, thing.name))
            if other or thing.name in [mine.name for mine in added]:
                raise RestorekitError(f"{name} {thing.name!r} is already brought by {other or 'this plugin'}")
            check(thing)
            added.append(thing)

        manager.subset_hook_caller(hook, others)(register=register)
        return added

    return (
        called("register_recipes", Recipe, "recipe", _check_recipe),
        called("register_priors", PriorFamily, "prior family", _check_family),
        called("register_solvers", Solver, "solver", _check_solver),
    )


def check_name(name: str) -> None:
    """RestorekitError when a recipe cannot be called so: it would hide a command or a part of restorekit."""
    if name in COMMANDS:
        raise RestorekitError(f"recipe {name!r} is named like a command of restorekit: {', '.join(COMMANDS)}")
    function = name.replace("-", "_")
    if function in restorekit.__all__ or importlib.util.find_spec(f"restorekit.{function}") is not None:
        raise RestorekitError(f"recipe {name!r}: restorekit.{function} is something else already")


def _check_recipe(recipe: Recipe) -> None:
    check_name(recipe.name)
    check_names(recipe)


def _check_family(family: PriorFamily) -> None:
    if (BUNDLED / family.name).exists():
        raise RestorekitError(f"prior family {family.name!r} is named like a prior of restorekit")


def _check_solver(solver: Solver) -> None:
    if solver.name in SOLVERS:
        raise RestorekitError(f"solver {solver.name!r} is already brought by restorekit")


def _built_in_solvers() -> tuple[Solver, ...]:
    """Those that ship with restorekit; imported when asked for, since they need torch."""
    from restorekit.sampling import solvers as module

    return module.SOLVERS
