"""Samplers that walk a ladder down: x at its first sigma in, a clean image out.

All work in x = x0 + sigma * n (variance exploding), whatever process the prior was trained on; a variance-preserving
state is x / sqrt(1 + sigma^2). Common arguments:

    prior   a Denoiser
    x       (N, C, H, W), the state at ladder[0]; pure noise is noise.like(x) * ladder[0]
    ladder  (S + 1,) decreasing, last = 0 (see `restorekit.core.ladders`)
    noise   gives standard normal tensors: `ImageNoise`, or anything with `like(x)`
    on_step called after every step with (index of the step, new state, D at the old state)
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Literal, Protocol

import torch
from torch import Tensor

from restorekit.core.denoiser import Denoiser, denoise_at, denoised_with_variance, learned_variance

OnStep = Callable[[int, Tensor, Tensor], None]
Variance = Literal["small", "large", "learned"]
Gradient = Callable[[Tensor, Tensor], Tensor]


class Noise(Protocol):
    """A source of standard normal tensors."""

    def like(self, x: Tensor) -> Tensor:
        """Noise of the shape, dtype and device of x."""
        ...


def _steps(ladder: Tensor) -> Iterator[tuple[int, float, float]]:
    """(index, sigma, next sigma) of every step."""
    for index, (sigma, below) in enumerate(itertools.pairwise(ladder.tolist())):
        yield index, sigma, below


def sample_ancestral(
    prior: Denoiser,
    x: Tensor,
    ladder: Tensor,
    noise: Noise,
    *,
    variance: Variance = "small",
    clip: bool = True,
    gradient: Gradient | None = None,
    at: Literal["state", "mean"] = "state",
    on_step: OnStep | None = None,
) -> Tensor:
    """DDPM's reverse chain (Ho et al. 2020, algorithm 2), in sigma.

    The posterior q(x_s | x_t, x0) has mean x0 + (s/t)^2 (x_t - x0); its variance s^2 (t^2 - s^2) / t^2 is "small"
    (beta tilde, equation 7), (1 + s^2)(t^2 - s^2) / (1 + t^2) is "large" (beta), where s < t are two sigmas; "learned"
    interpolates their logarithms (Nichol and Dhariwal 2021, equation 15) and needs a prior that knows how.
    clip keeps D in [-1, 1].

    gradient: grad_x log p(label | x) at (x, sigma); it shifts the mean by the variance times itself (Dhariwal and
    Nichol 2021, algorithm 1). at: the algorithm as printed evaluates it at the mean, the authors' code at the state
    x_t, for which the classifier was trained: the default, which also replays their chains.
    """
    if variance == "learned" and not learned_variance(prior):
        raise ValueError("sample_ancestral: variance='learned', but the prior has no learned variance")
    for index, t, s in _steps(ladder):
        fraction = None
        if variance == "learned":
            denoised, fraction = denoised_with_variance(prior, x, torch.full((x.shape[0],), t, device=x.device))
        else:
            denoised = denoise_at(prior, x, t)
        denoised = denoised.clamp(-1, 1) if clip else denoised
        state, x = x, denoised + (s / t) ** 2 * (x - denoised)
        if gradient is not None:
            x = x + _shift(state, x, ladder, index, variance, fraction, gradient, at)
        draw = noise.like(x)
        if s > 0:
            x = x + draw * _spread(t, s, variance, fraction)
        if on_step is not None:
            on_step(index, x, denoised)
    return x


def _bounds(t: float, s: float) -> tuple[float, float]:
    """The two variances of a step from sigma t to sigma s > 0: beta tilde and beta, in sigma."""
    return s**2 * (t**2 - s**2) / t**2, (1 + s**2) * (t**2 - s**2) / (1 + t**2)


def _between(small: float, large: float, variance: Variance, fraction: Tensor | None) -> Tensor | float:
    """Deviation for a pair of bounds."""
    if fraction is not None:
        share = (fraction + 1) / 2
        return (0.5 * (share * math.log(large) + (1 - share) * math.log(small))).exp()
    return math.sqrt(large if variance == "large" else small)


def _spread(t: float, s: float, variance: Variance, fraction: Tensor | None) -> Tensor | float:
    """Standard deviation of the noise that a step adds."""
    return _between(*_bounds(t, s), variance, fraction)


def _shift(
    state: Tensor,
    mean: Tensor,
    ladder: Tensor,
    index: int,
    variance: Variance,
    fraction: Tensor | None,
    gradient: Gradient,
    at: Literal["state", "mean"],
) -> Tensor:
    """Variance times gradient. Both belong to the variance-preserving process, whose scale sqrt(1 + sigma^2) changes
    within a step; in the last step its variance is not that of the noise (none is added) but, as in guided-diffusion,
    beta tilde of the step before stands for the lower bound."""
    t, s = float(ladder[index]), float(ladder[index + 1])
    scale = math.sqrt((1 + t**2) / (1 + s**2))
    where = state if at == "state" else mean * scale
    slope = gradient(where, torch.full((len(state),), t, device=state.device))
    if s > 0:
        return _spread(t, s, variance, fraction) ** 2 * scale * slope
    if variance == "small":
        return torch.zeros_like(slope)
    large = t**2 / (1 + t**2)
    small = _bounds(float(ladder[index - 1]), t)[0] / (1 + t**2) if index else large
    last = _between(small, large if fraction is not None else small, variance, fraction)
    return last**2 * scale * slope


def sample_ddim(
    prior: Denoiser,
    x: Tensor,
    ladder: Tensor,
    noise: Noise,
    *,
    eta: float = 0.0,
    clip: bool = True,
    on_step: OnStep | None = None,
) -> Tensor:
    """DDIM (Song et al. 2020, arXiv 2010.02502, equation 12), in sigma; eta = 1 is `sample_ancestral`'s "small".

    x_s = D + sqrt(s^2 - v) (x - D) / t + sqrt(v) n with v = eta^2 s^2 (t^2 - s^2) / t^2.
    """
    for index, t, s in _steps(ladder):
        denoised = denoise_at(prior, x, t)
        denoised = denoised.clamp(-1, 1) if clip else denoised
        x = ddim_step(x, denoised, t, s, noise, eta)
        if on_step is not None:
            on_step(index, x, denoised)
    return x


def ddim_step(x: Tensor, denoised: Tensor, t: float, s: float, noise: Noise, eta: float) -> Tensor:
    """One step of DDIM from sigma t to sigma s, given D(x, t). Noise is drawn at every step when eta > 0."""
    fresh = eta**2 * s**2 * (t**2 - s**2) / t**2
    moved = denoised + math.sqrt(s**2 - fresh) / t * (x - denoised)
    return moved + math.sqrt(fresh) * noise.like(x) if eta > 0 else moved


def sample_euler(prior: Denoiser, x: Tensor, ladder: Tensor, *, on_step: OnStep | None = None) -> Tensor:
    """Euler's method on the probability flow (Karras et al. 2022, algorithm 1 without the second order).

    In sigma it is DDIM with eta = 0, without clipping.
    """
    return sample_ddim(prior, x, ladder, _NoNoise(), clip=False, on_step=on_step)


def sample_heun(prior: Denoiser, x: Tensor, ladder: Tensor, *, on_step: OnStep | None = None) -> Tensor:
    """Heun's method on the probability flow (Karras et al. 2022, algorithm 1); 2 S - 1 evaluations."""
    for index, t, s in _steps(ladder):
        denoised = denoise_at(prior, x, t)
        slope = (x - denoised) / t
        ahead = x + (s - t) * slope
        if s > 0:
            slope = (slope + (ahead - denoise_at(prior, ahead, s)) / s) / 2
            ahead = x + (s - t) * slope
        x = ahead
        if on_step is not None:
            on_step(index, x, denoised)
    return x


def sample_dpmpp_2m(prior: Denoiser, x: Tensor, ladder: Tensor, *, on_step: OnStep | None = None) -> Tensor:
    """DPM-Solver++(2M) (Lu et al. 2022, arXiv 2211.01095, algorithm 2), in lambda = -log sigma.

    First order at the first step and where the next sigma is 0.
    """
    before: Tensor | None = None
    last_width = 0.0
    for index, t, s in _steps(ladder):
        denoised = denoise_at(prior, x, t)
        if s == 0:
            x = denoised
        else:
            width = math.log(t / s)
            extrapolated = denoised
            if before is not None:
                extrapolated = denoised + (denoised - before) * width / (2 * last_width)
            x = s / t * x - math.expm1(-width) * extrapolated
            before, last_width = denoised, width
        if on_step is not None:
            on_step(index, x, denoised)
    return x


class _NoNoise:
    """For samplers that draw none."""

    def like(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)
