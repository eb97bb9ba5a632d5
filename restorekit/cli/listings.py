"""The command `restorekit solvers`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from restorekit.cli.terminal import print_table

if TYPE_CHECKING:
    from restorekit.core.solver import Solver


def list_solvers(
    steps: Annotated[
        int, typer.Option(help="Number of noise levels for which the evaluations are counted.", min=1, max=10_000)
    ] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the solvers of linear inverse problems with their papers, requirements, evaluations per image and bias."""
    from restorekit.plugins.discovery import solvers

    facts = solver_facts(solvers().values(), steps)
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    rows = [
        [f["name"], f["paper"], ", ".join(f["needs"]) or "-", str(f["evaluations"]), f["summary"], f["bias"] or "-"]
        for f in facts
    ]
    print_table(["name", "paper", "needs", "evaluations", "summary", "bias"], rows)


def solver_facts(solvers: Iterable[Solver], steps: int) -> list[dict[str, Any]]:
    """Return the properties of solvers as `restorekit solvers --json` prints them.

    steps: number of noise levels for which the evaluations are counted.
    """
    return [
        {
            "name": solver.name,
            "paper": solver.paper,
            "needs": list(solver.needs),
            "steps": steps,
            "evaluations": solver.evaluations(steps),
            "summary": solver.summary,
            "bias": solver.bias,
        }
        for solver in solvers
    ]
