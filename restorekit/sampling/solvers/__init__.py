"""Solvers of linear problems y = A x + sigma_y n, over any denoiser and any linear operator, with one signature:

    solve(prior, operator, y, sigma_y, noise, *, steps, start=None, sigma_max=None, ladder=None, on_step=None, ...)

    prior     a Denoiser
    operator  A (see `restorekit.core.operators`)
    y         the measurement (N, ...)
    sigma_y   standard deviation of its noise, in the unit of y; 0 for none
    noise     a source of standard normal tensors: an `ImageNoise` of N images, or anything with `like(x)`
    steps     number of noise levels, at most that of a prior with fixed levels
    start     initial estimate (N, C, H, W), to which noise of the first level is added; None: zeros (mid-grey)
    sigma_max first noise level; None: that of the prior, or that of the solver's paper
    ladder    replaces `ladder_for(prior, steps)`: decreasing, last = 0, tensor or list; steps and sigma_max are ignored
    on_step   called after every step with (index of the step, new state, current clean estimate)

Returns (N, C, H, W), in [-1, 1] except for overshoots. `SOLVERS` lists the solvers with their needs and bias.
"""

from restorekit.initial.least_squares import initial_estimate
from restorekit.sampling.solvers.langevin import solve_langevin
from restorekit.sampling.solvers.likelihood import solve_dps, solve_pigdm
from restorekit.sampling.solvers.nullspace import solve_ddnm, solve_repaint
from restorekit.sampling.solvers.proximal import solve_diffpir, solve_dpir
from restorekit.sampling.solvers.registry import SOLVERS
from restorekit.sampling.solvers.svd import solve_ddnm_plus, solve_ddrm

__all__ = [
    "SOLVERS",
    "initial_estimate",
    "solve_ddnm",
    "solve_ddnm_plus",
    "solve_ddrm",
    "solve_diffpir",
    "solve_dpir",
    "solve_dps",
    "solve_langevin",
    "solve_pigdm",
    "solve_repaint",
]
