"""What every solver keeps."""

from __future__ import annotations

import torch
from torch import Tensor

from restorekit.core.filters import Blur, Downsample, gaussian_kernel
from restorekit.core.noise import ImageNoise
from restorekit.core.operators import LinearOperator, Masking
from restorekit.core.solver import Solver
from restorekit.testing.checks import Check, require, require_close, require_finite, run_all
from restorekit.testing.gaussian import GaussianPrior
from restorekit.testing.photos import another, photo

SIDE, STEPS, NOISE = 24, 20, 0.1
# Share of the measurement that an answer may leave unexplained: one that has not looked at it leaves more.
UNEXPLAINED = 0.5
KNOWN = torch.ones(1, 1, SIDE, SIDE, dtype=torch.bool)
KNOWN[..., 8:16, 8:16] = False
OPERATORS: dict[str, LinearOperator] = {
    "a mask": Masking(KNOWN),
    "a blur": Blur(gaussian_kernel(0.8)),
    "half the size": Downsample(2, "box"),
}


class _NoGradients(GaussianPrior):
    """A prior that no solver may differentiate."""

    def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        require(not x.requires_grad, "takes gradients; allowed: needs=('gradients',)")
        return super().__call__(x, sigma, label)


def check_solver(solver: Solver) -> None:
    """A solver gives images that fit the measurement, with and without noise where it may have some, in one step too,
    the same for the same `ImageNoise`, image by image as in a batch, and with as many evaluations of the prior as it
    states; without gradients unless it states that it needs them."""
    run_all(solver_checks(solver))


def solver_checks(solver: Solver) -> list[Check]:
    """The checks of `check_solver`, one by one."""
    where = f"solver {solver.name}"

    def fits(operator: LinearOperator) -> None:
        for sigma_y in _noises(solver):
            y = _measured(operator, sigma_y)
            before = y.clone()
            x = _solved(solver, operator, y, sigma_y)
            require(x.shape == (1, 3, SIDE, SIDE), f"{where}: shape {tuple(x.shape)}, allowed: (1, 3, {SIDE}, {SIDE})")
            require_finite(x, where)
            require(torch.equal(y, before), f"{where}: the measurement was changed; allowed: new tensors")
            left = float((operator.forward(x) - y).norm() / y.norm())
            require(
                left <= UNEXPLAINED, f"{where}: leaves {left:.0%} of y unexplained, allowed: {UNEXPLAINED:.0%} or less"
            )

    usable = {name: a for name, a in OPERATORS.items() if "svd" not in solver.needs or hasattr(a, "svd")}
    return [
        Check("states what it is", lambda: _facts(solver)),
        *(Check(f"fits a measurement through {name}", lambda a=a: fits(a)) for name, a in usable.items()),  # type: ignore[misc]
        Check("one step", lambda: require_finite(_one(solver, 1, [1]), f"{where}, one step")),
        Check("the same noise, the same answer", lambda: _repeats(solver, where)),
        Check("batch of two as one by one", lambda: _batch(solver, where)),
        Check("evaluations as stated", lambda: _evaluations(solver, where)),
    ]


def _facts(solver: Solver) -> None:
    require(bool(solver.summary), f"solver {solver.name}: solve() has no docstring; its first line is the help")
    require(bool(solver.paper), f"solver {solver.name}: paper is empty; allowed: authors, year and number")


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


def _one(solver: Solver, steps: int, seeds: list[int]) -> Tensor:
    """One photo for each seed, which tells its photo as well."""
    operator, sigma_y = OPERATORS["a mask"], _noises(solver)[-1]
    first = _measured(operator, sigma_y)
    y = torch.cat([first if seed == 1 else operator.forward(another(first)) for seed in seeds])
    return _solved(solver, operator, y, sigma_y, seeds, steps)


def _repeats(solver: Solver, where: str) -> None:
    with torch.random.fork_rng(devices=[]):
        answers = []
        for seed in (0, 1):
            torch.manual_seed(seed)
            answers.append(_one(solver, STEPS, [1]))
    require(torch.equal(*answers), f"{where}: two answers differ; allowed: randomness from noise.like(x) alone")


def _batch(solver: Solver, where: str) -> None:
    alone = torch.cat([_one(solver, STEPS, [seed]) for seed in (1, 2)])
    require_close(_one(solver, STEPS, [1, 2]), alone, f"{where}: two images, together and one by one")


def _evaluations(solver: Solver, where: str) -> None:
    prior = GaussianPrior(0, 0.5)
    operator, sigma_y = OPERATORS["a mask"], _noises(solver)[-1]
    _solved(solver, operator, _measured(operator, sigma_y), sigma_y, steps=STEPS, prior=prior)
    found, stated = len(prior.seen), solver.evaluations(STEPS)
    require(found == stated, f"{where}: {found} evaluations in {STEPS} steps, stated: {stated}")
