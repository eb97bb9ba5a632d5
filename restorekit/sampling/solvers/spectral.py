"""Solvers that treat every singular value of the operator for itself: DDRM and DDNM+.

With A = U S V^T, the state is kept as its coefficients V^T x. A coefficient of singular value s_i is measured as
(U^T y)_i / s_i with noise of deviation sigma_y / s_i; one of singular value 0 is not measured: its deviation is inf.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from restorekit.core.denoiser import Denoiser, denoise_at
from restorekit.core.operators import LinearOperator, SpectralOperator
from restorekit.core.spectrum import Spectrum
from restorekit.sampling.samplers import Noise, OnStep
from restorekit.sampling.solvers.begin import begin, within, without_svd


@dataclass(frozen=True, eq=False)
class Measured:
    """What y says of every coefficient.

    Attributes:
        spectrum: the decomposition of the operator.
        seen: where there is a measurement.
        value: it, S^+ U^T y; 0 elsewhere.
        deviation: of its noise, sigma_y / s_i; inf elsewhere.
    """

    spectrum: Spectrum
    seen: Tensor
    value: Tensor
    deviation: Tensor


def measured(name: str, operator: LinearOperator, y: Tensor, sigma_y: float, x: Tensor) -> Measured:
    """y in the basis of the operator; x is any image of the right shape. `name`, the solver's, is for the error."""
    spectrum = operator.svd(x) if isinstance(operator, SpectralOperator) else None
    if spectrum is None:
        raise without_svd(name, operator, sigma_y)
    seen = spectrum.seen
    values = spectrum.values.masked_fill(~seen, 1)
    value = (spectrum.measure(y) / values).masked_fill(~seen, 0)
    return Measured(spectrum, seen, value, (sigma_y / values).masked_fill(~seen, math.inf))


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
    """DDRM: every singular value takes from y what is less noisy than its own level; needs an SVD.

    Kawar et al. 2022, arXiv 2201.11793, equations 7 and 8, which are written in sigma already. With D in the basis of
    V, the measurement m of deviation d, and z fresh noise, a coefficient goes from level t to s by
    - not measured:  D + s (sqrt(1 - eta^2) (x - D) / t + eta z)
    - d > s:         D + s (sqrt(1 - eta^2) (m - D) / d + eta z)
    - d <= s:        (1 - eta_b) D + eta_b m + sqrt(s^2 - eta_b^2 d^2) z
    Coefficients whose d exceeds the first level, of which the paper has none, begin like those that are not measured.

    Biased: a share eta of the noise is drawn afresh at every step however short it is, so that detail is lost, the more
    the more steps there are (few, about 20, are the paper's choice). The measured table is in docs/solvers.md.
    """
    within("eta", eta, 0, 1)
    first, chosen = begin(
        prior, operator, y, sigma_y, noise, steps=steps, start=start, sigma_max=sigma_max, ladder=ladder
    )
    within("eta_b", eta_b, 0, 1)
    known = measured("ddrm", operator, y, sigma_y, first)
    v, deviation, top = known.spectrum, known.deviation, float(chosen[0])
    x, kept = v.analyse(first), math.sqrt(1 - eta**2)
    begun = known.value + (top**2 - deviation**2).clamp(min=0).sqrt() * v.analyse(noise.like(first))
    x = torch.where(deviation <= top, begun, x)
    for index, (t, s) in enumerate(itertools.pairwise(chosen.tolist())):
        denoised = v.analyse(denoise_at(prior, v.synthesise(x), t))
        fresh = v.analyse(noise.like(first))
        apart = torch.where(known.seen & (deviation > s), (known.value - denoised) / deviation, (x - denoised) / t)
        led = denoised + s * (kept * apart + eta * fresh)
        spread = (s**2 - eta_b**2 * deviation.masked_fill(~known.seen, 0) ** 2).clamp(min=0).sqrt()
        put = (1 - eta_b) * denoised + eta_b * known.value + spread * fresh
        x = torch.where(deviation <= s, put, led)
        if on_step is not None:
            on_step(index, v.synthesise(x), v.synthesise(denoised))
    return v.synthesise(x)


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
    """DDNM+: DDNM for noisy y, in which the measurement's own noise is counted as part of each step's; needs an SVD.

    Wang et al. 2022, arXiv 2212.00490, section 3.3 (equations 17 and 18) and the appendix on its solution by singular
    values, for DDIM with a share eta of fresh noise (the paper's chain is eta = 1). In sigma, a step from t to s weighs
    the clean estimate by a and adds noise of deviation f. Where a d, what the measurement m of deviation d would bring
    in, is at most f, the estimate D becomes m and noise of variance f^2 - (a d)^2 is added; where it is more, D becomes
    D + (m - D) f / (a d) and none is added. Without noise in y it is DDNM.

    least: of noisy y, singular values below this share of the largest are taken for 0, as the authors' experiments with
    blur have it; the noise that they carry would swamp the image.

    Biased: the noise of y is counted as fresh at every step, though it is the same one, so that the answers fit it, the
    more the more steps there are. The measured table is in docs/solvers.md.
    """
    within("eta", eta, 0, 1)
    first, chosen = begin(
        prior, operator, y, sigma_y, noise, steps=steps, start=start, sigma_max=sigma_max, ladder=ladder
    )
    known = measured("ddnm-plus", operator, y, sigma_y, first)
    v = known.spectrum
    seen = known.seen & (v.values >= least * v.values.max()) if sigma_y > 0 else known.seen
    deviation = known.deviation.masked_fill(~seen, 0)
    x = v.analyse(first)
    for index, (t, s) in enumerate(itertools.pairwise(chosen.tolist())):
        denoised = v.analyse(denoise_at(prior, v.synthesise(x), t))
        fresh = eta * s * math.sqrt(t**2 - s**2) / t
        kept = math.sqrt(s**2 - fresh**2) / t
        carried = (1 - kept) * deviation
        share = torch.where(carried > fresh, fresh / carried.clamp(min=1e-30), 1) * seen
        aim = denoised + share * (known.value - denoised)
        spread = (fresh**2 - (share * carried) ** 2).clamp(min=0).sqrt()
        x = aim + kept * (x - aim) + spread * v.analyse(noise.like(first))
        if on_step is not None:
            on_step(index, v.synthesise(x), v.synthesise(aim))
    return v.synthesise(x)
