from __future__ import annotations

from pathlib import Path

import pytest
import torch

from restorekit.errors import ImageError, ModelError, OptionError
from restorekit.evaluation.classification import evaluate
from restorekit.models.config import EpsilonConfig
from restorekit.models.files import CARD, WEIGHTS, load_weights
from restorekit.models.registry import load_model
from restorekit.nets.unet import UNetConfig
from restorekit.run.engine import make_engine
from restorekit.training.loop import Trainer, train
from restorekit.training.objectives import LearnedVariance, first_estimate
from restorekit.training.plan import Plan
from tests.training.plans import class_photos, conditional_plan, tiny_plan


@pytest.mark.parametrize("objective", ["denoising", "vlb"])
def test_class_conditional_prior_with_learned_variance_is_trained(tmp_path: Path, objective: str) -> None:
    plan = conditional_plan(
        tmp_path / "photos",
        model={"schedule": {"steps": 10, "start": 0.01, "end": 0.5}},
        loss={"objective": objective},
        optimizer={"lr": 1e-3, "warmup": 0, "decay": "none"},
        run={"steps": 60, "batch": 8, "log_steps": 60, "ema": 0.8},
    )
    trainer = Trainer(plan, tmp_path / "out")
    trainer.run()
    if objective == "vlb":
        assert (trainer.objective.seen > 0).all()
    prior = load_weights(tmp_path / "out" / WEIGHTS)
    assert prior.info.classes == ("bright", "dark")
    x, sigma = torch.zeros(3, 3, 16, 16), torch.full((3,), float(prior.table[-1]))
    with torch.no_grad():
        bright, dark, unlabelled = prior(x, sigma, torch.arange(3)).mean((1, 2, 3))
    assert bright > unlabelled > dark


@pytest.mark.parametrize("learned", [False, True])
def test_self_conditioned_network_learns_from_its_estimates(tmp_path: Path, learned: bool) -> None:
    net = {"channels": 32, "multipliers": [1, 2], "blocks": 1, "norm": "layer", "middle_attention": False}
    plan = tiny_plan(
        class_photos(tmp_path / "photos"),
        model={"self_conditioned": True, "net": {**net, "in_channels": 6, "out_channels": 6 if learned else 3}},
        noise={"distribution": "uniform-t", "uniform_share": 0.0} if learned else {},
    )
    trainer = Trainer(plan, tmp_path / "out")
    before = trainer.model.net.input_blocks[0][0].weight[:, 3:].detach().clone()
    trainer.run()
    assert not torch.equal(trainer.model.net.input_blocks[0][0].weight[:, 3:], before)
    prior = load_weights(tmp_path / "out" / WEIGHTS)
    assert prior.self_conditioned
    x, sigma = torch.rand(2, 3, 16, 16), torch.ones(2)
    with torch.no_grad():
        assert not torch.equal(prior(x, sigma), prior.single_pass(x, sigma)[0])


def test_variance_gets_no_gradient_from_partial_noise(tmp_path: Path) -> None:
    net = {"channels": 32, "multipliers": [1, 2], "blocks": 1, "norm": "layer", "in_channels": 5, "out_channels": 6}
    plan = conditional_plan(
        tmp_path / "photos",
        model={"partial_noise": True, "net": {**net, "classes": 3}},
        noise={"partial_share": 0.5, "partial_masks": ["boxes"], "partial_mean": 0.5},
        run={"steps": 3},
    )
    Trainer(plan, tmp_path / "out").run()
    prior = load_weights(tmp_path / "out" / WEIGHTS)
    assert prior.info.partial_noise
    assert prior.info.learned_variance
    trained = LearnedVariance(prior, plan)
    clean, label = torch.rand(8, 3, 16, 16), torch.zeros(8, dtype=torch.int64)
    # The variance is not defined for partial noise: with such crops only, its channels get no gradient.
    partial_only = plan.model_copy(update={"noise": plan.noise.model_copy(update={"partial_share": 1.0})})
    for variant, has_gradient in ((plan, True), (partial_only, False)):
        trained.plan = variant
        prior.zero_grad()
        trained.requires_grad_(True)(clean, label, torch.Generator().manual_seed(0)).backward()
        gradient = prior.net.out[-1].weight.grad
        assert gradient[:3].any()
        assert bool(gradient[3:].any()) == has_gradient


