from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from skimage import data

from restorekit.core.ladders import cosine_betas, linear_betas, sigmas_from_betas
from restorekit.errors import ImageError, ModelError
from restorekit.evaluation import likelihood
from restorekit.evaluation.likelihood import bits_per_dimension
from restorekit.priors.epsilon import EpsilonPrior
from restorekit.run.engine import make_engine
from tests import golden
from tests.models.small import small_model
from tests.sampling.test_samplers import VARIANCES, StandIn

BOUND = "gd_vlb"


@pytest.mark.parametrize("run", golden.load(BOUND).facts["runs"])
def test_the_bound_agrees_with_guided_diffusion(run: str) -> None:
    want, facts = golden.load(BOUND), golden.load(BOUND).facts["runs"][run]
    steps = facts["T"]
    betas = cosine_betas(steps) if facts["sched"] == "cosine" else linear_betas(steps, 0.1 / steps, 20 / steps)
    prior = EpsilonPrior(
        StandIn(variance=facts["var"] == "learned_range"),
        sigmas_from_betas(betas),
        learned_variance=facts["var"] == "learned_range",
        time_scale=1000 / steps if facts["rescale_timesteps"] else 1.0,
    )
    clean, noise = want[f"input.{facts['inputs']}.x_start"], golden.Recorded(want[f"input.{facts['inputs']}.noise"])
    total, terms = bits_per_dimension(
        prior, clean, noise, steps=facts["respacing"] or None, variance=VARIANCES[facts["var"]], clip=facts["clip"]
    )
    want.agrees(f"output.{run}.vb", terms)
    want.agrees(f"output.{run}.total_bpd", total)


def test_a_folder_is_measured(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    Image.fromarray(data.astronaut()[:40, :50]).save(tmp_path / "photos" / "a.png")
    said: list[str] = []
    engine, model = make_engine("cpu", "float32"), str(small_model(tmp_path / "model"))
    got = likelihood.evaluate(tmp_path / "photos", model, engine, steps=5, crop=32, say=said.append)
    assert got > 0
    assert said == [f"{got:.3f} bits per dimension ({model}, 5 steps, 1 photos, 32 x 32)"]
    with pytest.raises(ImageError, match="a: is 50 x 40, allowed: 64 pixels"):
        likelihood.evaluate(tmp_path / "photos", model, engine, steps=5)


def test_a_prior_without_a_bound_is_named(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(likelihood, "load_prior", lambda model: torch.nn.Identity())
    with pytest.raises(ModelError, match="no prior of the DDPM type"):
        likelihood.evaluate(tmp_path, "ncsn", make_engine("cpu", "float32"))
