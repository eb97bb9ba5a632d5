"""What a plugin can add. A plugin is a module named by an entry point of the group `restorekit`."""

from __future__ import annotations

from collections.abc import Callable

import pluggy

from restorekit.core.recipe import Recipe

PROJECT = "restorekit"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def register_recipes(register: Callable[[Recipe], None]) -> None:
    """Call `register(recipe)` for every recipe that the plugin brings.

    Each becomes a command (`restorekit NAME`) and a function (`restorekit.NAME`). A name that is taken is an error.
    """
