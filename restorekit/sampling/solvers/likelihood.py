"""Solvers that use the gradient of the data misfit through the prior: PiGDM and DPS."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from restorekit.core.denoiser import Denoiser, denoise_at, per_image
from restorekit.core.operators import LinearOperator
from restorekit.sampling.samplers import Noise, OnStep, ddim_step
from restorekit.sampling.solvers.proximal import MIN_DAMPING
from restorekit.sampling.solvers.setup import (
    check_methods,
    check_problem,
    check_range,
    initial_state,
    no_gradient_error,
)

# Image size and number of steps for which DPS's step sizes were chosen: 3 x 256 x 256 values, 1000 steps.
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
    """PiGDM: shifts each estimate by the gradient of a Gaussian likelihood that includes the prior's uncertainty.

    Song et al. 2023 (ICLR, "Pseudoinverse-guided diffusion models for inverse problems"), algorithm 1, in sigma. With
    p(x0 | x) approximated by N(D, r^2 I), r^2 = v sigma^2 / (v + sigma^2) and v = prior_variance (the paper's r_t has
    v = 1), the measurement shifts D by sigma^2 J^T A^T (r^2 A A^T + sigma_y^2)^-1 (y - A D), J = dD / dx.

    Exact for a Gaussian prior of variance v with independent pixels, in the limit of small steps. For other priors
    r^2 I is not the covariance of x0 given x, and the variance of the samples is wrong. docs/solvers.md has the
    measured bias.
    """
    check_problem(operator, y, sigma_y, noise)
    check_methods("pigdm", operator, "solve")
    check_range("eta", eta, 0, 1)
    x, sigmas = initial_state(prior, operator, y, noise, steps=steps, start=start, sigma_max=sigma_max, ladder=ladder)
    for index, (t, s) in enumerate(itertools.pairwise(sigmas.tolist())):
        variance = prior_variance * t**2 / (prior_variance + t**2)
        damping = max(sigma_y**2 / variance, MIN_DAMPING)
        with torch.enable_grad():
            points = x.detach().requires_grad_()
            denoised = denoise_at(prior, points, t)
            if not denoised.requires_grad:
                raise no_gradient_error("pigdm", operator, sigma_y)
            residual = y - operator.forward(denoised.detach())
            target = operator.adjoint(operator.solve(residual, damping)) / variance
            (gradient,) = torch.autograd.grad((denoised * target).sum(), points)
        estimate = denoised.detach() + t**2 * gradient
        x = ddim_step(x, estimate, t, s, noise, eta)
        if on_step is not None:
            on_step(index, x, estimate)
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
    """DPS: DDPM's chain with a gradient step on the distance between y and A D after every step.

    Chung et al. 2023, arXiv 2209.14687, algorithm 1, with the step size zeta / |y - A D| of its appendix. Its state is
    x / sqrt(1 + sigma^2), so that in sigma the step from t to s adds to x
    - zeta sqrt((1 + t^2)(1 + s^2)) grad |y - A D|^2 / |y - A D|.
    This step size does not depend on the size of the image or the number of steps. The paper's values, 0.3 to 1, are
    for images of 256 x 256 pixels and 1000 steps; here they are scaled by the square root of the number of values and
    by 1000 / steps, so that one value of zeta suits all. No step is longer than |y - A D| / |grad |y - A D||, where the
    distance would be 0 if A D were linear in x, so that the chain does not overshoot when steps are few. sigma_y is
    ignored.

    Erratum: the authors' code takes the gradient of |y - A D| instead of its square, which halves the step of algorithm
    1 for the same zeta, and uses the distance of the whole batch. Here the step is the paper's, for each image
    separately.

    Biased: the step does not follow from a likelihood, does not shrink as the fit improves, and replaces p(y | x) by
    p(y | D). docs/solvers.md has the measured bias.
    """
    check_problem(operator, y, sigma_y, noise)
    x, sigmas = initial_state(prior, operator, y, noise, steps=steps, start=start, sigma_max=sigma_max, ladder=ladder)
    scale = 2 * zeta * math.sqrt(x[0].numel() / DPS_VALUES) * DPS_STEPS / (len(sigmas) - 1)
    for index, (t, s) in enumerate(itertools.pairwise(sigmas.tolist())):
        with torch.enable_grad():
            points = x.detach().requires_grad_()
            denoised = denoise_at(prior, points, t)
            if not denoised.requires_grad:
                raise no_gradient_error("dps", operator, sigma_y)
            distances = (y - operator.forward(denoised)).flatten(1).square().sum(1).clamp(min=1e-20).sqrt()
            (gradient,) = torch.autograd.grad(distances.sum(), points)
        denoised = denoised.detach()
        unguided = ddim_step(x, denoised.clamp(-1, 1) if clip else denoised, t, s, noise, 1.0)
        longest = distances.detach() / gradient.flatten(1).square().sum(1).clamp(min=1e-20)
        x = unguided - per_image(longest.clamp(max=scale * math.sqrt((1 + t**2) * (1 + s**2))), x) * gradient
        if on_step is not None:
            on_step(index, x, denoised)
    return x
