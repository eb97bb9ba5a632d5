"""Closed forms for x0 ~ N(0, C^2), whose variance given x_t is C^2 t^2 / (C^2 + t^2)."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from restorekit.core.ladders import karras_ladder, linear_betas, respaced_steps, sigmas_from_betas, table_ladder
from restorekit.core.noise import ImageNoise
from restorekit.core.posterior import posterior_variance, step_variance
from restorekit.evaluation.likelihood import bits_per_dimension
from restorekit.priors.epsilon import EpsilonPrior
from restorekit.priors.respaced_variance import RespacedVariance
from restorekit.run.sample import sample

C = 0.3
TABLE = sigmas_from_betas(linear_betas(1000))
SIDE = 16


def interpolation_weight(t: Tensor, s: Tensor) -> Tensor:
    """Return v of the exact variance of x_s given x_t."""
    small, large = posterior_variance(t, s), step_variance(t, s)
    exact = small + (1 - (s / t) ** 2) ** 2 * C**2 * t**2 / (C**2 + t**2)
    return 2 * (exact / small).log() / (large / small).log() - 1


class Network(nn.Module):
    """The exact network, for D and for v of the trained steps."""

    def forward(self, x: Tensor, step: Tensor, label: Tensor | None = None) -> Tensor:
        low = step.long().clamp(1, len(TABLE) - 2)
        logs = TABLE.log()
        t, s = (torch.lerp(logs[low - d], logs[low + 1 - d], step.double() - low).exp() for d in (0, 1))
        denoised = x * ((1 + t**2).sqrt() * C**2 / (C**2 + t**2)).float()[:, None, None, None]
        return torch.cat([denoised, interpolation_weight(t, s).float()[:, None, None, None].expand_as(x)], dim=1)


@pytest.fixture
def prior() -> EpsilonPrior:
    return EpsilonPrior(Network(), TABLE, prediction="x0", size=SIDE, learned_variance=True)


@pytest.mark.parametrize("ladder", [table_ladder(TABLE, respaced_steps(1000, "10")), karras_ladder(150, 0.012, 20)])
def test_the_variance_of_longer_steps_is_exact(prior: EpsilonPrior, ladder: Tensor) -> None:
    x, sigma = torch.zeros(len(ladder) - 2, 3, 4, 4), ladder[:-2]
    weight = RespacedVariance(prior, TABLE, ladder).with_variance(x, sigma.float())[1]
    assert weight is not None
    expected = interpolation_weight(sigma, ladder[1:-1])
    torch.testing.assert_close(weight[:, 0, 0, 0].double(), expected, rtol=0, atol=2e-3)
    unchanged = prior.with_variance(x, sigma.float())[1]
    assert unchanged is not None
    assert (unchanged[:, 0, 0, 0] - expected).abs().max() > 0.1


def test_the_variance_of_trained_steps_is_unchanged(prior: EpsilonPrior) -> None:
    sigma, x = TABLE[::37].float(), torch.zeros(len(TABLE[::37]), 3, 4, 4)
    expected, got = (p.with_variance(x, sigma)[1] for p in (prior, RespacedVariance(prior, TABLE, table_ladder(TABLE))))
    torch.testing.assert_close(got, expected, rtol=0, atol=2e-3)


def test_samples_of_few_steps_have_the_variance_of_the_data(prior: EpsilonPrior) -> None:
    images = sample(prior, 4, steps=8, sampler="ancestral", device="cpu", precision="float32")
    assert images.std().item() == pytest.approx(C, rel=0.03)


def test_the_bound_of_few_steps_is_tighter(prior: EpsilonPrior) -> None:
    clean = (torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) * C).clamp(-1, 1)
    clean = ((clean + 1) * 127.5).round() / 127.5 - 1
    respaced, published, trained = (
        bits_per_dimension(prior, clean, ImageNoise([0, 1]), steps=steps, variance="learned", respaced=respaced)[
            0
        ].mean()
        for respaced, steps in ((True, 10), (False, 10), (True, None))
    )
    assert trained < respaced < published - 1
