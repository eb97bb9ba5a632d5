"""`restorekit plugins doctor`: every plugin imported and tried in a process of its own.

`python -m restorekit.doctor NAME` is that process: it writes a line of JSON before and after every check, so that one
that crashes or hangs is known by its name. A module may have two functions for it: `operators`, linear operators, each
with a shape that it takes, and `examples`, options of recipes, by name, for those that do not run without any.
"""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

from restorekit.core.family import PriorFamily
from restorekit.core.recipe import Recipe
from restorekit.errors import RestorekitError
from restorekit.foreign import ForeignError, attempt
from restorekit.plugins import SELECTION, Plugin, plugin_named

if TYPE_CHECKING:
    from restorekit.core.operators import LinearOperator
    from restorekit.testing import Check

TIMEOUT = 600.0
T = TypeVar("T")


@dataclass(frozen=True)
class Finding:
    """What one check found: the error in one line, or None."""

    check: str
    error: str | None


def examine(plugin: Plugin, timeout: float = TIMEOUT) -> list[Finding]:
    """All checks of one plugin, in another process that may take `timeout` seconds."""
    environment = {**os.environ, SELECTION: plugin.name}
    command = [sys.executable, "-m", "restorekit.doctor", plugin.name, plugin.distribution]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, timeout=timeout, check=False)
        output, end = done.stdout, _end(done.returncode)
    except subprocess.TimeoutExpired as error:
        output, end = error.stdout or b"", f"took longer than {timeout:g} seconds; allowed: less (--timeout)"
    return read_findings(output.decode(errors="replace"), end)


def _end(code: int) -> str:
    return f"the process was killed by signal {-code}" if code < 0 else f"the process ended with exit code {code}"


def read_findings(output: str, end: str) -> list[Finding]:
    """Findings from lines of JSON; `end` says what became of a check that has no result."""
    findings: list[Finding] = []
    begun = "imports"
    for line in output.splitlines():
        record: dict[str, Any] = json.loads(line)
        if "done" in record:
            return findings
        if "check" in record:
            findings.append(Finding(record["check"], record["error"]))
        begun = record.get("begun", "the next check")
    return [*findings, Finding(begun, end)]


def main(name: str, distribution: str, out: TextIO) -> None:
    """Run all checks of a plugin; one that could not be imported has no further ones."""

    def say(**record: Any) -> None:
        out.write(json.dumps(record) + "\n")
        out.flush()

    say(begun="imports")
    for check in _checks(plugin_named(name, distribution)):
        say(begun=check.name)
        say(check=check.name, error=_error_of(check))
    say(done=True)


def _error_of(check: Check) -> str | None:
    try:
        attempt(check.run)
    except ForeignError as error:
        return (
            error.text.removeprefix("AssertionError: ") if isinstance(error.__cause__, AssertionError) else str(error)
        )
    return None


def _checks(plugin: Plugin) -> Iterator[Check]:
    from restorekit.testing import Check, check_operator, recipe_checks, solver_checks
    from restorekit.testing.checks import require

    yield Check("imports", lambda: require(plugin.error is None, plugin.error or ""))
    if plugin.error is not None:
        return
    things = [*plugin.recipes, *plugin.priors, *plugin.solvers]
    yield Check("brings something", lambda: require(bool(things), "nothing; allowed: register_... with @rk.hookimpl"))
    module = sys.modules[plugin.module]
    for read in (_examples, _operators):
        name = read.__name__.strip("_")
        if inspect.isfunction(getattr(module, name, None)):
            yield Check(f"{name}()", lambda r=read: r(module))  # type: ignore[misc]
    examples = _readable(_examples, module) or {}
    for recipe in plugin.recipes:
        options = examples.get(recipe.name, {})
        for check in recipe_checks(recipe, options=options):
            yield Check(f"recipe {recipe.name}: {check.name}", check.run)
        own = f"recipe {recipe.name}: with {recipe.model}"
        yield Check(own, lambda r=recipe, o=options: _with_its_own(r, o))  # type: ignore[misc]
    for family in plugin.priors:
        yield Check(f"priors {family.name}: refuses what it does not know", lambda f=family: _refuses(f))  # type: ignore[misc]
    for solver in plugin.solvers:
        for check in solver_checks(solver):
            yield Check(f"solver {solver.name}: {check.name}", check.run)
    for operator, shape in _readable(_operators, module) or []:
        name = f"operator {type(operator).__name__} on {' x '.join(map(str, shape))}"
        yield Check(name, lambda a=operator, s=shape: check_operator(a, s))  # type: ignore[misc]


def _examples(module: ModuleType) -> Mapping[str, Mapping[str, Any]]:
    """What the module's function `examples` returns; empty where it has none."""
    from restorekit.testing.checks import require

    found = _returned(module, "examples", {})
    fits = isinstance(found, Mapping) and all(isinstance(options, Mapping) for options in found.values())
    require(fits, f'returns {found!r}, allowed: {{"RECIPE": {{"option": value}}}}')
    return found  # type: ignore[no-any-return]


def _operators(module: ModuleType) -> list[tuple[LinearOperator, tuple[int, ...]]]:
    """What the module's function `operators` returns; empty where it has none."""
    from restorekit.core.operators import LinearOperator
    from restorekit.testing.checks import require

    found = _returned(module, "operators", [])
    allowed = "allowed: a list of pairs, (operator, (N, C, H, W))"
    require(isinstance(found, list | tuple), f"returns {type(found).__name__}, {allowed}")
    for pair in found:
        fits = isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], LinearOperator)
        require(fits and isinstance(pair[1], tuple) and len(pair[1]) == 4, f"returns {pair!r}, {allowed}")
    return list(found)


def _returned(module: ModuleType, name: str, empty: Any) -> Any:
    function = getattr(module, name, None)
    return function() if inspect.isfunction(function) else empty


def _readable(read: Callable[[ModuleType], T], module: ModuleType) -> T | None:
    """What is read from the module; None where that fails, which a check tells."""
    try:
        return attempt(lambda: read(module))
    except ForeignError:
        return None


def _with_its_own(recipe: Recipe, options: Mapping[str, Any]) -> None:
    """The recipe on a photo, with the prior that it takes when none is named."""
    from restorekit.models.registry import load_prior
    from restorekit.testing import recipe_checks

    prior = load_prior(recipe.model)
    next(check for check in recipe_checks(recipe, prior, options) if check.name == "photo").run()


def _refuses(family: PriorFamily) -> None:
    """A name that means nothing gets one line."""
    try:
        family.load("no such prior")
    except RestorekitError:
        return
    raise AssertionError("'no such prior' was loaded; allowed: rk.ModelError that says what is allowed")


if __name__ == "__main__":
    # What the plugin prints goes to standard error, so that standard output holds nothing but findings.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as findings:
        os.dup2(2, 1)
        main(sys.argv[1], sys.argv[2], findings)
