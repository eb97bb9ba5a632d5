"""Discovery of plugins, including the built-in ones, through the entry points of the group `restorekit`."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Literal, TypeVar

import pluggy

import restorekit
from restorekit.core.family import PriorFamily
from restorekit.core.recipe import Recipe
from restorekit.core.reserved import BUNDLED, COMMANDS, check_names
from restorekit.core.solver import BUILT_IN_NEEDS, Solver
from restorekit.errors import OptionError, RestorekitError, unknown
from restorekit.plugins import hooks
from restorekit.plugins.import_notice import import_notice
from restorekit.plugins.plugin_errors import PluginError, call_plugin, is_debugging
from restorekit.plugins.requirements import check_requirements

# Environment variable: names of the plugins or distributions to load in addition to the built-in ones, separated
# by commas. All plugins are loaded if it is not set.
SELECTION = "RESTOREKIT_PLUGINS"

# Whether third-party plugins are imported.
_importing: ContextVar[bool] = ContextVar("importing", default=True)

State = Literal["ok", "failed", "not selected"]
T = TypeVar("T", bound=Recipe | PriorFamily | Solver)


@dataclass
class Plugin:
    """One entry point, and the result of loading it.

    Attributes:
        name: name of the entry point.
        distribution, version: name and version of its distribution; "unknown" if its metadata does not contain them.
        module: name of the module that the entry point refers to; all of its value if that is malformed.
        entry: the entry point.
        requirements: the requirements of the distribution, as its metadata states them.
        state: "ok", "failed", or "not selected" by `RESTOREKIT_PLUGINS`.
        recipes, priors, solvers: what the plugin registers.
        note: why it registers nothing although loading succeeded, in one line; None otherwise.
        error: why loading failed, in one line; None otherwise.
        trace: a short traceback of the failure.
    """

    name: str
    distribution: str
    version: str
    module: str
    entry: EntryPoint
    requirements: tuple[str, ...] = ()
    state: State = "ok"
    recipes: list[Recipe] = field(default_factory=list)
    priors: list[PriorFamily] = field(default_factory=list)
    solvers: list[Solver] = field(default_factory=list)
    note: str | None = None
    error: str | None = None
    trace: str = ""

    @property
    def is_builtin(self) -> bool:
        """True if the plugin is part of restorekit."""
        return _same(self.distribution, hooks.PROJECT)


def plugins() -> tuple[Plugin, ...]:
    """Return all plugins, the built-in ones first; one that cannot be loaded has an error and registers nothing."""
    return _plugins(os.environ.get(SELECTION), _importing.get())


def plugin_files() -> list[Path]:
    """Return the files of the modules of third-party plugins."""
    modules = [sys.modules.get(plugin.module) for plugin in plugins() if not plugin.is_builtin]
    return [Path(module.__file__) for module in modules if module is not None and module.__file__]


def plugin_error(error: Exception) -> PluginError | None:
    """Return the error with its position in the code of a third-party plugin; None if it has none."""
    files = plugin_files()
    found = PluginError(error, files) if files else None
    return found if found is not None and found.file else None


def clear_cache() -> None:
    """Discover plugins again on the next call, to find packages that were installed in the meantime."""
    importlib.invalidate_caches()
    _plugins.cache_clear()


def recipes() -> dict[str, Recipe]:
    """Return all recipes by name."""
    return {recipe.name: recipe for plugin in plugins() for recipe in plugin.recipes}


def prior_families() -> dict[str, PriorFamily]:
    """Return the families of priors that plugins register, by name."""
    return {family.name: family for plugin in plugins() for family in plugin.priors}


def solvers() -> dict[str, Solver]:
    """Return all solvers by name: the built-in ones, then those of plugins."""
    registered = [solver for plugin in plugins() for solver in plugin.solvers]
    return {solver.name: solver for solver in (*_built_in_solvers(), *registered)}


def solver_named(name: str, where: str = "solver") -> Solver:
    """Return the solver of that name; raise OptionError, with similar names, if there is none.

    where: start of the error message.
    """
    by_name = solvers()
    if name not in by_name:
        raise OptionError(unknown("solver", name, by_name, where))
    return by_name[name]


def plugin_named(name: str, distribution: str | None = None) -> Plugin:
    """Return the plugin of that name, or the only plugin of a distribution of that name.

    distribution: only consider plugins of this distribution. Raises OptionError if no plugin or several match.
    """
    candidates = [p for p in plugins() if distribution is None or _same(p.distribution, distribution)]
    found = [p for p in candidates if name == p.name] or [p for p in candidates if _same(p.distribution, name)]
    if len(found) > 1:
        choices = ", ".join(f"{p.name} of {p.distribution}" for p in found)
        raise OptionError(f"plugins: {name} is ambiguous; allowed: one of {choices}")
    if not found:
        raise OptionError(unknown("plugin", name, [p.name for p in plugins()], "plugins"))
    return found[0]


def warn_about_broken_plugins() -> None:
    """Print one line to standard error for each plugin that failed to load and each selected one that is not installed.

    Used by the command line.
    """
    found = plugins()
    selection = os.environ.get(SELECTION)
    for name in [] if selection is None else _names(selection):
        if not any(_matches(plugin, name) for plugin in found):
            print(f"warning: {unknown('plugin', name, [p.name for p in found], SELECTION)}", file=sys.stderr)
    for plugin in found:
        if plugin.error:
            print(f"warning: plugin {plugin.name} of {plugin.distribution}: {plugin.error}", file=sys.stderr)
            if is_debugging() and plugin.trace:
                print(plugin.trace, file=sys.stderr)


@contextlib.contextmanager
def without_imports() -> Iterator[None]:
    """Return a context in which third-party plugins are listed but neither imported nor registered."""
    token = _importing.set(False)
    try:
        yield
    finally:
        _importing.reset(token)


@functools.cache
def _plugins(selection: str | None, importing: bool) -> tuple[Plugin, ...]:
    manager = pluggy.PluginManager(hooks.PROJECT)
    manager.add_hookspecs(hooks)
    found = [_unloaded(entry) for entry in entry_points(group=hooks.PROJECT)]
    found.sort(key=lambda p: (not p.is_builtin, p.name))
    owners: dict[tuple[str, str], str] = {}
    for plugin in found:
        if not (plugin.is_builtin or selection is None or any(_matches(plugin, n) for n in _names(selection))):
            plugin.state = "not selected"
        elif plugin.is_builtin or importing:
            _load(manager, plugin, owners)
    return tuple(found)


def _unloaded(entry: EntryPoint) -> Plugin:
    # The attribute `module` of a malformed entry point raises AttributeError.
    dist, module = entry.dist, entry.module if entry.pattern.match(entry.value) else entry.value
    metadata = None if dist is None else dist.metadata  # parsed from the file at every access
    values = {field: metadata and metadata.get_all(field) for field in ("Name", "Version", "Requires-Dist")}
    name, version = ((values[field] or ["unknown"])[0] for field in ("Name", "Version"))
    return Plugin(entry.name, name, version, module, entry, tuple(values["Requires-Dist"] or ()))


def _same(one: str, other: str) -> bool:
    """Return True if two names denote the same distribution (PEP 503)."""
    one, other = (name.lower().replace("_", "-").replace(".", "-") for name in (one, other))
    return one == other


def _matches(plugin: Plugin, name: str) -> bool:
    return name == plugin.name or _same(name, plugin.distribution)


def _names(selection: str) -> list[str]:
    return [name.strip() for name in selection.split(",") if name.strip()]


def _load(manager: pluggy.PluginManager, plugin: Plugin, owners: dict[tuple[str, str], str]) -> None:
    """Import a plugin and store what it registers; after an error it registers nothing.

    owners: the plugin that registered each (kind, name); this call adds to it.
    """
    key = f"{plugin.distribution}:{plugin.name}"
    try:
        with contextlib.nullcontext() if plugin.is_builtin else import_notice(plugin.name, plugin.distribution):
            registered = call_plugin(lambda: _registered(manager, plugin, key, owners))
    except PluginError as error:
        if manager.has_plugin(key):
            manager.unregister(name=key)
        plugin.state, plugin.error, plugin.trace = "failed", str(error), error.trace
        return
    plugin.recipes, plugin.priors, plugin.solvers = registered
    items: list[Recipe | PriorFamily | Solver] = [*plugin.recipes, *plugin.priors, *plugin.solvers]
    if not items:
        plugin.note = f"registers nothing: {hooks.why_nothing(manager, manager.get_plugin(key))}"
    for item in items:
        owners[type(item).__name__, item.name] = f"{plugin.name} of {plugin.distribution}"


def _registered(
    manager: pluggy.PluginManager, plugin: Plugin, key: str, owners: dict[tuple[str, str], str]
) -> tuple[list[Recipe], list[PriorFamily], list[Solver]]:
    """Import the module of a plugin, call its hooks, and return what they register."""
    if not plugin.entry.pattern.match(plugin.entry.value):
        found = f"found the entry point {plugin.name} = {plugin.entry.value}"
        raise RestorekitError(f"{found}, allowed: a module, such as package.module")
    if not plugin.is_builtin:
        check_requirements(plugin.distribution, plugin.version, plugin.requirements)
    module = plugin.entry.load()
    manager.register(module, name=key)
    hooks.check_hooks(manager, module)
    others = [p for p in manager.get_plugins() if p is not module]

    def call_hook(hook: str, kind: type[T], label: str, check: Callable[[T], None]) -> list[T]:
        added: list[T] = []

        def register(item: T) -> None:
            if not isinstance(item, kind):
                raise TypeError(f"{hook}: found {hooks.describe(item, hook)}, allowed: register({label})")
            owner = owners.get((kind.__name__, item.name))
            if owner or item.name in [previous.name for previous in added]:
                raise RestorekitError(f"{label} {item.name!r} is already registered by {owner or 'this plugin'}")
            check(item)
            added.append(item)

        manager.subset_hook_caller(hook, others)(register=register)
        return added

    return (
        call_hook("register_recipes", Recipe, "recipe", _check_recipe),
        call_hook("register_priors", PriorFamily, "prior family", _check_family),
        call_hook("register_solvers", Solver, "solver", _check_solver),
    )


def check_name(name: str) -> None:
    """Raise RestorekitError if the name of a recipe is that of a command, a module or a public name of restorekit."""
    if name in COMMANDS:
        raise RestorekitError(f"recipe {name!r}: the name is a command of restorekit; allowed: another name")
    function = name.replace("-", "_")
    if function in restorekit.__all__ or importlib.util.find_spec(f"restorekit.{function}") is not None:
        raise RestorekitError(f"recipe {name!r}: restorekit.{function} already exists; allowed: another name")


def _check_recipe(recipe: Recipe) -> None:
    check_name(recipe.name)
    check_names(recipe)


def _check_family(family: PriorFamily) -> None:
    if (BUNDLED / family.name).exists():
        raise RestorekitError(f"prior family {family.name!r}: the name is a bundled prior; allowed: another name")


def _check_solver(solver: Solver) -> None:
    if solver.name in BUILT_IN_NEEDS:
        raise RestorekitError(f"solver {solver.name!r} is already registered by restorekit")


def _built_in_solvers() -> tuple[Solver, ...]:
    """Return the built-in solvers, whose modules import torch and are therefore imported on first use."""
    from restorekit.sampling import solvers as module

    return module.SOLVERS
