"""What `restorekit solvers` says."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from restorekit import plugins
from restorekit.core.solver import Solver
from restorekit.listings import aligned, solver_facts
from restorekit.sampling.solvers import SOLVERS, solve_dps


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(plugins.SELECTION, "")
    plugins.forget()
    yield
    plugins.forget()


def test_the_table(restorekit) -> None:
    code, out, _ = restorekit("solvers", "--steps", "20")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].split() == ["name", "paper", "needs", "evaluations"]
    assert len(lines) == 1 + 3 * len(SOLVERS)
    for index, solver in enumerate(SOLVERS):
        row, does, bias = lines[1 + 3 * index : 4 + 3 * index]
        assert row.startswith(f"{solver.name} ")
        assert solver.paper in row
        assert row.endswith(f" {solver.evaluations(20)}")
        assert does.strip() == solver.summary
        assert solver.bias in bias
    # RePaint goes up by 10 nine times from one of 20 levels; Langevin updates 10 times at each, and denoises last.
    assert next(line for line in lines if line.startswith("repaint ")).endswith(" 110")
    assert next(line for line in lines if line.startswith("langevin ")).endswith(" 201")


def test_json(restorekit) -> None:
    facts = json.loads(restorekit("solvers", "--json")[1])
    assert [fact["name"] for fact in facts] == [solver.name for solver in SOLVERS]
    ddrm = next(fact for fact in facts if fact["name"] == "ddrm")
    assert (ddrm["needs"], ddrm["steps"], ddrm["evaluations"]) == (["svd"], 50, 50)


def test_solvers_of_others_are_listed_alike() -> None:
    (fact,) = solver_facts([Solver("mine", "nobody", solve_dps, ("gradients",), lambda steps: 2 * steps)], 7)
    assert (fact["name"], fact["evaluations"], fact["needs"], fact["bias"]) == ("mine", 14, ["gradients"], "")
    assert aligned([("a", "bb"), ("ccc", "d")]) == ["a    bb", "ccc  d"]
