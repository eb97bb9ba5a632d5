"""Solvers that treat every singular value of the operator separately: DDRM and DDNM+.

With A = U S V^T, the state is represented by its coefficients V^T x. A coefficient of singular value s_i is measured as
(U^T y)_i / s_i, with noise of standard deviation sigma_y / s_i. A coefficient of singular value 0 is not measured: its
standard deviation is inf.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from restorekit.core.denoiser import Denoiser, denoise_at
from restorekit.core.operators import LinearOperator, SVDOperator
from restorekit.core.posterior import posterior_variance
from restorekit.core.svd import SVD
from restorekit.sampling.samplers import Noise, OnStep
from restorekit.sampling.solvers.setup import check_problem, check_range, initial_state, no_svd_error


@dataclass(frozen=True, eq=False)
class SpectralMeasurement:
    """The measurement of every coefficient.

    Attributes:
        svd: the decomposition of the operator.
        observed: True where the coefficient is measured.
        value: S^+ U^T y; 0 where the coefficient is not measured.
        std: standard deviation of the noise of `value`, sigma_y / s_i; inf where the coefficient is not measured.
    """

    svd: SVD
    observed: Tensor
    value: Tensor
    std: Tensor


def spectral_measurement(
    name: str, operator: LinearOperator, y: Tensor, sigma_y: float, x: Tensor
) -> SpectralMeasurement:
    """Return y in the basis of the operator.

    name: name of the solver, for the error. x: any image of the right shape.
    """
    svd = operator.svd(x) if isinstance(operator, SVDOperator) else None
    if svd is None:
        raise no_svd_error(name, operator, sigma_y)
    observed = svd.observed
    values = svd.S.masked_fill(~observed, 1)
    value = (svd.Ut(y) / values).masked_fill(~observed, 0)
    return SpectralMeasurement(svd, observed, value, (sigma_y / values).masked_fill(~observed, math.inf))


def solve_ddrm(
    prior: Denoiser,
    operator: LinearOperator,
    y: Tensor,
    sigma_y: float,
    noise: Noise,
    *,
    steps: int,
    eta: float = 0.85,
    eta_b: float = 1.0,
    start: Tensor | None = None,
    sigma_max: float | None = None,
    ladder: Tensor | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """DDRM: uses the measurement of every singular value that is less noisy than the state; requires an SVD.

    Kawar et al. 2022, arXiv 2201.11793, equations 7 and 8, which are already written in sigma. With D in the basis of
    V, a measurement m with noise of standard deviation d, and fresh noise z, a step from level t to s sets a
    coefficient to
    - not measured:  D + s (sqrt(1 - eta^2) (x - D) / t + eta z)
    - d > s:         D + s (sqrt(1 - eta^2) (m - D) / d + eta z)
    - d <= s:        (1 - eta_b) D + eta_b m + sqrt(s^2 - eta_b^2 d^2) z
    Coefficients whose d exceeds the first level, which do not occur in the paper, start like those that are not
    measured.

    Biased: a fraction eta of the noise is replaced at every step, however short, so that detail is lost, more with
    more steps (the paper uses few, about 20). docs/solvers.md has the measured bias.
    """
    check_problem(operator, y, sigma_y, noise)
    check_range("eta", eta, 0, 1)
    image, sigmas = initial_state(
        prior, operator, y, noise, steps=steps, start=start, sigma_max=sigma_max, ladder=ladder
    )
    check_range("eta_b", eta_b, 0, 1)
    measurement = spectral_measurement("ddrm", operator, y, sigma_y, image)
    svd, std, sigma_start = measurement.svd, measurement.std, float(sigmas[0])
    x, remaining = svd.Vt(image), math.sqrt(1 - eta**2)
    measured = measurement.value + (sigma_start**2 - std**2).clamp(min=0).sqrt() * svd.Vt(noise.like(image))
    x = torch.where(std <= sigma_start, measured, x)
    for index, (t, s) in enumerate(itertools.pairwise(sigmas.tolist())):
        denoised = svd.Vt(denoise_at(prior, svd.V(x), t))
        fresh = svd.Vt(noise.like(image))
        noisier = measurement.observed & (std > s)
        direction = torch.where(noisier, (measurement.value - denoised) / std, (x - denoised) / t)
        guided = denoised + s * (remaining * direction + eta * fresh)
        added = (s**2 - eta_b**2 * std.masked_fill(~measurement.observed, 0) ** 2).clamp(min=0).sqrt()
        replaced = (1 - eta_b) * denoised + eta_b * measurement.value + added * fresh
        x = torch.where(std <= s, replaced, guided)
        if on_step is not None:
            on_step(index, svd.V(x), svd.V(denoised))
    return svd.V(x)


def solve_ddnm_plus(
    prior: Denoiser,
    operator: LinearOperator,
    y: Tensor,
    sigma_y: float,
    noise: Noise,
    *,
    steps: int,
    eta: float = 1.0,
    least: float = 0.03,
    start: Tensor | None = None,
    sigma_max: float | None = None,
    ladder: Tensor | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """DDNM+: DDNM for noisy measurements, whose noise replaces part of the noise of each step; requires an SVD.

    Wang et al. 2022, arXiv 2212.00490, section 3.3 (equations 17 and 18) and the appendix on its solution by singular
    values, for DDIM with a fraction eta of fresh noise (the paper's chain is eta = 1). In sigma, a step from t to s
    multiplies the clean estimate by a and adds noise of standard deviation f. A measurement m with noise of standard
    deviation d contributes noise a d. If a d <= f, the estimate D becomes m, and noise of variance f^2 - (a d)^2 is
    added. Otherwise D becomes D + (m - D) f / (a d), and no noise is added. Without noise in y it is DDNM.

    least: for noisy y, singular values below this fraction of the largest are treated as 0, as in the authors'
    experiments with blur; their noise would dominate the image.

    Biased: the noise of y is treated as fresh at every step although it is always the same, so that the results overfit
    it, more with more steps. docs/solvers.md has the measured bias.
    """
    check_problem(operator, y, sigma_y, noise)
    check_range("eta", eta, 0, 1)
    image, sigmas = initial_state(
        prior, operator, y, noise, steps=steps, start=start, sigma_max=sigma_max, ladder=ladder
    )
    measurement = spectral_measurement("ddnm-plus", operator, y, sigma_y, image)
    svd, observed = measurement.svd, measurement.observed
    if sigma_y > 0:
        observed = observed & svd.S.ge(least * svd.S.max())
    std = measurement.std.masked_fill(~observed, 0)
    x = svd.Vt(image)
    for index, (t, s) in enumerate(itertools.pairwise(sigmas.tolist())):
        denoised = svd.Vt(denoise_at(prior, svd.V(x), t))
        fresh = eta * math.sqrt(posterior_variance(t, s))
        remaining = math.sqrt(s**2 - fresh**2) / t
        contributed = (1 - remaining) * std
        weight = torch.where(contributed > fresh, fresh / contributed.clamp(min=1e-30), 1) * observed
        estimate = denoised + weight * (measurement.value - denoised)
        added = (fresh**2 - (weight * contributed) ** 2).clamp(min=0).sqrt()
        x = estimate + remaining * (x - estimate) + added * svd.Vt(noise.like(image))
        if on_step is not None:
            on_step(index, svd.V(x), svd.V(estimate))
    return svd.V(x)
