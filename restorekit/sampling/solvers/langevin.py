"""Annealed Langevin dynamics with a data term."""

from __future__ import annotations

from torch import Tensor

from restorekit.core.denoiser import Denoiser
from restorekit.core.operators import LinearOperator
from restorekit.sampling.langevin import sample_langevin
from restorekit.sampling.samplers import Noise, OnStep
from restorekit.sampling.solvers.setup import check_count, check_methods, check_problem, initial_state

# Default number of updates at each level.
UPDATES = 10


def solve_langevin(
    prior: Denoiser,
    operator: LinearOperator,
    y: Tensor,
    sigma_y: float,
    noise: Noise,
    *,
    steps: int,
    inner_steps: int = UPDATES,
    step: float | None = None,
    start: Tensor | None = None,
    sigma_max: float | None = None,
    ladder: Tensor | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """Langevin: annealed Langevin dynamics with the scores of the prior and of the measurement.

    Song and Ermon 2019, arXiv 1907.05600, algorithm 1, and algorithm 2 (inpainting) if y has no noise; otherwise the
    score of the measurement is added at every level (see `sample_langevin`). The default ladder is that of
    `ladder_for`. The number of evaluations is inner_steps per level, plus one for the final denoising.

    Exact in the limit of many updates and small final levels; with few updates the chain does not converge at the
    high-noise levels. docs/solvers.md has the measured bias.
    """
    check_problem(operator, y, sigma_y, noise)
    check_methods("langevin", operator, "solve" if sigma_y > 0 else "pinv")
    check_count("inner_steps", inner_steps)
    x, sigmas = initial_state(prior, operator, y, noise, steps=steps, start=start, sigma_max=sigma_max, ladder=ladder)
    return sample_langevin(
        prior, x, sigmas, noise, inner_steps=inner_steps, step=step, operator=operator, y=y, sigma_y=sigma_y,
        on_step=on_step,
    )  # fmt: skip


def langevin_evaluations(steps: int) -> int:
    """Return the number of evaluations of the prior with the default number of updates."""
    return steps * UPDATES + 1
