"""The learned variance of a prior for steps that are longer than the trained ones."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from restorekit.core.denoiser import Denoiser, Estimate, Wrapper, per_image
from restorekit.core.posterior import posterior_variance, step_variance
from restorekit.priors.epsilon import step_of

# Relative error of a sigma that was rounded to float32.
ROUNDING = 1e-6


class RespacedVariance(Wrapper):
    """A prior whose interpolation weight v is that of the steps of a sampler.

    A network learns v for the step from each trained sigma to the one below it. guided-diffusion interpolates with the
    same v between the bounds of a longer step, whose variance is then too small at low noise. Here v of the longer step
    follows from the variance of x0 that the trained step implies: for any s < t, the variance of x_s given x_t is
    beta tilde + (1 - (s / t)^2)^2 Var[x0 | x_t] (in the scale of x0 + sigma n; Bao et al. 2022, arXiv 2201.06503,
    equation 5, per pixel as in arXiv 2206.07309). For a ladder of all trained steps, v does not change.

    Arguments:
        prior: a denoiser with a learned variance.
        table: sigma of every trained step, (steps,), increasing, float64.
        ladder: the sigmas of the sampler in any order, with or without 0; at other sigmas v does not change.
    """

    def __init__(self, prior: Denoiser, table: Tensor, ladder: Tensor) -> None:
        super().__init__(prior)
        self.table = table.double().cpu()
        self.ladder = ladder.double().cpu().sort().values
        self.ladder = self.ladder[self.ladder > 0]

    def _evaluate(self, inner: Callable[..., Estimate], x: Tensor, sigma: Tensor, label: Tensor | None) -> Estimate:
        """x: (N, C, H, W). sigma: (N,)."""
        denoised, weight = inner(x, sigma, label)
        return denoised, None if weight is None else self._respaced(weight, sigma.double().cpu())

    def _respaced(self, weight: Tensor, sigma: Tensor) -> Tensor:
        """Return v of the steps of the ladder for v of the trained steps; both like x."""
        weight = weight.float()
        step, place = step_of(sigma, self.table).double(), torch.searchsorted(self.ladder, sigma * (1 - ROUNDING))
        # The variance of the last step of either kind, to a clean image, depends on no other step.
        last = (step < 1) | (place == 0)
        ends = [_sigma_of((step - 1).clamp(min=0), self.table), self.ladder[(place - 1).clamp(min=0)]]
        trained, s = (torch.where(last, sigma / 2, end) for end in ends)
        # Per pixel in float32: factors that are stable even where both bounds nearly agree.
        small, width = _bounds(sigma, trained)
        respaced_small, respaced_width = _bounds(sigma, s)
        scale = small / ((sigma**2 - trained**2) / sigma**2) ** 2 / sigma**2
        respaced_scale = ((sigma**2 - s**2) / sigma**2) ** 2 * sigma**2 / respaced_small
        width, scale, respaced_width, respaced_scale = (
            per_image(value.to(weight), weight) for value in (width, scale, respaced_width, respaced_scale)
        )
        # Var[x0 | x_t] / t^2
        clean = (scale * torch.expm1((weight + 1) / 2 * width)).clamp(0, 1)
        respaced = 2 * torch.log1p(respaced_scale * clean) / respaced_width - 1
        return torch.where(per_image(last.to(weight.device), weight).bool(), weight, respaced)


def _bounds(t: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    """Return beta tilde and log(beta / beta tilde) of the steps from t (N,) to s (N,)."""
    small = posterior_variance(t, s)
    return small, (step_variance(t, s) / small).log()


def _sigma_of(step: Tensor, table: Tensor) -> Tensor:
    """Return sigma (N,) of fractional steps (N,), linear in log sigma; the inverse of `step_of`."""
    low = step.long().clamp(max=len(table) - 2)
    return torch.lerp(table[low].log(), table[low + 1].log(), step - low).exp()
