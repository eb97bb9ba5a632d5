"""Samplers: from a state at the first sigma of a ladder to a clean image.

All samplers use x = x0 + sigma * n (variance exploding), regardless of the process that the prior was trained on; the
variance-preserving state is x / sqrt(1 + sigma^2). Common arguments:

    prior   a Denoiser
    x       (N, C, H, W), the state at ladder[0]; pure noise is noise.like(x) * ladder[0]
    ladder  (S + 1,) decreasing, last = 0 (see `restorekit.core.ladders`)
    noise   a source of standard normal tensors: `ImageNoise`, or anything with `like(x)`
    on_step called after every step with (index of the step, new state, D of the old state)
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Literal, Protocol

import torch
from torch import Tensor

from restorekit.core.denoiser import Denoiser, denoise_at, denoise_at_with_variance
from restorekit.core.posterior import Variance, posterior_variance, step_variance
from restorekit.errors import OptionError

OnStep = Callable[[int, Tensor, Tensor], None]
Gradient = Callable[[Tensor, Tensor], Tensor]


class Noise(Protocol):
    """A source of standard normal tensors."""

    def like(self, x: Tensor) -> Tensor:
        """Noise of the shape, dtype and device of x."""
        ...


def _steps(ladder: Tensor) -> Iterator[tuple[int, float, float]]:
    """Yield (index, sigma, next sigma) of every step."""
    for index, (t, s) in enumerate(itertools.pairwise(ladder.tolist())):
        yield index, t, s


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

    For a step from sigma t to s < t, the posterior q(x_s | x_t, x0) has the mean x0 + (s/t)^2 (x_t - x0). variance:
    "small" is beta tilde (`posterior_variance`, equation 7), "large" is beta (`step_variance`), and "learned"
    interpolates between their logarithms (Nichol and Dhariwal 2021, equation 15), which requires a prior with a learned
    variance. clip: clamp D to [-1, 1].

    gradient: grad_x log p(label | x) at (x, sigma); it shifts the mean by the variance times the gradient (Dhariwal and
    Nichol 2021, algorithm 1). at: the paper's algorithm evaluates the gradient at the "mean"; the authors' code
    evaluates it at the "state" x_t, which the classifier was trained for (default).
    """
    if variance == "learned" and not prior.info.learned_variance:
        raise ValueError(
            "sample_ancestral: found variance 'learned', but the prior has none; allowed: 'small' or 'large'"
        )
    for index, t, s in _steps(ladder):
        fraction = None
        if variance == "learned":
            denoised, fraction = denoise_at_with_variance(prior, x, t)
        else:
            denoised = denoise_at(prior, x, t)
        denoised = denoised.clamp(-1, 1) if clip else denoised
        state, x = x, denoised + (s / t) ** 2 * (x - denoised)
        if gradient is not None:
            x = x + _guidance_shift(state, x, ladder, index, variance, fraction, gradient, at)
        sample = noise.like(x)
        if s > 0:
            x = x + sample * _step_std(t, s, variance, fraction)
        if on_step is not None:
            on_step(index, x, denoised)
    return x


def _interpolated_std(small: float, large: float, variance: Variance, fraction: Tensor | None) -> Tensor | float:
    """Return the standard deviation for the two bounds of the variance."""
    if fraction is not None:
        weight = (fraction + 1) / 2
        return (0.5 * (weight * math.log(large) + (1 - weight) * math.log(small))).exp()
    return math.sqrt(large if variance == "large" else small)


def _step_std(t: float, s: float, variance: Variance, fraction: Tensor | None) -> Tensor | float:
    """Return the standard deviation of the noise that a step from sigma t to sigma s > 0 adds."""
    return _interpolated_std(posterior_variance(t, s), step_variance(t, s), variance, fraction)


def _guidance_shift(
    state: Tensor,
    mean: Tensor,
    ladder: Tensor,
    index: int,
    variance: Variance,
    fraction: Tensor | None,
    gradient: Gradient,
    at: Literal["state", "mean"],
) -> Tensor:
    """Return the variance times the gradient.

    Both are those of the variance-preserving process, whose scale sqrt(1 + sigma^2) changes within a step. No noise is
    added in the last step; as in guided-diffusion, the lower bound of its variance is beta tilde of the previous step.
    """
    t, s = float(ladder[index]), float(ladder[index + 1])
    scale = math.sqrt((1 + t**2) / (1 + s**2))
    point = state if at == "state" else mean * scale
    value = gradient(point, torch.full((len(state),), t, device=state.device))
    if s > 0:
        return _step_std(t, s, variance, fraction) ** 2 * scale * value
    if variance == "small":
        return torch.zeros_like(value)
    large = t**2 / (1 + t**2)
    small = posterior_variance(float(ladder[index - 1]), t) / (1 + t**2) if index else large
    std = _interpolated_std(small, large if fraction is not None else small, variance, fraction)
    return std**2 * scale * value


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
    """DDIM (Song et al. 2020, arXiv 2010.02502, equation 12) in sigma.

    eta = 1 is `sample_ancestral` with variance="small". The update is
    x_s = D + sqrt(s^2 - v) (x - D) / t + sqrt(v) n with v = eta^2 times `posterior_variance`.
    """
    for index, t, s in _steps(ladder):
        denoised = denoise_at(prior, x, t)
        denoised = denoised.clamp(-1, 1) if clip else denoised
        x = ddim_step(x, denoised, t, s, noise, eta)
        if on_step is not None:
            on_step(index, x, denoised)
    return x


