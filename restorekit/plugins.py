"""Finding plugins, restorekit's own included, by the entry points of the group `restorekit`."""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points

import pluggy

from restorekit import hooks
from restorekit.commands import OWN, typer_command
from restorekit.core.recipe import Recipe
from restorekit.errors import RestorekitError


@dataclass
class Plugin:
    """One entry point and what became of it."""

    name: str
    distribution: str
    version: str
    recipes: list[Recipe] = field(default_factory=list)
    error: str | None = None


@functools.cache
def plugins() -> tuple[Plugin, ...]:
    """All plugins; one that cannot be loaded carries its error and the others work."""
    manager = pluggy.PluginManager(hooks.PROJECT)
    manager.add_hookspecs(hooks)
    taken: dict[str, Plugin] = {}
    found = sorted(entry_points(group=hooks.PROJECT), key=lambda e: (_distribution(e) != hooks.PROJECT, e.name))
    return tuple(_load(manager, entry, taken) for entry in found)


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else "unknown"


def _load(manager: pluggy.PluginManager, entry: EntryPoint, taken: dict[str, Plugin]) -> Plugin:
    plugin = Plugin(entry.name, _distribution(entry), entry.dist.version if entry.dist is not None else "unknown")
    added: list[Recipe] = []

    def register(recipe: Recipe) -> None:
        if not isinstance(recipe, Recipe):
            raise TypeError(f"register() takes a recipe made by @restorekit.recipe, found {recipe!r}")
        if recipe.name in taken:
            other = taken[recipe.name]
            raise RestorekitError(f"recipe {recipe.name!r} is already brought by {other.name} of {other.distribution}")
        if recipe.name in OWN:
            raise RestorekitError(f"recipe {recipe.name!r} is named like a command of restorekit: {', '.join(OWN)}")
        typer_command(recipe)
        added.append(recipe)

    try:
        module = entry.load()
        manager.register(module, name=f"{plugin.distribution}:{entry.name}")
        caller = manager.subset_hook_caller("register_recipes", [p for p in manager.get_plugins() if p is not module])
        caller(register=register)
    except Exception as error:  # noqa: BLE001 - foreign code may raise anything, and the other plugins go on
        manager.unregister(name=f"{plugin.distribution}:{entry.name}")
        plugin.error = f"{type(error).__name__}: {error}"
        return plugin
    plugin.recipes = added
    taken.update({recipe.name: plugin for recipe in added})
    return plugin


def recipes() -> dict[str, Recipe]:
    """Every recipe by its name."""
    return {recipe.name: recipe for plugin in plugins() for recipe in plugin.recipes}


def warn_of_broken_plugins() -> None:
    """One line on standard error for each plugin that could not be loaded."""
    for plugin in plugins():
        if plugin.error:
            print(f"warning: plugin {plugin.name} of {plugin.distribution}: {plugin.error}", file=sys.stderr)
