"""`restorekit plugins doctor`: imports and checks every plugin in a separate process.

`python -m restorekit.checks.doctor NAME DISTRIBUTION` is that process. It writes a line of JSON before and after every
check, which identifies a check that crashed or hung. The module of a plugin may define two functions for the doctor:
`operators` returns linear operators, each with a shape that it accepts; `examples` returns options for recipes that do
not run with their defaults.
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
from restorekit.plugins.discovery import SELECTION, Plugin, plugin_named
from restorekit.plugins.plugin_errors import PluginError, call_plugin

if TYPE_CHECKING:
    from restorekit.checks.checks import Check
    from restorekit.core.operators import LinearOperator

TIMEOUT = 600.0
T = TypeVar("T")


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        check: name of the check.
        error: the error in one line; None if the check passed.
    """

    check: str
    error: str | None


def examine(plugin: Plugin, timeout: float = TIMEOUT) -> list[Finding]:
    """Run all checks of a plugin in a separate process with a time limit in seconds."""
    environment = {**os.environ, SELECTION: plugin.name}
    command = [sys.executable, "-m", "restorekit.checks.doctor", plugin.name, plugin.distribution]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, timeout=timeout, check=False)
        output, reason = done.stdout, _exit_reason(done.returncode)
    except subprocess.TimeoutExpired as error:
        output, reason = error.stdout or b"", f"took longer than {timeout:g} seconds (--timeout)"
    return read_findings(output.decode(errors="replace"), reason)


def _exit_reason(code: int) -> str:
    return f"the process was killed by signal {-code}" if code < 0 else f"the process exited with code {code}"


def read_findings(output: str, reason: str) -> list[Finding]:
    """Parse findings from lines of JSON.

    reason: why the process ended; it becomes the error of a check that has started but has no result.
    """
    findings: list[Finding] = []
    started = "imports"
    for line in output.splitlines():
        record: dict[str, Any] = json.loads(line)
        if "done" in record:
            return findings
        if "check" in record:
            findings.append(Finding(record["check"], record["error"]))
        started = record.get("started", "the next check")
    return [*findings, Finding(started, reason)]


def main(name: str, distribution: str, out: TextIO) -> None:
    """Run all checks of a plugin and write the findings as JSON; after a failed import, no other check is run."""

    def write(**record: Any) -> None:
        out.write(json.dumps(record) + "\n")
        out.flush()

    write(started="imports")
    for check in _checks(plugin_named(name, distribution)):
        write(started=check.name)
        write(check=check.name, error=_error_of(check))
    write(done=True)


def _error_of(check: Check) -> str | None:
    try:
        call_plugin(check.run)
    except PluginError as error:
        failed = isinstance(error.__cause__, AssertionError)
        return error.text.removeprefix("AssertionError: ") if failed else str(error)
    return None


def _checks(plugin: Plugin) -> Iterator[Check]:
    from restorekit.checks.checks import Check, require
    from restorekit.checks.operators import check_operator
    from restorekit.checks.recipes import recipe_checks
    from restorekit.checks.solvers import solver_checks

    yield Check("imports", lambda: require(plugin.error is None, plugin.error or ""))
    if plugin.error is not None:
        return
    registered = [*plugin.recipes, *plugin.priors, *plugin.solvers]
    text = "found no recipe, prior or solver; allowed: a function register_... with @rk.hookimpl"
    yield Check("registers something", lambda: require(bool(registered), text))
    module = sys.modules[plugin.module]
    for read in (_examples, _operators):
        name = read.__name__.strip("_")
        if inspect.isfunction(getattr(module, name, None)):
            yield Check(f"{name}()", lambda r=read: r(module))  # type: ignore[misc]
    examples = _or_none(_examples, module) or {}
    for recipe in plugin.recipes:
        options = examples.get(recipe.name, {})
        for check in recipe_checks(recipe, options=options):
            yield Check(f"recipe {recipe.name}: {check.name}", check.run)
        name = f"recipe {recipe.name}: with {recipe.model}"
        yield Check(name, lambda r=recipe, o=options: _check_default_prior(r, o))  # type: ignore[misc]
    for family in plugin.priors:
        name = f"prior family {family.name}: rejects unknown names"
        yield Check(name, lambda f=family: _check_rejection(f))  # type: ignore[misc]
    for solver in plugin.solvers:
        for check in solver_checks(solver):
            yield Check(f"solver {solver.name}: {check.name}", check.run)
    for operator, shape in _or_none(_operators, module) or []:
        name = f"operator {type(operator).__name__} on {' x '.join(map(str, shape))}"
        yield Check(name, lambda a=operator, s=shape: check_operator(a, s))  # type: ignore[misc]


def _examples(module: ModuleType) -> Mapping[str, Mapping[str, Any]]:
    """Return the result of the function `examples` of the module; empty if it is not defined."""
    from restorekit.checks.checks import require

    found = _result_of(module, "examples", {})
    valid = isinstance(found, Mapping) and all(isinstance(options, Mapping) for options in found.values())
    require(valid, f'returns {found!r}, allowed: {{"RECIPE": {{"option": value}}}}')
    return found  # type: ignore[no-any-return]


def _operators(module: ModuleType) -> list[tuple[LinearOperator, tuple[int, ...]]]:
    """Return the result of the function `operators` of the module; empty if it is not defined."""
    from restorekit.checks.checks import require
    from restorekit.core.operators import LinearOperator

    found = _result_of(module, "operators", [])
    allowed = "allowed: a list of pairs, (operator, (N, C, H, W))"
    require(isinstance(found, list | tuple), f"returns {type(found).__name__}, {allowed}")
    for pair in found:
        valid = isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], LinearOperator)
        require(valid and isinstance(pair[1], tuple) and len(pair[1]) == 4, f"returns {pair!r}, {allowed}")
    return list(found)


def _result_of(module: ModuleType, name: str, default: Any) -> Any:
    function = getattr(module, name, None)
    return function() if inspect.isfunction(function) else default


def _or_none(read: Callable[[ModuleType], T], module: ModuleType) -> T | None:
    """Return read(module), or None if it fails, which a separate check reports."""
    try:
        return call_plugin(lambda: read(module))
    except PluginError:
        return None


def _check_default_prior(recipe: Recipe, options: Mapping[str, Any]) -> None:
    """Run the recipe on a photo with its default prior."""
    from restorekit.checks.recipes import recipe_checks
    from restorekit.models.registry import load_prior

    prior = load_prior(recipe.model)
    next(check for check in recipe_checks(recipe, prior, options) if check.name == "photo").run()


def _check_rejection(family: PriorFamily) -> None:
    """Check that an unknown name raises a RestorekitError."""
    try:
        family.load("no such prior")
    except RestorekitError:
        return
    raise AssertionError("'no such prior' was loaded; allowed: rk.ModelError that lists what is allowed")


if __name__ == "__main__":
    # The output of the plugin is redirected to standard error, so that standard output contains only findings.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as stream:
        os.dup2(2, 1)
        main(sys.argv[1], sys.argv[2], stream)
