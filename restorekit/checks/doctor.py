"""`restorekit plugins doctor`: imports and checks every plugin in a separate process.

`python -m restorekit.checks.doctor NAME DISTRIBUTION` is that process. It writes a line of JSON before and after every
check, which identifies a check that crashed or hung. Without arguments, it imports all selected plugins together, as
every command does, and writes the error of each. The module of a plugin may define two functions for the doctor:
`operators` returns linear operators, each with a shape that it accepts; `examples` returns options for recipes that do
not run with their defaults, and the text that selects a prior of a family.
"""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

from restorekit.core.family import PriorFamily
from restorekit.core.recipe import Recipe
from restorekit.errors import RestorekitError
from restorekit.plugins.discovery import SELECTION, Plugin, plugin_files, plugin_named, plugins
from restorekit.plugins.plugin_errors import PluginError, call_plugin

if TYPE_CHECKING:
    from restorekit.checks.checks import Check
    from restorekit.core.operators import LinearOperator

TIMEOUT = 600.0
# Limit for the import of all plugins together.
IMPORT_TIMEOUT = 60.0
TOGETHER = "imports with the other plugins"
T = TypeVar("T")


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        check: name of the check.
        error: the error in one line; None if the check passed or was not run.
        skipped: why the check was not run, in one line; None if it was.
    """

    check: str
    error: str | None
    skipped: str | None = None


def examine(plugin: Plugin, timeout: float = TIMEOUT) -> list[Finding]:
    """Run all checks of a plugin in a separate process with a time limit in seconds."""
    output, reason = _run([plugin.name, plugin.distribution], {SELECTION: plugin.name}, timeout)
    return read_findings(output, reason)


def examine_together(selection: str | None, timeout: float = TIMEOUT) -> dict[tuple[str, str], Finding]:
    """Import plugins in one separate process, as every command does; return the finding on each by name and
    distribution, which is empty if that process did not end.

    selection: value of `RESTOREKIT_PLUGINS`; None for that of this process.
    """
    variables = {} if selection is None else {SELECTION: selection}
    output, _ = _run([], variables, min(timeout, IMPORT_TIMEOUT))
    try:
        records = json.loads(output)
    except json.JSONDecodeError:
        return {}
    return {
        (record["name"], record["distribution"]): Finding(
            TOGETHER, record["error"], f"not selected by {SELECTION}" if record["state"] == "not selected" else None
        )
        for record in records
    }


def _run(words: list[str], variables: dict[str, str], timeout: float) -> tuple[str, str]:
    """Run the process of the doctor; return its output and why it ended."""
    command = [sys.executable, "-m", "restorekit.checks.doctor", *words]
    environment = os.environ | variables
    try:
        done = subprocess.run(command, env=environment, capture_output=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired as error:
        return (error.stdout or b"").decode(errors="replace"), f"took longer than {timeout:g} seconds (--timeout)"
    return done.stdout.decode(errors="replace"), _exit_reason(done.returncode)


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
            findings.append(Finding(**record))
        started = record.get("started", "the next check")
    return [*findings, Finding(started, reason)]


def main(name: str, distribution: str, out: TextIO) -> None:
    """Run all checks of a plugin and write the findings as JSON; after a failed import, no other check is run."""

    def write(**record: Any) -> None:
        out.write(json.dumps(record) + "\n")
        out.flush()

    write(started="imports")
    for check in _checks(plugin_named(name, distribution)):
        if isinstance(check, Finding):
            write(**asdict(check))
            continue
        write(started=check.name)
        write(check=check.name, error=_error_of(check))
    write(done=True)


def list_imports(out: TextIO) -> None:
    """Import all selected plugins and write what `examine_together` reads."""
    fields = ("name", "distribution", "state", "error")
    out.write(json.dumps([{field: getattr(plugin, field) for field in fields} for plugin in plugins()]))


def _error_of(check: Check) -> str | None:
    try:
        call_plugin(check.run, plugin_files())
    except PluginError as error:
        failed = isinstance(error.__cause__, AssertionError)
        return error.text.removeprefix("AssertionError: ") if failed else str(error)
    return None


def _checks(plugin: Plugin) -> Iterator[Check | Finding]:
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
        example = examples.get(recipe.name)
        options = example if isinstance(example, Mapping) else {}
        for check in recipe_checks(recipe, options=options):
            yield Check(f"recipe {recipe.name}: {check.name}", check.run)
        if recipe.model is not None:
            name = f"recipe {recipe.name}: with {recipe.model}"
            yield Check(name, lambda r=recipe, o=options: _check_default_prior(r, o))  # type: ignore[misc]
    for family in plugin.priors:
        name = f"prior family {family.name}: rejects unknown names"
        yield Check(name, lambda f=family: _check_rejection(f))  # type: ignore[misc]
        example = examples.get(family.name)
        yield from _prior_checks(family, example if isinstance(example, str) else None)
    for solver in plugin.solvers:
        for check in solver_checks(solver):
            yield Check(f"solver {solver.name}: {check.name}", check.run)
    for operator, shape in _or_none(_operators, module) or []:
        name = f"operator {type(operator).__name__} on {' x '.join(map(str, shape))}"
        yield Check(name, lambda a=operator, s=shape: check_operator(a, s))  # type: ignore[misc]


def _prior_checks(family: PriorFamily, text: str | None) -> Iterator[Check | Finding]:
    """Yield the checks of the prior that a text selects; None if the plugin has no example."""
    from restorekit.checks.checks import Check
    from restorekit.checks.priors import prior_checks
    from restorekit.models.registry import load_prior

    if text is None:
        allowed = f'allowed: a function examples() that returns {{"{family.name}": "TEXT"}}'
        skipped = f"no example, so that shapes, batches, gradients and noise removal were not checked; {allowed}"
        yield Finding(f"prior family {family.name}: its priors", None, skipped)
        return
    name = f"{family.name}:{text}"

    def load() -> None:
        load_prior(name)

    yield Check(f"prior {name}: loads", load)
    try:
        prior = load_prior(name)
    except RestorekitError:  # reported by the check above
        return
    for check in prior_checks(prior):
        yield Check(f"prior {name}: {check.name}", check.run)


def _examples(module: ModuleType) -> Mapping[str, Mapping[str, Any] | str]:
    """Return the result of the function `examples` of the module; empty if it is not defined."""
    from restorekit.checks.checks import require

    found = _result_of(module, "examples", {})
    valid = isinstance(found, Mapping) and all(isinstance(example, Mapping | str) for example in found.values())
    require(valid, f'returns {found!r}, allowed: {{"RECIPE": {{"option": value}}, "PRIOR_FAMILY": "TEXT"}}')
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

    assert recipe.model is not None
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
        if len(sys.argv) > 1:
            main(sys.argv[1], sys.argv[2], stream)
        else:
            list_imports(stream)
