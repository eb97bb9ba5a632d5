"""Annealed Langevin dynamics with a data term, as NCSN's authors sample."""

from __future__ import annotations

from torch import Tensor

from restorekit.core.denoiser import Denoiser
from restorekit.core.operators import LinearOperator
from restorekit.sampling.langevin import sample_langevin
from restorekit.sampling.samplers import Noise, OnStep
from restorekit.sampling.solvers.begin import begin, within

# Updates at each level.
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
    """Langevin: annealed dynamics of the prior's score and the measurement's, `inner_steps` updates at every level.

    Song and Ermon 2019, arXiv 1907.05600, algorithm 1, and 2 (inpainting) where y has no noise; with noise the score of
    the measurement is added at every level (see `sample_langevin`). Written for priors with levels of their own, which
    it visits; any other gets Karras et al.'s. Evaluations are inner_steps a level, and one for the last denoising.

    Exact in the limit of many updates and of small last levels; with few the coarse levels are left before they have
    settled. The measured table is in docs/solvers.md.
    """
    within("inner_steps", inner_steps, 1)
    x, chosen = begin(prior, operator, y, sigma_y, noise, steps=steps, start=start, sigma_max=sigma_max, ladder=ladder)
    return sample_langevin(
        prior, x, chosen, noise, inner_steps=inner_steps, step=step, operator=operator, y=y, sigma_y=sigma_y,
        on_step=on_step,
    )  # fmt: skip


def langevin_evaluations(steps: int) -> int:
    """Evaluations of the prior at the default number of updates."""
    return steps * UPDATES + 1