def ddim_step(x: Tensor, denoised: Tensor, t: float, s: float, noise: Noise, eta: float) -> Tensor:
    """Return the state after one step of DDIM from sigma t to s, given D(x, t). If eta > 0, every step adds noise."""
    variance = eta**2 * posterior_variance(t, s)
    mean = denoised + math.sqrt(s**2 - variance) / t * (x - denoised)
    return mean + math.sqrt(variance) * noise.like(x) if eta > 0 else mean


def sample_euler(prior: Denoiser, x: Tensor, ladder: Tensor, *, on_step: OnStep | None = None) -> Tensor:
    """Euler's method for the probability flow ODE (Karras et al. 2022, algorithm 1 without the correction).

    In sigma this is DDIM with eta = 0 and without clipping.
    """
    return sample_ddim(prior, x, ladder, _NoNoise(), clip=False, on_step=on_step)


def encode_ddim(
    prior: Denoiser, x: Tensor, ladder: Tensor, *, clip: bool = False, on_step: OnStep | None = None
) -> Tensor:
    """Return the state at ladder[0] from which `sample_ddim` with eta = 0 returns the images x, up to the ODE's error.

    These are the steps of DDIM in the opposite direction (Song et al. 2020, arXiv 2010.02502, section 5.4;
    `ddim_reverse_sample` of guided-diffusion): x_t = D + t (x - D) / s from each sigma s of the ladder to the next
    larger one, t. As there, images count as states at the smallest sigma; a ladder of one step returns them unchanged.
    The error is proportional to the width of the steps.

    x: (N, C, H, W) in [-1, 1]. ladder: as for sampling, (S + 1,) decreasing, last = 0; S - 1 evaluations. clip: clamp D
    to [-1, 1], as guided-diffusion does by default; the steps are then not those of the ODE. The noise of
    guided-diffusion, x_T, is (x - D) / ladder[0] for the returned state.
    """
    for index, s, t in _steps(ladder[:-1].flip(0)):
        denoised = denoise_at(prior, x, s)
        denoised = denoised.clamp(-1, 1) if clip else denoised
        x = ddim_step(x, denoised, s, t, _NoNoise(), eta=0.0)
        if on_step is not None:
            on_step(index, x, denoised)
    return x


def sample_heun(
    prior: Denoiser,
    x: Tensor,
    ladder: Tensor,
    noise: Noise | None = None,
    *,
    s_churn: float = 0.0,
    s_tmin: float = 0.0,
    s_tmax: float = math.inf,
    s_noise: float = 1.0,
    on_step: OnStep | None = None,
) -> Tensor:
    """Heun's method for the probability flow ODE (Karras et al. 2022, algorithm 1); 2 S - 1 evaluations.

    With s_churn > 0 it is their stochastic sampler (algorithm 2): a step from a sigma in [s_tmin, s_tmax] first
    increases sigma by the factor 1 + min(s_churn / S, sqrt(2) - 1) with fresh noise of standard deviation s_noise, at
    most to the largest sigma of the prior (the paper leaves this to s_tmax). Table 5 of the paper has values: 80, 0.05,
    50 and 1.003 for the network of Dhariwal and Nichol (2021) for ImageNet. It requires `noise`, from which one tensor
    is taken per step, and a prior without fixed levels.

    Raises OptionError if s_churn is negative, or positive without noise or for a prior with fixed levels.
    """
    _check_churn(prior, noise, s_churn)
    gain = 1 + min(s_churn / (len(ladder) - 1), math.sqrt(2) - 1)
    for index, t, s in _steps(ladder):
        if noise is not None and s_churn > 0:
            sample = noise.like(x)
            if s_tmin <= t <= s_tmax:
                raised = max(t, min(gain * t, prior.info.sigma_max))
                x = x + s_noise * math.sqrt(raised**2 - t**2) * sample
                t = raised
        denoised = denoise_at(prior, x, t)
        slope = (x - denoised) / t
        following = x + (s - t) * slope
        if s > 0:
            slope = (slope + (following - denoise_at(prior, following, s)) / s) / 2
            following = x + (s - t) * slope
        x = following
        if on_step is not None:
            on_step(index, x, denoised)
    return x


def _check_churn(prior: Denoiser, noise: Noise | None, s_churn: float) -> None:
    """Raise OptionError if `sample_heun` cannot add noise."""
    if not s_churn >= 0:
        raise OptionError(f"sample_heun: s_churn is {s_churn:g}, allowed: 0 or more")
    if s_churn > 0 and noise is None:
        raise OptionError(f"sample_heun: s_churn is {s_churn:g} without noise; allowed: rk.ImageNoise(seeds) as noise")
    if s_churn > 0 and prior.info.levels is not None:
        raise OptionError(f"sample_heun: s_churn is {s_churn:g}, allowed for a prior with fixed noise levels: 0")


def sample_dpmpp_2m(prior: Denoiser, x: Tensor, ladder: Tensor, *, on_step: OnStep | None = None) -> Tensor:
    """DPM-Solver++(2M) (Lu et al. 2022, arXiv 2211.01095, algorithm 2), in lambda = -log sigma.

    The first step is of first order, and so is a step to sigma 0.
    """
    previous: Tensor | None = None
    previous_width = 0.0
    for index, t, s in _steps(ladder):
        denoised = denoise_at(prior, x, t)
        if s == 0:
            x = denoised
        else:
            width = math.log(t / s)
            extrapolated = denoised
            if previous is not None:
                extrapolated = denoised + (denoised - previous) * width / (2 * previous_width)
            x = s / t * x - math.expm1(-width) * extrapolated
            previous, previous_width = denoised, width
        if on_step is not None:
            on_step(index, x, denoised)
    return x


class _NoNoise:
    """Zeros, for deterministic samplers."""

    def like(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)
