"""The loss of blind priors without teachers; see test_distillation.py for those with teachers."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from restorekit.core.ladders import linear_betas, sigmas_from_betas
from restorekit.nets.noise_estimator import SMALLEST
from restorekit.priors.epsilon import EpsilonPrior
from restorekit.training.blind_denoising import ESTIMATE_WEIGHT, LEAST_ERROR, SIGMA_SCALE, BlindDenoising
from restorekit.training.degradation_plan import DegradationPlan
from restorekit.training.degradations import degrade, rescale, sample_kinds
from restorekit.training.objectives import objective_for
from tests.training.plans import blind_plan
from tests.training.test_degradations import NONE, photos, seeded

# Estimate of sigma of the stand-in network.
ESTIMATE = 0.07


def degraded_pair(plan: DegradationPlan, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Degraded and clean crops as the objective makes them."""
    kinds = sample_kinds(plan, len(x), generator)
    return degrade(plan, rescale(plan, x, generator, kinds), generator, kinds)


class _Constant(nn.Module):
    """A network that returns a constant times its input, and estimates the same sigma for every image."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, x: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        return self.factor * x

    def noise_estimator(self, x: Tensor) -> Tensor:
        return torch.full((len(x),), ESTIMATE)


def stand_in(prediction: Literal["eps", "x0"], factor: float = 0.0) -> EpsilonPrior:
    """A prior with D = 0 (x0) or D = x (eps)."""
    return EpsilonPrior(_Constant(factor), sigmas_from_betas(linear_betas(50)), prediction=prediction, blind=True)


@pytest.mark.parametrize("prediction", ["x0", "eps"])
def test_blind_loss_is_the_error_relative_to_the_sigma_that_the_network_receives(
    tmp_path: Path, prediction: Literal["eps", "x0"], monkeypatch: pytest.MonkeyPatch
) -> None:
    blind = blind_plan(tmp_path)
    assert blind.degradation is not None
    monkeypatch.setattr("restorekit.training.blind_denoising.TRUE_SIGMA_FRACTION", 0.0)
    loss = BlindDenoising(stand_in(prediction), blind)(photos(side=64), None, seeded(2))
    generator = seeded(2)
    degraded, clean = degraded_pair(blind.degradation, photos(side=64), generator)
    error = (degraded - clean).square().mean((1, 2, 3))
    remaining = error if prediction == "eps" else clean.square().mean((1, 2, 3))
    wrong = torch.log(ESTIMATE / (SIGMA_SCALE * error.sqrt()).clamp(min=SMALLEST))
    expected = (
        remaining / ((ESTIMATE / SIGMA_SCALE) ** 2 + LEAST_ERROR**2)
    ).mean() + ESTIMATE_WEIGHT * wrong.square().mean()
    torch.testing.assert_close(loss, expected)


def test_sigma_objective_is_the_error_of_the_estimate_alone(tmp_path: Path) -> None:
    blind = blind_plan(tmp_path, loss={"objective": "sigma"})
    assert blind.degradation is not None
    loss = BlindDenoising(stand_in("x0"), blind)(photos(side=64), None, seeded(2))
    generator = seeded(2)
    degraded, clean = degraded_pair(blind.degradation, photos(side=64), generator)
    error = (degraded - clean).square().mean((1, 2, 3)).sqrt()
    wrong = torch.log(ESTIMATE / (SIGMA_SCALE * error).clamp(min=SMALLEST))
    torch.testing.assert_close(loss, wrong.square().mean())


def test_sigma_objective_trains_the_estimator_alone(tmp_path: Path) -> None:
    prior = blind_plan(tmp_path).model.build()
    objective = objective_for(prior, blind_plan(tmp_path, loss={"objective": "sigma"}))
    objective(photos(2, 64), None, seeded()).backward()
    trained = {name for name, parameter in prior.net.named_parameters() if parameter.requires_grad}
    assert trained == {name for name, parameter in prior.net.named_parameters() if parameter.grad is not None}
    assert {name.split(".")[0] for name in trained} == {"noise_estimator"}


def test_gradient_of_the_blind_loss_reaches_the_network(tmp_path: Path) -> None:
    prior = blind_plan(tmp_path).model.build()
    objective = objective_for(prior, blind_plan(tmp_path))
    assert isinstance(objective, BlindDenoising)
    objective(photos(2, 64), None, seeded()).backward()
    for name in ("out.2.weight", "noise_estimator.filters.weight"):
        gradient = prior.net.get_parameter(name).grad
        assert gradient is not None
        assert gradient.abs().max() > 0


def test_autocast_does_not_change_the_degradation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []

    def record(*arguments: object) -> tuple[Tensor, Tensor]:
        pair = degrade(*arguments)  # type: ignore[arg-type]
        seen.append(pair[0])
        return pair

    monkeypatch.setattr("restorekit.training.blind_denoising.degrade", record)
    objective = BlindDenoising(stand_in("x0", 0.5), blind_plan(tmp_path, degradation={**NONE, "camera_share": 1}))
    plain = objective(photos(side=64), None, seeded(2))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = objective(photos(side=64), None, seeded(2))
    assert torch.equal(*seen)
    torch.testing.assert_close(cast, plain, rtol=0.05, atol=0)
