"""Solvers that follow the gradient of the measurement through the prior: PiGDM and DPS."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from restorekit.core.denoiser import Denoiser, denoise_at, per_image
from restorekit.core.operators import LinearOperator
from restorekit.sampling.samplers import Noise, OnStep, ddim_step
from restorekit.sampling.solvers.begin import begin, within, without_gradients
from restorekit.sampling.solvers.proximal import LEAST_DAMPING

# The images and the number of steps for which DPS's step sizes were chosen: 3 x 256 x 256 values, 1000 steps.
DPS_VALUES, DPS_STEPS = 3 * 256 * 256, 1000


def solve_pigdm(
    prior: Denoiser,
    operator: LinearOperator,
    y: Tensor,
    sigma_y: float,
    noise: Noise,
    *,
    steps: int,
    eta: float = 1.0,
    prior_variance: float = 1.0,
    start: Tensor | None = None,
    sigma_max: float | None = None,
    ladder: Tensor | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """PiGDM: moves each estimate by the gradient of a Gaussian likelihood that counts what the prior leaves open.

    Song et al. 2023 (ICLR, "Pseudoinverse-guided diffusion models for inverse problems"), algorithm 1, in sigma. With
    p(x0 | x) taken for N(D, r^2 I), r^2 = v sigma^2 / (v + sigma^2) and v = prior_variance (the paper's r_t is that
    with v = 1), the measurement moves D by sigma^2 J^T A^T (r^2 A A^T + sigma_y^2)^-1 (y - A D), J = dD / dx.

    Exact for a Gaussian prior of variance v and independent pixels, in the limit of small steps; for others r^2 I is
    not the covariance of x0 given x, and the spread comes out wrong. The measured table is in docs/solvers.md.
    """
    within("eta", eta, 0, 1)
    x, chosen = begin(prior, operator, y, sigma_y, noise, steps=steps, start=start, sigma_max=sigma_max, ladder=ladder)
    for index, (t, s) in enumerate(itertools.pairwise(chosen.tolist())):
        spread = prior_variance * t**2 / (prior_variance + t**2)
        damping = max(sigma_y**2 / spread, LEAST_DAMPING)
        with torch.enable_grad():
            points = x.detach().requires_grad_()
            denoised = denoise_at(prior, points, t)
            if not denoised.requires_grad:
                raise without_gradients("pigdm", operator, sigma_y)
            rest = y - operator.forward(denoised.detach())
            target = operator.adjoint(operator.solve(rest, damping)) / spread
            (slope,) = torch.autograd.grad((denoised * target).sum(), points)
        aim = denoised.detach() + t**2 * slope
        x = ddim_step(x, aim, t, s, noise, eta)
        if on_step is not None:
            on_step(index, x, aim)
    return x


def solve_dps(
    prior: Denoiser,
    operator: LinearOperator,
    y: Tensor,
    sigma_y: float,
    noise: Noise,
    *,
    steps: int,
    zeta: float = 0.5,
    clip: bool = True,
    start: Tensor | None = None,
    sigma_max: float | None = None,
    ladder: Tensor | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """DPS: DDPM's chain, and after every step one down the gradient of the distance between y and A D.

    Chung et al. 2023, arXiv 2209.14687, algorithm 1, with the step size zeta / |y - A D| of its appendix. Its state is
    x / sqrt(1 + sigma^2), so that in sigma the step from t to s moves x by
    - zeta sqrt((1 + t^2)(1 + s^2)) grad |y - A D|^2 / |y - A D|.
    That length says nothing of the size of the image or the number of steps; the paper's, 0.3 to 1, are for images of
    256 x 256 pixels and 1000 steps, and are scaled here by the root of the pixels and by 1000 / steps, so that one
    number serves all. No step is longer than |y - A D| / |grad |y - A D||, where the distance would be 0 were A D
    linear, so that few steps do not overshoot. sigma_y is not looked at.

    Erratum: the authors' code takes the gradient of |y - A D|, not of its square: half of the step of algorithm 1 for
    the same number, and that of a whole batch at once. Here it is the paper's, and each image's own.

    Biased: the step is no likelihood's, does not shrink as the fit grows close, and replaces p(y | x) by p(y | D). The
    measured table is in docs/solvers.md.
    """
    x, chosen = begin(prior, operator, y, sigma_y, noise, steps=steps, start=start, sigma_max=sigma_max, ladder=ladder)
    scale = 2 * zeta * math.sqrt(x[0].numel() / DPS_VALUES) * DPS_STEPS / (len(chosen) - 1)
    for index, (t, s) in enumerate(itertools.pairwise(chosen.tolist())):
        with torch.enable_grad():
            points = x.detach().requires_grad_()
            denoised = denoise_at(prior, points, t)
            if not denoised.requires_grad:
                raise without_gradients("dps", operator, sigma_y)
            distances = (y - operator.forward(denoised)).flatten(1).square().sum(1).clamp(min=1e-20).sqrt()
            (slope,) = torch.autograd.grad(distances.sum(), points)
        denoised = denoised.detach()
        ahead = ddim_step(x, denoised.clamp(-1, 1) if clip else denoised, t, s, noise, 1.0)
        enough = distances.detach() / slope.flatten(1).square().sum(1).clamp(min=1e-20)
        x = ahead - per_image(enough.clamp(max=scale * math.sqrt((1 + t**2) * (1 + s**2))), x) * slope
        if on_step is not None:
            on_step(index, x, denoised)
    return x
