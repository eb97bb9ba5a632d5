"""Solvers beside the posterior of a Gaussian prior, which is known: each is as biased as docs/solvers.md says, no more
and no less."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest
import torch

from restorekit.core.ladders import karras_ladder
from restorekit.core.operators import SpectralOperator
from restorekit.core.solver import Solver
from restorekit.plugins import solver_named
from restorekit.sampling.samplers import sample_ddim
from restorekit.sampling.solvers import SOLVERS
from tests.sampling.linear import (
    CORRELATED,
    COUNT,
    INDEPENDENT,
    OPERATORS,
    SHAPE,
    STD,
    STEPS,
    Bias,
    OneGenerator,
    bias,
    problem,
)

PAGE = Path(__file__).parents[2] / "docs" / "solvers.md"
NOISE = 0.1
# What the page says each was measured with, beside 40 steps from sigma 20.
OPTIONS: dict[str, dict[str, object]] = {
    "repaint": {"clip": False, "jump": 4, "resample": 3},
    "ddnm": {"clip": False},
    "pigdm": {"prior_variance": STD**2},
    "dps": {"clip": False},
    "langevin": {"ladder": karras_ladder(2, 0.005, 25)},
    "dpir": {"ladder": None},
}
# Conjugate gradients at every one of many updates take minutes.
SLOW = {("langevin", "zero blur"), ("langevin", "grey and small"), ("diffpir", "zero blur")}
# Of these the measurement without noise leaves nothing open.
DECIDED = {"identity", "blur", "zero blur"}


def operators(solver: Solver, sigma_y: float) -> list[str]:
    """Names of the problems that a solver is measured on."""
    return [
        name
        for name, operator in OPERATORS.items()
        if not (sigma_y == 0 and name in DECIDED)
        and not (sigma_y > 0 and "noise-free" in solver.needs)
        and not ("svd" in solver.needs and (not isinstance(operator, SpectralOperator) or name == "zero blur"))
        and (solver.name, name) not in SLOW
    ]


CASES = [
    pytest.param(solver, name, sigma_y, id=f"{solver.name}-{name}-{'noisy' if sigma_y else 'clean'}")
    for solver in SOLVERS
    for sigma_y in (0.0, NOISE)
    for name in operators(solver, sigma_y)
]


@functools.cache
def measured(solver: str, name: str, sigma_y: float) -> Bias:
    return bias(solver_named(solver), problem(name, sigma_y), **OPTIONS.get(solver, {}))


@functools.cache
def stated() -> dict[tuple[str, bool], tuple[float, float, float]]:
    """(largest error of the mean, least spread, largest spread) by solver, and whether y has noise, from the page."""
    table = PAGE.read_text(encoding="utf-8").split("| solver | mean off, y clean |")[1].split("\n\n")[0]
    found = {}
    for line in table.splitlines()[2:]:
        name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        for noisy, mean, spread in ((False, *cells[:2]), (True, *cells[2:4])):
            if mean != "-":
                low, _, high = spread.partition(" to ")
                found[name.strip("`"), noisy] = float(mean), float(low), float(high or low)
    return found


@pytest.mark.parametrize(("solver", "name", "sigma_y"), CASES)
def test_no_solver_is_more_biased_than_stated(solver: Solver, name: str, sigma_y: float) -> None:
    got = measured(solver.name, name, sigma_y)
    mean, low, high = stated()[solver.name, sigma_y > 0]
    assert got.mean <= mean + 0.02
    assert low - 0.03 <= got.spread <= high + 0.03
    if sigma_y == 0 and solver.name != "dps":
        assert got.fit < 1e-3


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda s: s.name)
def test_no_solver_is_less_biased_than_stated(solver: Solver) -> None:
    for sigma_y in (0.0, NOISE):
        if not operators(solver, sigma_y):
            assert (solver.name, sigma_y > 0) not in stated()
            continue
        all_of_it = [measured(solver.name, name, sigma_y) for name in operators(solver, sigma_y)]
        mean, low, high = stated()[solver.name, sigma_y > 0]
        assert max(b.mean for b in all_of_it) >= 0.9 * mean - 0.02
        assert min(b.spread for b in all_of_it) <= low + 0.03
        assert max(b.spread for b in all_of_it) >= high - 0.03


def test_the_walk_itself_is_too_narrow_by_as_much_as_stated() -> None:
    noise, ladder = OneGenerator(), karras_ladder(20, 0.005, STEPS)
    start = 20 * noise.like(torch.empty(COUNT, *SHAPE))
    got = sample_ddim(CORRELATED, start, ladder, noise, eta=1.0, clip=False)
    spread = (got.flatten(1).double().var(0).mean() / STD**2).item()
    found = re.search(
        r"the same walk without any measurement has ([\d.]+) of the prior's variance", PAGE.read_text("utf-8")
    )
    assert found is not None
    assert spread == pytest.approx(float(found[1]), abs=0.02)


@pytest.mark.parametrize(
    ("name", "sigma_y"),
    [("masking", 0.0), ("masking", NOISE), ("blur", NOISE), ("grey and small", 0.0), ("grey and small", NOISE)],
)
def test_pigdm_is_exact_for_independent_pixels_and_small_steps(name: str, sigma_y: float) -> None:
    asked = problem(name, sigma_y, INDEPENDENT)
    options = {"prior_variance": STD**2, "ladder": karras_ladder(20, 0.005, 250)}
    got = bias(solver_named("pigdm"), asked, **options)
    # The error of a mean of 400 draws is 0.05.
    assert got.mean < 0.08
    assert got.spread == pytest.approx(1, abs=0.07)
    coarse = bias(solver_named("pigdm"), asked, prior_variance=STD**2)
    assert coarse.spread < got.spread


@pytest.mark.parametrize("name", ["masking", "blur", "mosaic"])
def test_langevin_is_the_more_exact_the_more_updates(name: str) -> None:
    def moments(inner_steps: int) -> Bias:
        ladder = karras_ladder(2, 0.005, 25)
        return bias(solver_named("langevin"), problem(name, NOISE), ladder=ladder, inner_steps=inner_steps)

    few, many = moments(2), moments(20)
    assert many.mean + abs(many.spread - 1) < 0.8 * (few.mean + abs(few.spread - 1))
    assert abs(many.spread - 1) < 0.06
    assert many.mean < 0.1


@pytest.mark.parametrize("name", ["ddrm", "ddnm-plus"])
def test_more_steps_fit_the_noise_more_as_stated(name: str) -> None:
    few, many = (
        bias(solver_named(name), problem("blur", NOISE), ladder=karras_ladder(20, 0.005, steps)) for steps in (20, 100)
    )
    assert many.mean > 1.5 * few.mean
    assert many.spread < few.spread


def test_repaint_leans_less_to_the_prior_with_more_resampling() -> None:
    def mean(resample: int) -> float:
        return bias(solver_named("repaint"), problem("mosaic", 0.0), clip=False, jump=4, resample=resample).mean

    assert mean(4) < 0.6 * mean(1)
