"""Solvers of linear problems y = A x + sigma_y n, over any denoiser and any linear operator, with one signature:

    solve(prior, operator, y, sigma_y, noise, *, steps, start=None, sigma_max=None, ladder=None, on_step=None, ...)

    prior     a Denoiser
    operator  A (see `restorekit.core.operators`)
    y         the measurement (N, ...)
    sigma_y   standard deviation of its noise, in the unit of y; 0 for none
    noise     gives standard normal tensors: an `ImageNoise` of N images, or anything with `like(x)`
    steps     noise levels visited; a prior that knows only its own visits at most these
    start     first guess (N, C, H, W), to which noise of the first level is added; None: grey, as good as nothing
    sigma_max where the walk starts; None: at the prior's own, or where the paper of the solver has it
    ladder    another walk than that of `ladder_for`, decreasing, last = 0; steps and sigma_max are then not looked at
    on_step   called after every step with (index of the step, new state, clean image it aims at)

Returns (N, C, H, W) in [-1, 1] but for overshoots. `SOLVERS` lists them with what each needs and what its bias is.
"""

from restorekit.sampling.solvers.annealed import solve_langevin
from restorekit.sampling.solvers.first import first_guess
from restorekit.sampling.solvers.guided import solve_dps, solve_pigdm
from restorekit.sampling.solvers.nullspace import solve_ddnm, solve_repaint
from restorekit.sampling.solvers.proximal import solve_diffpir, solve_dpir
from restorekit.sampling.solvers.spectral import solve_ddnm_plus, solve_ddrm
from restorekit.sampling.solvers.table import SOLVERS

__all__ = [
    "SOLVERS",
    "first_guess",
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
