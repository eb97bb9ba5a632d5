from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from restorekit.models.config import EpsilonConfig
from restorekit.models.files import WEIGHTS, load_weights, read_config
from restorekit.priors.epsilon import EpsilonPrior
from restorekit.training.logging import write_card
from restorekit.training.loop import Trainer, train
from restorekit.training.transfer import start_from
from tests.training.plans import blind_plan, photos, tiny_plan

# Pixels of the border that zero padding of the convolutions may reach.
BORDER = 40


@pytest.fixture
def partial(tmp_path: Path) -> Path:
    """Weights of a prior trained on partial noise, with random values in all layers."""
    folder = photos(tmp_path / "photos")
    net = {**tiny_plan(folder).model.net.model_dump(), "in_channels": 5}
    run = {"steps": 1, "weights": "float32"}
    plan = tiny_plan(folder, model={"net": net, "partial_noise": True}, noise={"partial_share": 0.5}, run=run)
    trainer = Trainer(plan, tmp_path / "partial")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in trainer.model.net.parameters():
            value += 0.05 * torch.randn(value.shape, generator=generator)
    trainer.run()
    return tmp_path / "partial" / WEIGHTS


def noisy(side: int = 96) -> Tensor:
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))


def test_blind_prior_starts_as_the_partial_noise_prior_with_all_pixels_noisy(tmp_path: Path, partial: Path) -> None:
    old = load_weights(partial)
    plan = blind_plan(tmp_path / "photos")
    blind = start_from(partial, plan)
    assert isinstance(blind, EpsilonPrior)
    assert blind.net.input_blocks[0][0].weight.shape[1] == 3
    with torch.no_grad():
        sigma = blind.estimate_sigma(noisy())
        expected, found = old(noisy(), sigma), blind(noisy(), torch.full((2,), 7.0))
    inner = (..., slice(BORDER, -BORDER), slice(BORDER, -BORDER))
    torch.testing.assert_close(found[inner], expected[inner], rtol=0, atol=1e-5)
    assert (expected - noisy()).abs().max() > 0.01


def test_labels_start_without_effect(tmp_path: Path, partial: Path) -> None:
    old = blind_plan(tmp_path / "photos")
    net = {**old.model.net.model_dump(), "classes": 2}
    shares = {"camera_share": 0.3, "known_jpeg_share": 0.3}
    plan = blind_plan(tmp_path / "photos", model={"net": net, "classes": ["jpeg"]}, degradation=shares)
    blind, expected = start_from(partial, plan), start_from(partial, old)
    assert isinstance(blind, EpsilonPrior)
    blind.net.noise_estimator.load_state_dict(expected.net.noise_estimator.state_dict())
    with torch.no_grad():
        results = [blind(noisy(16), torch.ones(2), label) for label in (None, torch.zeros(2, dtype=torch.long))]
        for result in results:
            torch.testing.assert_close(result, expected(noisy(16), torch.ones(2)))


def test_saved_blind_prior_ignores_the_given_sigma(tmp_path: Path) -> None:
    plan, out = blind_plan(photos(tmp_path / "photos"), run={"steps": 2}), tmp_path / "out"
    train(plan, out)
    assert read_config(out / WEIGHTS) == plan.model
    prior = load_weights(out / WEIGHTS)
    assert prior.info.blind
    with torch.no_grad():
        results = [prior(noisy(16), torch.full((2,), sigma)) for sigma in (0.001, 1.0, torch.inf)]
    assert all(torch.equal(result, results[0]) for result in results)


def test_card_of_a_blind_prior_states_what_it_estimates(tmp_path: Path) -> None:
    write_card(tmp_path, blind_plan(tmp_path), 3, 12)
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "A blind prior of restorekit: D(y) = E[x0 | y] for degraded photos y" in card
    assert "blind (estimates sigma)" in card
    assert "D(x, sigma)" not in card


def test_training_of_a_blind_prior_writes_no_samples(tmp_path: Path) -> None:
    folder, run = photos(tmp_path / "photos"), {"steps": 1, "sample_minutes": 1e-9}
    train(blind_plan(folder, run=run), tmp_path / "blind")
    assert (tmp_path / "blind" / WEIGHTS).exists()
    assert not (tmp_path / "blind" / "samples").exists()


@pytest.mark.parametrize(
    "model",
    [
        {"partial_noise": True, "net": {"in_channels": 5}},
        {"self_conditioned": True, "net": {"in_channels": 6}},
        {"net": {"out_channels": 6}},
    ],
    ids=["partial_noise", "self_conditioned", "learned_variance"],
)
def test_extensions_of_a_blind_prior_are_refused(request: pytest.FixtureRequest, model: dict[str, Any]) -> None:
    assert not EpsilonConfig.model_validate(model).blind
    blind = {**model, "net": {**model["net"], "noise_estimator": 8}}
    with pytest.raises(
        ValueError, match=rf"noise_estimator is 8, but {request.node.callspec.id} is given; allowed: one"
    ):
        EpsilonConfig.model_validate(blind)


@pytest.mark.parametrize(("classes", "count"), [(["a"], 2), (["jpeg"], 1), (["jpeg", "b"], 3)])
def test_other_classes_of_a_blind_prior_are_refused(classes: list[str], count: int) -> None:
    net = {"noise_estimator": 8, "classes": 2}
    assert EpsilonConfig.model_validate({"classes": ["jpeg"], "net": net}).no_label == 1
    with pytest.raises(ValueError, match=rf"and net\.classes {count}, but .*; allowed: null, or \['jpeg'\] and 2"):
        EpsilonConfig.model_validate({"classes": classes, "net": {**net, "classes": count}})
