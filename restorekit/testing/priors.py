"""What every prior keeps."""

from __future__ import annotations

import torch
from torch import Tensor

from restorekit.core.denoiser import Denoiser
from restorekit.core.noise import ImageNoise
from restorekit.testing.checks import Check, require, require_close, require_finite, run_all
from restorekit.testing.photos import ODD, SIDE, another, photo

FACTS = ("channels", "size", "sigma_min", "sigma_max", "levels", "classes", "partial_noise", "fills")
# Noise at which a prior is asked to be of use, if it knows it.
SOME = 0.2
# Step of a difference quotient, and how far it may be from the derivative: networks have kinks.
STEP, SLOPE = 1e-2, 0.1


def check_prior(prior: Denoiser, *, trained: bool = True) -> None:
    """A prior states its facts, keeps shapes of any size, is finite, keeps images of a batch apart, leaves its input
    alone, and has either true gradients or none.

    trained: False leaves out that it brings a noisy photo nearer to the clean one, which tells a wrong unit of sigma.
    """
    run_all(prior_checks(prior, trained=trained))


def prior_checks(prior: Denoiser, *, trained: bool = True) -> list[Check]:
    """The checks of `check_prior`, one by one."""
    checks = [
        Check("states its facts", lambda: _facts(prior)),
        Check("keeps shapes, finite", lambda: _shapes(prior)),
        Check("batch of two as one by one", lambda: _batch(prior)),
        Check("gradients are true or none", lambda: _gradients(prior)),
    ]
    return [*checks, Check("brings a noisy photo nearer", lambda: _use(prior))] if trained else checks


def _where(prior: Denoiser) -> str:
    return f"prior {type(prior).__name__}"


def _facts(prior: Denoiser) -> None:
    where = _where(prior)
    missing = [fact for fact in FACTS if not hasattr(prior, fact)]
    require(not missing and isinstance(prior, Denoiser), f"{where}: has no {', '.join(missing)}; see rk.Denoiser")
    low, high = prior.sigma_min, prior.sigma_max
    require(0 < low <= high, f"{where}: sigma_min {low}, sigma_max {high}; allowed: 0 < sigma_min <= sigma_max")
    require(prior.channels in (1, 3), f"{where}: channels is {prior.channels}, allowed: 1 or 3")
    require(not prior.fills or prior.partial_noise, f"{where}: fills without partial_noise; allowed: with it")
    if prior.levels is not None:
        levels = prior.levels.double()
        falling = levels.ndim == 1 and bool((levels[1:] < levels[:-1]).all()) and bool((levels > 0).all())
        require(falling, f"{where}: levels are {levels.tolist()}, allowed: positive, decreasing")


def _sigmas(prior: Denoiser) -> list[float]:
    """Least, middle and greatest noise that it knows."""
    if prior.levels is not None:
        levels = prior.levels.double().tolist()
        return [levels[-1], levels[len(levels) // 2], levels[0]]
    return [prior.sigma_min, (prior.sigma_min * prior.sigma_max) ** 0.5, prior.sigma_max]


def _label(prior: Denoiser, count: int) -> Tensor | None:
    return None if prior.classes is None else torch.zeros(count, dtype=torch.int64)


def _asked(prior: Denoiser, x: Tensor, sigmas: list[float]) -> Tensor:
    with torch.no_grad():
        return prior(x, torch.tensor(sigmas, dtype=torch.float32), _label(prior, len(x)))


def _noisy(prior: Denoiser, sigma: float, size: tuple[int, int] = (SIDE, SIDE)) -> Tensor:
    clean = photo(*size, channels=prior.channels)
    return clean + sigma * ImageNoise([1]).like(clean)


def _shapes(prior: Denoiser) -> None:
    where = _where(prior)
    for sigma in _sigmas(prior):
        for size in ((SIDE, SIDE), ODD):
            x = _noisy(prior, sigma, size)
            before = x.clone()
            answer = _asked(prior, x, [sigma])
            what = f"{where}: D at sigma {sigma:.3g}"
            require(answer.shape == x.shape, f"{what}: shape {tuple(answer.shape)}, allowed: {tuple(x.shape)}")
            require(answer.dtype == torch.float32, f"{what}: {answer.dtype}, allowed: torch.float32")
            require_finite(answer, what)
            require(torch.equal(x, before), f"{what}: its input was changed; allowed: new tensors")


def _batch(prior: Denoiser) -> None:
    first, second = _sigmas(prior)[0], _sigmas(prior)[1]
    a, b = _noisy(prior, first), another(_noisy(prior, second))
    alone = torch.cat([_asked(prior, a, [first]), _asked(prior, b, [second])])
    together = _asked(prior, torch.cat([a, b]), [first, second])
    require_close(together, alone, f"{_where(prior)}: two images of different sigma, together and one by one")


def _gradients(prior: Denoiser) -> None:
    sigma = _sigmas(prior)[1]
    x = _noisy(prior, sigma).requires_grad_()
    with torch.enable_grad():
        answer = prior(x, torch.tensor([sigma]), _label(prior, 1))
    if not answer.requires_grad:
        return
    weights = ImageNoise([2]).like(x)
    (slope,) = torch.autograd.grad((answer * weights).sum(), x)
    # Steepest ascent by what autograd says, where rounding matters least.
    ahead = slope / slope.square().mean().sqrt() if slope.any() else weights
    found, there = float((slope * ahead).sum()), x.detach()
    sides = [_asked(prior, there + side * STEP * sigma * ahead, [sigma]) for side in (1, -1)]
    wanted = float(((sides[0] - sides[1]) * weights).sum()) / (2 * STEP * sigma)
    scale = max(abs(found), abs(wanted), 1e-6)
    require(
        abs(found - wanted) <= SLOPE * scale,
        f"{_where(prior)}: a derivative of D is {wanted:.4g}, autograd says {found:.4g}; allowed: the same, or none",
    )


def _use(prior: Denoiser) -> None:
    sigmas = [SOME] if prior.levels is None else prior.levels.double().tolist()
    sigma = min(max(min(sigmas, key=lambda s: abs(s - SOME)), prior.sigma_min), prior.sigma_max)
    clean, noisy = photo(channels=prior.channels), _noisy(prior, sigma)
    before = float((noisy - clean).square().mean().sqrt())
    after = float((_asked(prior, noisy, [sigma]) - clean).square().mean().sqrt())
    require(
        after < before,
        f"{_where(prior)}: noise of {before:.3g} became an error of {after:.3g}; allowed: less (images are in [-1, 1])",
    )
