"""Solvers compared with the known posterior of a Gaussian prior: each has the bias that docs/solvers.md states."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest
import torch

from restorekit.core.ladders import karras_ladder
from restorekit.core.operators import SVDOperator
from restorekit.core.solver import Solver
from restorekit.plugins.discovery import solver_named
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
# The options that the page states, in addition to 40 steps from sigma 20.
OPTIONS: dict[str, dict[str, object]] = {
    "repaint": {"clip": False, "jump": 4, "resample": 3},
    "ddnm": {"clip": False},
    "pigdm": {"prior_variance": STD**2},
    "dps": {"clip": False},
    "langevin": {"ladder": karras_ladder(2, 0.005, 25)},
    "dpir": {"ladder": None},
}
# Conjugate gradients at every update take minutes.
SLOW = {("langevin", "zero blur"), ("langevin", "grey and small"), ("diffpir", "zero blur")}
# Without noise these determine the image.
INVERTIBLE = {"identity", "blur", "zero blur"}


def operators(solver: Solver, sigma_y: float) -> list[str]:
    """Names of the operators that a solver is measured on."""
    return [
        name
        for name, operator in OPERATORS.items()
        if not (sigma_y == 0 and name in INVERTIBLE)
        and not (sigma_y > 0 and "noise-free" in solver.needs)
        and not ("svd" in solver.needs and (not isinstance(operator, SVDOperator) or name == "zero blur"))
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
    """(largest error of the mean, smallest spread, largest spread) from the page, by solver and noisiness of y."""
    table = PAGE.read_text(encoding="utf-8").split("| solver | error of the mean, clean y |")[1].split("\n\n")[0]
    found = {}
    for line in table.splitlines()[2:]:
        name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        for noisy, mean, spread in ((False, *cells[:2]), (True, *cells[2:4])):
            if mean != "-":
                low, _, high = spread.partition(" to ")
                found[name.strip("`"), noisy] = float(mean), float(low), float(high or low)
    return found


@pytest.mark.parametrize(("solver", "name", "sigma_y"), CASES)
def test_bias_is_at_most_as_stated(solver: Solver, name: str, sigma_y: float) -> None:
    got = measured(solver.name, name, sigma_y)
    mean, low, high = stated()[solver.name, sigma_y > 0]
    assert got.mean <= mean + 0.02
    assert low - 0.03 <= got.spread <= high + 0.03
    if sigma_y == 0 and solver.name != "dps":
        assert got.fit < 1e-3


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda s: s.name)
def test_bias_is_at_least_as_stated(solver: Solver) -> None:
    for sigma_y in (0.0, NOISE):
        if not operators(solver, sigma_y):
            assert (solver.name, sigma_y > 0) not in stated()
            continue
        results = [measured(solver.name, name, sigma_y) for name in operators(solver, sigma_y)]
        mean, low, high = stated()[solver.name, sigma_y > 0]
        assert max(b.mean for b in results) >= 0.9 * mean - 0.02
        assert min(b.spread for b in results) <= low + 0.03
        assert max(b.spread for b in results) >= high - 0.03


def test_variance_of_sampling_without_a_measurement_is_as_stated() -> None:
    noise, ladder = OneGenerator(), karras_ladder(20, 0.005, STEPS)
    start = 20 * noise.like(torch.empty(COUNT, *SHAPE))
    got = sample_ddim(CORRELATED, start, ladder, noise, eta=1.0, clip=False)
    spread = (got.flatten(1).double().var(0).mean() / STD**2).item()
    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    found = re.search(r"the same chain without a measurement has ([\d.]+) of the prior's variance", text)
    assert found is not None
    assert spread == pytest.approx(float(found[1]), abs=0.02)


@pytest.mark.parametrize(
    ("name", "sigma_y"),
    [("masking", 0.0), ("masking", NOISE), ("blur", NOISE), ("grey and small", 0.0), ("grey and small", NOISE)],
)
def test_pigdm_is_unbiased_for_independent_pixels_and_small_steps(name: str, sigma_y: float) -> None:
    task = problem(name, sigma_y, INDEPENDENT)
    options = {"prior_variance": STD**2, "ladder": karras_ladder(20, 0.005, 250)}
    got = bias(solver_named("pigdm"), task, **options)
    # The standard error of a mean of 400 samples is 0.05.
    assert got.mean < 0.08
    assert got.spread == pytest.approx(1, abs=0.07)
    coarse = bias(solver_named("pigdm"), task, prior_variance=STD**2)
    assert coarse.spread < got.spread


@pytest.mark.parametrize("name", ["masking", "blur", "mosaic"])
def test_bias_of_langevin_decreases_with_the_number_of_updates(name: str) -> None:
    def moments(inner_steps: int) -> Bias:
        ladder = karras_ladder(2, 0.005, 25)
        return bias(solver_named("langevin"), problem(name, NOISE), ladder=ladder, inner_steps=inner_steps)

    few, many = moments(2), moments(20)
    assert many.mean + abs(many.spread - 1) < 0.8 * (few.mean + abs(few.spread - 1))
    assert abs(many.spread - 1) < 0.06
    assert many.mean < 0.1


@pytest.mark.parametrize("name", ["ddrm", "ddnm-plus"])
def test_more_steps_overfit_the_noise(name: str) -> None:
    few, many = (
        bias(solver_named(name), problem("blur", NOISE), ladder=karras_ladder(20, 0.005, steps)) for steps in (20, 100)
    )
    assert many.mean > 1.5 * few.mean
    assert many.spread < few.spread


def test_bias_of_repaint_decreases_with_resampling() -> None:
    def mean(resample: int) -> float:
        return bias(solver_named("repaint"), problem("mosaic", 0.0), clip=False, jump=4, resample=resample).mean

    assert mean(4) < 0.6 * mean(1)
