"""Targets of a blind prior that has teachers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

import restorekit as rk
from restorekit.training import distillation
from restorekit.training.blind_denoising import LEAST_ERROR, SIGMA_SCALE
from restorekit.training.degradation_plan import DistillationPlan
from restorekit.training.degradations import degrade, rescale, sample_kinds
from restorekit.training.distillation import Teachers
from restorekit.training.objectives import objective_for
from tests.training.plans import blind_plan, tiny_plan

SECTIONS = {
    "degradation": {"camera_share": 0.4, "correlated_share": 0.2, "gaussian_share": 0.1, "jpeg_share": 0.2},
    "distillation": {"teachers": ["half", "sigma"], "sigma_scale": 1.5, "weight": 3},
}


NO_SHARES = {"camera_share": 0, "correlated_share": 0, "gaussian_share": 0, "jpeg_share": 0}


class Teacher:
    """D = factor x + shift sigma; notes the sigmas that it receives."""

    def __init__(self, factor: float, shift: float) -> None:
        self.info = rk.PriorInfo(3, None, 0.1, 0.2)
        self.factor, self.shift = factor, shift
        self.sigmas: list[Tensor] = []

    def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        self.sigmas.append(sigma)
        return self.factor * x + self.shift * sigma[:, None, None, None]


@pytest.fixture
def teachers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Teacher]:
    known = {"half": Teacher(0.5, 0), "sigma": Teacher(0, 1)}
    monkeypatch.setattr(distillation, "load_prior", known.__getitem__)
    return known


def photos(count: int = 40) -> Tensor:
    return torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(5)) * 1.2 - 0.6


def test_target_of_taught_crops_is_the_mean_of_the_teachers(teachers: dict[str, Teacher]) -> None:
    plan = DistillationPlan(teachers=("half", "sigma"), sigma_scale=1.5, weight=3)
    degraded, clean = photos(4), photos(4) / 3
    estimate = torch.tensor([0.01, 0.1, 0.12, 1.0])
    taught = torch.tensor([True, True, False, True])
    target, weight = Teachers(plan).targets(degraded, clean, estimate, taught)
    sigma = torch.tensor([0.1, 0.15, 0.0, 0.2])
    expected = (0.5 * degraded + sigma[:, None, None, None]) / 2
    torch.testing.assert_close(target[taught], expected[taught])
    assert torch.equal(target[2], clean[2])
    assert weight.tolist() == [3, 3, 1, 3]
    torch.testing.assert_close(teachers["half"].sigmas[0], sigma[taught], msg="within the range of the teacher")


def test_teachers_are_not_asked_without_taught_crops(teachers: dict[str, Teacher]) -> None:
    plan = DistillationPlan(teachers=("half",))
    target, weight = Teachers(plan).targets(photos(2), photos(2) / 3, torch.ones(2), torch.zeros(2) > 0)
    assert torch.equal(target, photos(2) / 3)
    assert weight.tolist() == [1, 1]
    assert not teachers["half"].sigmas


@pytest.mark.usefixtures("teachers")
def test_loss_is_the_weighted_error_to_the_teachers_and_to_the_other_clean_crops(tmp_path: Path) -> None:
    plan = blind_plan(tmp_path, **SECTIONS)
    assert plan.degradation is not None
    assert plan.distillation is not None
    prior = plan.model.build()
    objective = objective_for(prior, plan)
    loss = objective(photos(), None, torch.Generator().manual_seed(2))
    generator = torch.Generator().manual_seed(2)
    kinds = sample_kinds(plan.degradation, 40, generator)
    degraded, clean = degrade(plan.degradation, rescale(plan.degradation, photos(), generator, kinds), generator, kinds)
    noisy = kinds.camera | kinds.correlated
    assert 15 < noisy.sum() < 35
    with torch.no_grad():
        sigma = prior.estimate_sigma(degraded)
        given = (1.5 * sigma).clamp(0.1, 0.2)[:, None, None, None]
        target = torch.where(noisy[:, None, None, None], (0.5 * degraded + given) / 2, clean)
        error = (prior(degraded, 0.0) - target).square().mean((1, 2, 3))
        weight = torch.where(noisy, 3.0, 1.0)
        expected = (weight * error / ((sigma / SIGMA_SCALE) ** 2 + LEAST_ERROR**2)).mean()
    torch.testing.assert_close(loss.detach(), expected, rtol=1e-4, atol=0)


@pytest.mark.usefixtures("teachers")
def test_crops_with_known_compression_have_the_label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = blind_plan(tmp_path).model.net.model_dump()
    model = {"classes": ["jpeg"], "net": {**net, "classes": 2}}
    shares = {"camera_share": 0.3, "jpeg_share": 0.3, "known_jpeg_share": 0.3}
    plan = blind_plan(tmp_path, **{**SECTIONS, "model": model, "degradation": {**NO_SHARES, **shares}})
    assert plan.degradation is not None
    prior = plan.model.build()
    seen: list[Tensor] = []
    monkeypatch.setattr(
        prior.net, "forward", lambda x, t, label: (seen.append(label), prior.net.out[-1].weight.sum() * x)[1]
    )
    objective_for(prior, plan)(photos(), None, torch.Generator().manual_seed(2)).backward()
    kinds = sample_kinds(plan.degradation, 40, torch.Generator().manual_seed(2))
    assert 5 < kinds.known_jpeg.sum() < 25
    (label,) = seen
    assert torch.equal(label, 1 - kinds.known_jpeg.long())


@pytest.mark.usefixtures("teachers")
def test_estimator_of_sigma_keeps_its_weights_and_teachers_are_not_saved(tmp_path: Path) -> None:
    plan = blind_plan(tmp_path, **SECTIONS)
    prior = plan.model.build()
    objective = objective_for(prior, plan)
    objective(photos(8), None, torch.Generator()).backward()
    trained = {name for name, parameter in prior.net.named_parameters() if parameter.grad is not None}
    others = {name for name, _ in prior.net.named_parameters() if not name.startswith("noise_estimator.")}
    assert trained == others
    assert objective.state_dict().keys() == {f"trained.{name}" for name in prior.state_dict()}


def test_teachers_are_priors_of_the_package() -> None:
    (prior,) = Teachers(DistillationPlan(teachers=("camera-photo",))).priors
    assert prior.info.blind


def test_unknown_teachers_are_refused_by_the_name_of_the_key() -> None:
    with pytest.raises(rk.RestorekitError, match=r"^distillation\.teachers: unknown model 'nobody'\. Allowed: "):
        Teachers(DistillationPlan(teachers=("nobody",)))


def test_teachers_of_grey_images_are_refused(teachers: dict[str, Teacher]) -> None:
    teachers["half"].info = rk.PriorInfo(1, None, 0.1, 0.2)
    with pytest.raises(rk.RestorekitError, match=r"teachers: half has 1 channels, allowed: priors with 3"):
        Teachers(DistillationPlan(teachers=("half",)))


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (
            {"loss": {"objective": "sigma"}},
            "distillation is given, but loss.objective is 'sigma'; allowed: 'denoising'",
        ),
        ({"distillation": {"teachers": []}}, "at least 1 item"),
        ({"distillation": {"teachers": ["a"], "weight": 0}}, "greater than 0"),
    ],
)
def test_inconsistent_plans_are_refused(tmp_path: Path, sections: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        blind_plan(tmp_path, **{**SECTIONS, **sections})


def test_teachers_of_a_prior_that_is_not_blind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"distillation is given; allowed with model\.net\.noise_estimator"):
        tiny_plan(tmp_path, distillation={"teachers": ["camera-photo"]})
