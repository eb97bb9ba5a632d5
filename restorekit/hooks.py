"""What a plugin can add. A plugin is a module named by an entry point of the group `restorekit`.

Every hook gets a function `register` and calls it once for each thing that the plugin brings. A name that is taken, by
restorekit or by another plugin, is an error that names both; a plugin is taken whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable

import pluggy

from restorekit.core.family import PriorFamily
from restorekit.core.recipe import Recipe
from restorekit.core.solver import Solver

PROJECT = "restorekit"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def register_recipes(register: Callable[[Recipe], None]) -> None:
    """Call `register(recipe)` for every recipe.

    Each becomes a command (`restorekit NAME`) and a function (`restorekit.NAME`).
    """


@hookspec
def register_priors(register: Callable[[PriorFamily], None]) -> None:
    """Call `register(PriorFamily(name, load, help))` for every family of priors.

    `--model NAME:TEXT` and `load_prior("NAME:TEXT")` are then `load(TEXT)`.
    """


@hookspec
def register_solvers(register: Callable[[Solver], None]) -> None:
    """Call `register(Solver(...))` for every solver of linear inverse problems.

    Every recipe with a `ChosenSolver` then takes it by its name.
    """
