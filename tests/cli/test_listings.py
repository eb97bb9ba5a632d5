"""`restorekit solvers`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from restorekit.cli.listings import solver_facts
from restorekit.cli.terminal import print_table
from restorekit.core.solver import Solver
from restorekit.plugins import discovery
from restorekit.sampling.solvers import SOLVERS, solve_dps


@pytest.fixture(autouse=True)
def _without_plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(discovery.SELECTION, "")
    discovery.clear_cache()
    yield
    discovery.clear_cache()


def test_solvers_are_listed_as_a_table(restorekit) -> None:
    code, out, _ = restorekit("solvers", "--steps", "20")
    assert code == 0
    header, *rows = [re.split(r" {2,}", line) for line in out.splitlines()]
    assert header == ["name", "paper", "needs", "evaluations", "summary", "bias"]
    for row, solver in zip(rows, SOLVERS, strict=True):
        needs = ", ".join(solver.needs) or "-"
        facts = [solver.name, solver.paper, needs, str(solver.evaluations(20)), solver.summary, solver.bias]
        assert row == facts
    evaluations = {row[0]: row[3] for row in rows}
    # RePaint goes back up by 10 levels 9 times with 20 levels; Langevin makes 10 updates per level and denoises last.
    assert (evaluations["repaint"], evaluations["langevin"]) == ("110", "201")


def test_solvers_are_listed_as_json(restorekit) -> None:
    facts = json.loads(restorekit("solvers", "--json")[1])
    assert [fact["name"] for fact in facts] == [solver.name for solver in SOLVERS]
    ddrm = next(fact for fact in facts if fact["name"] == "ddrm")
    assert (ddrm["needs"], ddrm["steps"], ddrm["evaluations"]) == (["svd"], 50, 50)


def test_solver_of_a_plugin_is_described() -> None:
    (fact,) = solver_facts([Solver("mine", "nobody", solve_dps, ("gradients",), lambda steps: 2 * steps)], 7)
    assert (fact["name"], fact["evaluations"], fact["needs"], fact["bias"]) == ("mine", 14, ["gradients"], "")


def test_tables_in_a_pipe_are_neither_wrapped_nor_parsed_as_markup(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["name", "text"], [["a", "word " * 100 + "[x0 | y]"], ["bbbbb", "c"]])
    print_table(["", ""], [["a", "[b]"]])
    assert capsys.readouterr().out.splitlines() == [
        "name   text",
        "a      " + "word " * 100 + "[x0 | y]",
        "bbbbb  c",
        "a  [b]",
    ]
