"""What there is to choose from, as tables and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from restorekit.core.solver import Solver


def list_solvers(
    steps: Annotated[int, typer.Option(help="Noise levels visited, for the evaluations.", min=1, max=10_000)] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List the solvers of linear problems: paper, needs, evaluations of the prior per image, and bias."""
    from restorekit.plugins import solvers

    facts = solver_facts(solvers().values(), steps)
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    columns = ("name", "paper", "needs", "evaluations")
    rows = [[fact["name"], fact["paper"], ", ".join(fact["needs"]) or "-", str(fact["evaluations"])] for fact in facts]
    lines = aligned([columns, *rows])
    print(lines[0])
    for line, fact in zip(lines[1:], facts, strict=True):
        print(f"{line}\n    {fact['summary']}\n    Bias: {fact['bias'] or 'not stated'}.")


def solver_facts(solvers: Iterable[Solver], steps: int) -> list[dict[str, Any]]:
    """What each solver says of itself, for so many steps."""
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


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of columns as wide as their widest word, two spaces apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip() for row in rows]
