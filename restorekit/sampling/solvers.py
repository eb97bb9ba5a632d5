"""Solvers of noisy linear problems y = A x + sigma_y n, over any denoiser and any linear operator.

Common arguments, beside those of `restorekit.sampling.samplers`:

    operator  A, with adjoint and damped solution (see `restorekit.core.operators`)
    y         the measurement
    sigma_y   standard deviation of its noise, in the unit of y; 0 for none
    x         the state at ladder[0], of the image's shape; pure noise is noise.like(x) * ladder[0]

`restorekit.sampling.consistent` has those for measurements without noise (DDNM, RePaint, plug-and-play).
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from restorekit.core.denoiser import Denoiser, denoise_at
from restorekit.core.operators import LinearOperator
from restorekit.sampling.samplers import Noise, OnStep, ddim_step

# Damping stands in for no noise at all, so that A A^T need not be invertible.
LEAST_DAMPING = 1e-6


def solve_pigdm(
    prior: Denoiser,
    operator: LinearOperator,
    y: Tensor,
    sigma_y: float,
    x: Tensor,
    ladder: Tensor,
    noise: Noise,
    *,
    eta: float = 1.0,
    prior_variance: float = 1.0,
    on_step: OnStep | None = None,
) -> Tensor:
    """Pseudoinverse-guided diffusion (Song et al. 2023, ICLR, algorithm 1), in sigma; needs gradients of the prior.

    With p(x0 | x) taken for N(D, r^2 I), r^2 = v sigma^2 / (v + sigma^2) and v = prior_variance (the paper's r_t is
    that with v = 1), the measurement moves D by sigma^2 J^T A^T (r^2 A A^T + sigma_y^2)^-1 (y - A D), J = dD / dx.
    For a Gaussian prior of variance v the posterior is sampled exactly in the limit of small steps.
    """

    def moved(state: Tensor, sigma: float) -> Tensor:
        spread = prior_variance * sigma**2 / (prior_variance + sigma**2)
        with torch.enable_grad():
            points = state.detach().requires_grad_()
            denoised = denoise_at(prior, points, sigma)
            rest = y - operator.forward(denoised.detach())
            damping = max(sigma_y**2 / spread, LEAST_DAMPING)
            target = operator.adjoint(operator.solve(rest, damping)) / spread
            (slope,) = torch.autograd.grad((denoised * target).sum(), points)
        return denoised.detach() + sigma**2 * slope

    for index, (t, s) in enumerate(itertools.pairwise(ladder.tolist())):
        denoised = moved(x, t)
        x = ddim_step(x, denoised, t, s, noise, eta)
        if on_step is not None:
            on_step(index, x, denoised)
    return x


def solve_diffpir(
    prior: Denoiser,
    operator: LinearOperator,
    y: Tensor,
    sigma_y: float,
    x: Tensor,
    ladder: Tensor,
    noise: Noise,
    *,
    weight: float = 8.0,
    fresh: float = 0.3,
    on_step: OnStep | None = None,
) -> Tensor:
    """DiffPIR (Zhu et al. 2023, arXiv 2305.08995, algorithm 1): D, then the proximal point of the measurement, then the
    next level, with a share `fresh` (the paper's zeta) of new noise. weight is the paper's lambda; its rho_t is
    lambda sigma_y^2 / sigma_t^2. No gradients of the prior. Biased: the proximal point is no draw of the posterior.
    """
    for index, (t, s) in enumerate(itertools.pairwise(ladder.tolist())):
        denoised = denoise_at(prior, x, t)
        damping = max(weight * sigma_y**2 / t**2, LEAST_DAMPING)
        nearest = denoised + operator.adjoint(operator.solve(y - operator.forward(denoised), damping))
        kept = (x - nearest) / t
        x = nearest + s * (math.sqrt(1 - fresh) * kept + math.sqrt(fresh) * noise.like(x))
        if on_step is not None:
            on_step(index, x, nearest)
    return x
