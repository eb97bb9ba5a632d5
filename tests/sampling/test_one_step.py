"""One step of each solver compared with the formulas of its paper, written in the coordinates of the paper."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from restorekit.checks.gaussian import GaussianPrior
from restorekit.core.denoiser import Denoiser, denoise_at
from restorekit.core.filters import Downsample
from restorekit.core.noise import ImageNoise
from restorekit.core.operators import LinearOperator, Masking
from restorekit.core.svd import SVD
from restorekit.plugins.discovery import solver_named
from tests.priors.gaussian import CorrelatedPrior

T, S = 2.0, 0.5
# alpha_bar of the paper at the sigmas T and S, and beta of the step.
ALPHA_T, ALPHA_S = 1 / (1 + T**2), 1 / (1 + S**2)
BETA = 1 - ALPHA_T / ALPHA_S


@dataclass(frozen=True, eq=False)
class Diagonal:
    """A x = values * x, whose singular values are known."""

    values: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return self.values * x

    def adjoint(self, y: Tensor) -> Tensor:
        return self.values * y

    def pinv(self, y: Tensor) -> Tensor:
        return torch.where(self.values > 0, y / self.values, 0)

    def solve(self, y: Tensor, damping: float) -> Tensor:
        return y / (self.values**2 + damping)

    def svd(self, x: Tensor) -> SVD:
        return SVD(self.values, lambda v: v, lambda v: v, lambda y: y * (self.values > 0))


# With noise of 0.2, these are measured with noise of 0.2, 1, 4 and 20, and not at all.
VALUES, SIGMA_Y = torch.tensor([1.0, 0.2, 0.05, 0.01, 0.0]).reshape(1, 1, 1, 5), 0.2
STD = SIGMA_Y / VALUES
Y = torch.tensor([0.5, -0.3, 0.1, 0.05, 0.0]).reshape(1, 1, 1, 5)


def first_step(
    name: str, prior: Denoiser, operator: LinearOperator, y: Tensor, sigma_y: float, **options: object
) -> Tensor:
    """The state of a solver after the step from sigma T to sigma S."""
    states: list[Tensor] = []
    solver_named(name).solve(
        prior, operator, y, sigma_y, ImageNoise([7]), steps=2, ladder=torch.tensor([T, S, 0.0]),
        on_step=lambda i, x, d: states.append(x), **options,
    )  # fmt: skip
    return states[0]


def same_noise(x: Tensor, number: int) -> list[Tensor]:
    """The first samples of the noise of `first_step`."""
    noise = ImageNoise([7])
    return [noise.like(x) for _ in range(number)]


def test_repaint_step_is_ddpm_with_noisy_known_pixels() -> None:
    operator, prior = Masking(torch.tensor([1.0, 0.0]).reshape(1, 1, 1, 2)), GaussianPrior(0.2, 0.3, channels=1)
    y = torch.tensor([0.5, 0.0]).reshape(1, 1, 1, 2)
    got = first_step("repaint", prior, operator, y, 0.0, resample=1, clip=False)
    initial, fresh, known_noise = same_noise(y, 3)
    x = T * initial
    mean = denoise_at(prior, x, T)
    unknown = mean + (S / T) ** 2 * (x - mean) + math.sqrt(S**2 * (T**2 - S**2)) / T * fresh
    torch.testing.assert_close(got, torch.where(operator.known > 0, y + S * known_noise, unknown))


def test_dps_step_agrees_with_the_paper() -> None:
    prior, operator, zeta = CorrelatedPrior(), Downsample(2, "box"), 0.01
    y = 0.3 * torch.rand(1, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    got = first_step("dps", prior, operator, y, 0.0, zeta=zeta, clip=False)
    initial, fresh = same_noise(torch.empty(1, 1, 8, 8), 2)
    x = (T * initial * math.sqrt(ALPHA_T)).requires_grad_()
    clean = denoise_at(prior, x / math.sqrt(ALPHA_T), T)
    distance = (y - operator.forward(clean)).square().sum().sqrt()
    (gradient,) = torch.autograd.grad(distance**2, x)
    clean_weight = math.sqrt(ALPHA_S) * BETA / (1 - ALPHA_T)
    state_weight = math.sqrt(1 - BETA) * (1 - ALPHA_S) / (1 - ALPHA_T)
    std = math.sqrt((1 - ALPHA_S) / (1 - ALPHA_T) * BETA)
    step = zeta / distance * math.sqrt(64 / 196608) * 1000 / 2
    want = clean_weight * clean + state_weight * x + std * fresh - step * gradient
    torch.testing.assert_close(got, (want / math.sqrt(ALPHA_S)).detach(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("eta", "eta_b"), [(0.85, 1.0), (0.6, 0.7), (0.0, 0.4), (1.0, 0.0)])
def test_ddrm_step_agrees_with_the_paper(eta: float, eta_b: float) -> None:
    prior = GaussianPrior(0.2, 0.3, channels=1)
    got = first_step("ddrm", prior, Diagonal(VALUES), Y, SIGMA_Y, eta=eta, eta_b=eta_b)
    initial, measured_noise, fresh = same_noise(Y, 3)
    m = torch.where(VALUES > 0, Y / VALUES, 0)
    # Kawar et al. 2022, equation 7, and equation 8 for the cases s_i = 0, sigma_t < sigma_y / s_i and the third.
    x = torch.where(STD <= T, m + (T**2 - STD**2).clamp(min=0).sqrt() * measured_noise, T * initial)
    clean = denoise_at(prior, x, T)
    unmeasured = clean + math.sqrt(1 - eta**2) * S * (x - clean) / T + eta * S * fresh
    noisier = clean + math.sqrt(1 - eta**2) * S * (m - clean) / STD + eta * S * fresh
    std = (S**2 - (SIGMA_Y / VALUES) ** 2 * eta_b**2).clamp(min=0).sqrt()
    less_noisy = (1 - eta_b) * clean + eta_b * m + std * fresh
    want = torch.where(VALUES == 0, unmeasured, torch.where(S < STD, noisier, less_noisy))
    torch.testing.assert_close(got, want)


@pytest.mark.parametrize("eta", [1.0, 0.5])
def test_ddnm_plus_step_agrees_with_the_paper(eta: float) -> None:
    prior = GaussianPrior(0.2, 0.3, channels=1)
    got = first_step("ddnm-plus", prior, Diagonal(VALUES), Y, SIGMA_Y, eta=eta)
    initial, fresh = same_noise(Y, 2)
    # DDIM (Song et al. 2020, equation 12); it is DDPM if eta = 1.
    sigma = eta * math.sqrt((1 - ALPHA_S) / (1 - ALPHA_T) * BETA)
    noise_weight = math.sqrt((1 - ALPHA_S - sigma**2) / (1 - ALPHA_T))
    a = math.sqrt(ALPHA_S) - noise_weight * math.sqrt(ALPHA_T)
    # Wang et al. 2022, section 3.3; 0.01 is below the smallest singular value that is used.
    used, std = VALUES > 0.03, torch.where(VALUES > 0.03, SIGMA_Y / VALUES, 0)
    scale = torch.where(sigma >= a * std, 1, sigma / (a * std).clamp(min=1e-9)) * used
    gamma = sigma**2 - (a * scale * std) ** 2
    x = math.sqrt(ALPHA_T) * T * initial
    clean = denoise_at(prior, x / math.sqrt(ALPHA_T), T)
    clean = clean + scale * (torch.where(used, Y / VALUES, 0) - clean)
    want = a * clean + noise_weight * x + gamma.clamp(min=0).sqrt() * fresh
    torch.testing.assert_close(got, want / math.sqrt(ALPHA_S), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("weight", "zeta"), [(1.0, 1.0), (7.0, 0.3), (3.0, 0.0)])
def test_diffpir_step_agrees_with_the_paper(weight: float, zeta: float) -> None:
    prior, operator = GaussianPrior(0.2, 0.3, channels=1), Downsample(2, "box")
    y = 0.3 * torch.rand(1, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    got = first_step("diffpir", prior, operator, y, SIGMA_Y, weight=weight, fresh=zeta)
    initial, fresh = same_noise(torch.empty(1, 1, 4, 4), 2)
    x = math.sqrt(ALPHA_T) * T * initial
    clean = denoise_at(prior, x / math.sqrt(ALPHA_T), T).flatten()
    # Zhu et al. 2023, algorithm 1; equation 13a is a linear system.
    matrix = operator.forward(torch.eye(16).reshape(16, 1, 4, 4)).flatten(1).T
    rho = weight * SIGMA_Y**2 / ((1 - ALPHA_T) / ALPHA_T)
    nearest = torch.linalg.solve(matrix.T @ matrix + rho * torch.eye(16), matrix.T @ y.flatten() + rho * clean)
    nearest = nearest.reshape(x.shape)
    eps = (x - math.sqrt(ALPHA_T) * nearest) / math.sqrt(1 - ALPHA_T)
    mixed = math.sqrt(1 - zeta) * eps + math.sqrt(zeta) * fresh
    want = math.sqrt(ALPHA_S) * nearest + math.sqrt(1 - ALPHA_S) * mixed
    torch.testing.assert_close(got, want / math.sqrt(ALPHA_S), rtol=1e-4, atol=1e-4)
