"""`restorekit plugins doctor`: every plugin imported and tried in a process of its own.

`python -m restorekit.doctor NAME` is that process: it writes a line of JSON before and after every check, so that one
that crashes or hangs is known by its name.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

from restorekit.errors import RestorekitError
from restorekit.foreign import ForeignError, attempt
from restorekit.plugins import SELECTION, Plugin, plugin_named

if TYPE_CHECKING:
    from restorekit.testing import Check

TIMEOUT = 600.0
# A module may have this function: linear operators, each with a shape that it takes.
OPERATORS = "operators"


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
    begun: str | None = "imports"
    for line in output.splitlines():
        record: dict[str, Any] = json.loads(line)
        begun = record.get("begun")
        if "check" in record:
            findings.append(Finding(record["check"], record["error"]))
    return findings if begun is None else [*findings, Finding(begun, end)]


def main(name: str, distribution: str, out: TextIO) -> None:
    """Run all checks of a plugin; one that could not be imported has no further ones."""
    out.write(json.dumps({"begun": "imports"}) + "\n")
    out.flush()
    plugin = plugin_named(name, distribution)
    for check in _checks(plugin):
        out.write(json.dumps({"begun": check.name}) + "\n")
        out.flush()
        error = _error_of(check)
        out.write(json.dumps({"check": check.name, "error": error}) + "\n")
        out.flush()


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
    for recipe in plugin.recipes:
        for check in recipe_checks(recipe):
            yield Check(f"recipe {recipe.name}: {check.name}", check.run)
        yield Check(f"recipe {recipe.name}: with {recipe.model}", lambda r=recipe: _with_its_own(r))  # type: ignore[misc]
    for family in plugin.priors:
        yield Check(f"priors {family.name}: refuses what it does not know", lambda f=family: _refuses(f))  # type: ignore[misc]
    for solver in plugin.solvers:
        for check in solver_checks(solver):
            yield Check(f"solver {solver.name}: {check.name}", check.run)
    for operator, shape in getattr(sys.modules[plugin.module], OPERATORS, list)():
        name = f"operator {type(operator).__name__} on {' x '.join(map(str, shape))}"
        yield Check(name, lambda a=operator, s=shape: check_operator(a, s))  # type: ignore[misc]


def _with_its_own(recipe: Any) -> None:
    """The recipe on a photo, with the prior that it takes when none is named."""
    from restorekit.models.registry import load_prior
    from restorekit.testing import recipe_checks

    prior = load_prior(recipe.model)
    next(check for check in recipe_checks(recipe, prior) if check.name == "photo").run()


def _refuses(family: Any) -> None:
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
