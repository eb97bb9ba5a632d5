"""Checks of solvers of linear inverse problems."""

from __future__ import annotations

import torch
from torch import Tensor

from restorekit.checks.checks import Check, require, require_close, require_finite, run_all
from restorekit.checks.gaussian import GaussianPrior
from restorekit.checks.photos import other_photo, photo
from restorekit.core.filters import Blur, Downsample, gaussian_kernel
from restorekit.core.noise import ImageNoise
from restorekit.core.operators import LinearOperator, Masking
from restorekit.core.solver import Solver

SIDE, STEPS, NOISE = 24, 20, 0.1
# Largest allowed relative residual |A x - y| / |y|; a solver that ignores the measurement has a larger one.
RESIDUAL = 0.5
KNOWN = torch.ones(1, 1, SIDE, SIDE, dtype=torch.bool)
KNOWN[..., 8:16, 8:16] = False
OPERATORS: dict[str, LinearOperator] = {
    "a mask": Masking(KNOWN),
    "a blur": Blur(gaussian_kernel(0.8)),
    "downsampling": Downsample(2, "box"),
}


class _NoGradients(GaussianPrior):
    """A prior that must not be differentiated."""

    def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        require(not x.requires_grad, "differentiates the prior; allowed only with needs=('gradients',)")
        return super().__call__(x, sigma, label)


def check_solver(solver: Solver) -> None:
    """Check that a solver returns finite images that fit the measurement, without and (unless it needs "noise-free")
    with noise, and also in one step.

    The results must be equal for equal `ImageNoise`, and equal for a batch and for single images. The number of
    evaluations of the prior must be as stated, and the prior must not be differentiated unless `needs` states it.
    """
    run_all(solver_checks(solver))


def solver_checks(solver: Solver) -> list[Check]:
    """Return the individual checks of `check_solver`."""
    where = f"solver {solver.name}"

    def fits(operator: LinearOperator) -> None:
        for sigma_y in _noises(solver):
            y = _measured(operator, sigma_y)
            before = y.clone()
            x = _solved(solver, operator, y, sigma_y)
            require(x.shape == (1, 3, SIDE, SIDE), f"{where}: shape {tuple(x.shape)}, allowed: (1, 3, {SIDE}, {SIDE})")
            require_finite(x, where)
            require(torch.equal(y, before), f"{where}: the measurement was modified; allowed: new tensors")
            residual = float((operator.forward(x) - y).norm() / y.norm())
            require(residual <= RESIDUAL, f"{where}: relative residual {residual:.2g}, allowed: {RESIDUAL:g} or less")

    usable = {name: a for name, a in OPERATORS.items() if "svd" not in solver.needs or hasattr(a, "svd")}
    return [
        Check("documented", lambda: _check_documented(solver)),
        *(Check(f"fits a measurement with {name}", lambda a=a: fits(a)) for name, a in usable.items()),  # type: ignore[misc]
        Check("one step", lambda: require_finite(_solve_masked(solver, 1, [1]), f"{where}, one step")),
        Check("reproducible", lambda: _repeats(solver, where)),
        Check("batch equals single images", lambda: _batch(solver, where)),
        Check("number of evaluations", lambda: _evaluations(solver, where)),
    ]


def _check_documented(solver: Solver) -> None:
    require(bool(solver.summary), f"solver {solver.name}: solve() has no docstring; its first line is the summary")
    require(bool(solver.paper), f"solver {solver.name}: paper is empty; allowed: authors, year and arXiv number or DOI")


def _noises(solver: Solver) -> list[float]:
    return [0.0] if "noise-free" in solver.needs else [0.0, NOISE]


def _measured(operator: LinearOperator, sigma_y: float) -> Tensor:
    y = operator.forward(photo(SIDE, SIDE))
    return y + sigma_y * ImageNoise([5]).like(y)


def _solved(
    solver: Solver,
    operator: LinearOperator,
    y: Tensor,
    sigma_y: float,
    seeds: list[int] | None = None,
    steps: int = STEPS,
    prior: GaussianPrior | None = None,
) -> Tensor:
    if prior is None:
        prior = GaussianPrior(0, 0.5) if "gradients" in solver.needs else _NoGradients(0, 0.5)
    try:
        with torch.no_grad():
            return solver.solve(prior, operator, y, sigma_y, ImageNoise(seeds or [1]), steps=steps)
    except AssertionError as error:
        raise AssertionError(f"solver {solver.name}: {error}") from error


def _solve_masked(solver: Solver, steps: int, seeds: list[int]) -> Tensor:
    """Solve for one photo per seed; the seed also selects the photo."""
    operator, sigma_y = OPERATORS["a mask"], _noises(solver)[-1]
    first = _measured(operator, sigma_y)
    y = torch.cat([first if seed == 1 else operator.forward(other_photo(first)) for seed in seeds])
    return _solved(solver, operator, y, sigma_y, seeds, steps)


def _repeats(solver: Solver, where: str) -> None:
    with torch.random.fork_rng(devices=[]):
        results = []
        for seed in (0, 1):
            torch.manual_seed(seed)
            results.append(_solve_masked(solver, STEPS, [1]))
    require(torch.equal(*results), f"{where}: two results differ; allowed: randomness from noise.like(x) only")


def _batch(solver: Solver, where: str) -> None:
    single = torch.cat([_solve_masked(solver, STEPS, [seed]) for seed in (1, 2)])
    require_close(_solve_masked(solver, STEPS, [1, 2]), single, f"{where}: two images, as a batch and one by one")


def _evaluations(solver: Solver, where: str) -> None:
    prior = GaussianPrior(0, 0.5)
    operator, sigma_y = OPERATORS["a mask"], _noises(solver)[-1]
    _solved(solver, operator, _measured(operator, sigma_y), sigma_y, steps=STEPS, prior=prior)
    found, stated = len(prior.seen), solver.evaluations(STEPS)
    require(found == stated, f"{where}: found {found} evaluations in {STEPS} steps, but `evaluations` states {stated}")
