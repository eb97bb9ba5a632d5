"""Checks of priors."""

from __future__ import annotations

import torch
from torch import Tensor

from restorekit.checks.checks import Check, require, require_close, require_finite, run_all
from restorekit.checks.photos import ODD, SIDE, other_photo, photo
from restorekit.core.denoiser import Denoiser, PriorInfo
from restorekit.core.noise import ImageNoise

# Noise level of the check that a prior removes noise, or the nearest one that the prior accepts.
NOISE = 0.2
# Step of the difference quotient relative to sigma, and its relative tolerance: networks are not smooth everywhere.
STEP, TOLERANCE = 1e-2, 0.1


def check_prior(prior: Denoiser, *, trained: bool = True) -> None:
    """Check that a prior has a valid `PriorInfo`, accepts images of any size, returns finite values of the same shape,
    treats the images of a batch independently, does not modify its input, and has either correct gradients or none.

    trained: also check that it removes noise from a photo, which detects a wrong unit of sigma.
    """
    run_all(prior_checks(prior, trained=trained))


def prior_checks(prior: Denoiser, *, trained: bool = True) -> list[Check]:
    """Return the individual checks of `check_prior`."""
    checks = [
        Check("info is valid", lambda: _check_info(prior)),
        Check("same shape, finite values", lambda: _shapes(prior)),
        Check("batch equals single images", lambda: _batch(prior)),
        Check("gradients are correct or absent", lambda: _gradients(prior)),
    ]
    return [*checks, Check("removes noise", lambda: _removes_noise(prior))] if trained else checks


def _where(prior: Denoiser) -> str:
    return f"prior {type(prior).__name__}"


def _check_info(prior: Denoiser) -> None:
    where = _where(prior)
    has_info = isinstance(prior, Denoiser) and isinstance(prior.info, PriorInfo)
    require(has_info, f"{where}: found no info, allowed: an attribute info of type rk.PriorInfo")
    require(prior.info.channels in (1, 3), f"{where}: channels is {prior.info.channels}, allowed: 1 or 3")


def _sigmas(prior: Denoiser) -> list[float]:
    """Return the smallest, a medium and the largest noise level that the prior accepts."""
    if prior.info.levels is not None:
        levels = list(prior.info.levels)
        return [levels[-1], levels[len(levels) // 2], levels[0]]
    return [prior.info.sigma_min, (prior.info.sigma_min * prior.info.sigma_max) ** 0.5, prior.info.sigma_max]


def _label(prior: Denoiser, count: int) -> Tensor | None:
    return None if prior.info.classes is None else torch.zeros(count, dtype=torch.int64)


def _denoised(prior: Denoiser, x: Tensor, sigmas: list[float]) -> Tensor:
    with torch.no_grad():
        return prior(x, torch.tensor(sigmas, dtype=torch.float32), _label(prior, len(x)))


def _noisy(prior: Denoiser, sigma: float, size: tuple[int, int] = (SIDE, SIDE)) -> Tensor:
    clean = photo(*size, channels=prior.info.channels)
    return clean + sigma * ImageNoise([1]).like(clean)


def _shapes(prior: Denoiser) -> None:
    where = _where(prior)
    for sigma in _sigmas(prior):
        for size in ((SIDE, SIDE), ODD):
            x = _noisy(prior, sigma, size)
            before = x.clone()
            result = _denoised(prior, x, [sigma])
            what = f"{where}: D at sigma {sigma:.3g}"
            require(result.shape == x.shape, f"{what}: shape {tuple(result.shape)}, allowed: {tuple(x.shape)}")
            require(result.dtype == torch.float32, f"{what}: {result.dtype}, allowed: torch.float32")
            require_finite(result, what)
            require(torch.equal(x, before), f"{what}: the input was modified; allowed: new tensors")


def _batch(prior: Denoiser) -> None:
    first, second = _sigmas(prior)[0], _sigmas(prior)[1]
    a, b = _noisy(prior, first), other_photo(_noisy(prior, second))
    single = torch.cat([_denoised(prior, a, [first]), _denoised(prior, b, [second])])
    batch = _denoised(prior, torch.cat([a, b]), [first, second])
    require_close(batch, single, f"{_where(prior)}: two images with different sigma, as a batch and one by one")


def _gradients(prior: Denoiser) -> None:
    sigma = _sigmas(prior)[1]
    x = _noisy(prior, sigma).requires_grad_()
    with torch.enable_grad():
        result = prior(x, torch.tensor([sigma]), _label(prior, 1))
    if not result.requires_grad:
        return
    weights = ImageNoise([2]).like(x)
    (gradient,) = torch.autograd.grad((result * weights).sum(), x)
    # Along the gradient, rounding errors matter least.
    direction = gradient / gradient.square().mean().sqrt() if gradient.any() else weights
    found, center = float((gradient * direction).sum()), x.detach()
    sides = [_denoised(prior, center + sign * STEP * sigma * direction, [sigma]) for sign in (1, -1)]
    expected = float(((sides[0] - sides[1]) * weights).sum()) / (2 * STEP * sigma)
    scale = max(abs(found), abs(expected), 1e-6)
    require(
        abs(found - expected) <= TOLERANCE * scale,
        f"{_where(prior)}: a derivative of D is {expected:.4g}, autograd returns {found:.4g}; allowed: equal or none",
    )


def _removes_noise(prior: Denoiser) -> None:
    sigmas = [NOISE] if prior.info.levels is None else list(prior.info.levels)
    sigma = min(max(min(sigmas, key=lambda s: abs(s - NOISE)), prior.info.sigma_min), prior.info.sigma_max)
    clean, noisy = photo(channels=prior.info.channels), _noisy(prior, sigma)
    before = float((noisy - clean).square().mean().sqrt())
    after = float((_denoised(prior, noisy, [sigma]) - clean).square().mean().sqrt())
    require(
        after < before,
        f"{_where(prior)}: error {after:.3g} after denoising, {before:.3g} before; allowed: a decrease",
    )
