from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from restorekit.training.score_matching import (
    denoising_score_matching,
    exact_score_matching,
    sliced_score_matching,
)
from tests import golden
from tests.sampling.test_langevin import Mixture


def analytic(want: golden.Golden) -> Callable[[Tensor], Tensor]:
    net = Mixture(want["input.sigmas"])
    return lambda x: net(x, want["input.labels"].repeat(len(x) // 5))


@pytest.mark.parametrize("power", [2, 1])
def test_denoising_score_matching_agrees_with_the_authors(power: int) -> None:
    want = golden.load("ncsn_losses")
    sigma = want["input.sigmas"][want["input.labels"]]
    loss = denoising_score_matching(
        analytic(want), want["input.samples"], sigma, want["input.noise"], anneal_power=power
    )
    want.agrees(f"output.dsm_power{power}", loss)


@pytest.mark.parametrize("particles", [1, 3])
def test_sliced_score_matching_agrees_with_the_authors(particles: int) -> None:
    want = golden.load("ncsn_losses")
    sigma = want["input.sigmas"][want["input.labels"]]
    noisy = want["input.samples"] + sigma.reshape(-1, 1, 1, 1) * want["input.noise"]
    projections = want["input.projections"][: 5 * particles].unflatten(0, (particles, 5))
    loss = sliced_score_matching(analytic(want), noisy, projections, weight=sigma**2)
    want.agrees(f"output.ssm_particles{particles}", loss)


class Curve(nn.Module):
    """A small network for the score of scalars."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)  # type: ignore[no-any-return]


def mixture(count: int, generator: torch.Generator) -> Tensor:
    """1/3 N(-1, 0.25) + 2/3 N(1, 0.25)."""
    side = torch.where(torch.rand(count, 1, generator=generator) < 1 / 3, -1.0, 1.0)
    return side + 0.5 * torch.randn(count, 1, generator=generator)


def true_score(x: Tensor, variance: float) -> Tensor:
    logs = torch.stack([math.log(w) - (x - m) ** 2 / (2 * variance) for w, m in ((1 / 3, -1), (2 / 3, 1))])
    shares = logs.softmax(0)
    return (shares[0] * (-1 - x) + shares[1] * (1 - x)) / variance


@pytest.mark.parametrize("objective", ["denoising", "sliced", "sliced without reduction", "exact"])
def test_every_objective_learns_the_score_of_a_mixture(objective: str) -> None:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    net = Curve()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 400)
    sigma = 0.2
    for _ in range(400):
        x = mixture(512, generator)
        noise = torch.randn(x.shape, generator=generator)
        if objective == "denoising":
            loss = denoising_score_matching(net, x, torch.full((512,), sigma), noise)
        elif objective == "exact":
            loss = exact_score_matching(net, x)
        else:
            loss = sliced_score_matching(net, x, noise[None], variance_reduction=objective == "sliced")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    points = mixture(2000, generator)
    want = true_score(points, 0.25 + (sigma**2 if objective == "denoising" else 0))
    error = (net(points) - want).square().mean() / want.square().mean()
    assert error < 0.05


def test_exact_score_matching_of_a_linear_score() -> None:
    matrix = torch.tensor([[1.0, 2.0], [3.0, -4.0]])
    x = torch.randn(5, 2)
    loss = exact_score_matching(lambda points: points @ matrix.T, x)
    torch.testing.assert_close(loss, -3 + 0.5 * (x @ matrix.T).square().sum(1).mean())