def test_half_of_the_images_receive_their_first_estimate() -> None:
    net = UNetConfig(in_channels=6, channels=32, multipliers=(1,), blocks=1)
    prior = EpsilonConfig(self_conditioned=True, net=net).build()
    torch.nn.init.normal_(prior.net.out[-1].weight, std=0.1)
    x, generator = torch.randn(40, 3, 8, 8), torch.Generator().manual_seed(0)
    estimate = first_estimate(prior, x, torch.ones(40), None, generator)
    used = estimate.flatten(1).any(1)
    assert 10 < used.sum() < 30
    torch.testing.assert_close(estimate[used], prior.single_pass(x, torch.ones(40))[0][used].detach())


def test_classifier_is_trained_on_noisy_images(tmp_path: Path, capsys) -> None:
    folder = class_photos(tmp_path / "photos")
    net = {"classes": 2, "size": 16, "channels": 32, "multipliers": [1, 2], "blocks": 1, "pool": "adaptive"}
    plan = Plan.model_validate(
        {
            **tiny_plan(folder).model_dump(),
            "model": {"family": "classifier", "classes": ["bright", "dark"], "net": net},
            "data": {"folder": str(folder), "crop": 16, "labels": "folders"},
            "noise": {"distribution": "lognormal"},
            "optimizer": {"lr": 2e-3, "warmup": 0, "decay": "none"},
            "run": {"steps": 25, "batch": 8, "log_steps": 25, "precision": "float32", "ema": 0.5},
        }
    )
    train(plan, tmp_path / "out")
    card = (tmp_path / "out" / CARD).read_text(encoding="utf-8")
    assert "A classifier of restorekit" in card
    assert "pipeline_tag: image-classification" in card
    classifier = load_model(tmp_path / "out")
    x = torch.cat([torch.full((1, 3, 16, 16), 0.6), torch.full((1, 3, 16, 16), -0.6)])
    log_probabilities = classifier(
        x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0)), torch.full((2,), 0.1)
    )
    assert log_probabilities.argmax(1).tolist() == [0, 1]
    found = evaluate(folder, [0.0, 400.0], str(tmp_path / "out"), make_engine("cpu"), write_line=print)
    assert list(found) == [0.0, 400.0]
    assert found[0.0] == 1.0
    assert f"| 0 | {tmp_path / 'out'} | 100.0% | 8 |" in capsys.readouterr().out
    with pytest.raises(ImageError, match="no image in folders named bright, dark"):
        evaluate(tmp_path, [0.0], str(tmp_path / "out"), make_engine("cpu"))
    with pytest.raises(OptionError, match=r"found \[-1\.0\], allowed: numbers, 0 or greater"):
        evaluate(folder, [-1.0], str(tmp_path / "out"), make_engine("cpu"))
    gradient = classifier.gradient(x, torch.full((2,), 0.1), torch.tensor([1, 1]))
    assert gradient.shape == x.shape
    with pytest.raises(ModelError, match="found a classifier, allowed: a prior"):
        load_weights(tmp_path / "out" / WEIGHTS)
    with pytest.raises(ModelError, match="accepts 16 x 16 pixels, but the window is 20 x 20"):
        classifier(torch.zeros(1, 3, 20, 20), torch.ones(1))


def test_larger_network_starts_from_the_weights_that_fit(tmp_path: Path) -> None:
    plan = conditional_plan(tmp_path / "photos")
    photos = plan.data.folder
    train(tiny_plan(photos, run={"steps": 1, "weights": "float32"}), tmp_path / "a")
    old = load_weights(tmp_path / "a" / WEIGHTS).net.state_dict()
    net = plan.model.net.model_copy(update={"attention": (2,)})
    larger = plan.model_copy(update={"model": plan.model.model_copy(update={"net": net})})
    new = Trainer(larger, tmp_path / "b", init_from=tmp_path / "a" / WEIGHTS).model.net.state_dict()
    moved = {"middle_block.1": "middle_block.2", "output_blocks.1.1": "output_blocks.1.2"}
    for name, value in old.items():
        new_name = next((name.replace(a, b) for a, b in moved.items() if name.startswith(a + ".")), name)
        assert torch.equal(new[new_name][: len(value)], value), name
    assert new["out.2.weight"].shape[0] == 6
    assert not new["out.2.weight"][3:].any()
