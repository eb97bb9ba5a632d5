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
def test_variational_bound_agrees_with_guided_diffusion(run: str) -> None:
    expected = golden.load(BOUND)
    facts = expected.facts["runs"][run]
    steps = facts["T"]
    betas = cosine_betas(steps) if facts["sched"] == "cosine" else linear_betas(steps, 0.1 / steps, 20 / steps)
    prior = EpsilonPrior(
        StandIn(variance=facts["var"] == "learned_range"),
        sigmas_from_betas(betas),
        learned_variance=facts["var"] == "learned_range",
        time_scale=1000 / steps if facts["rescale_timesteps"] else 1.0,
    )
    clean = expected[f"input.{facts['inputs']}.x_start"]
    noise = golden.Recorded(expected[f"input.{facts['inputs']}.noise"])
    total, terms = bits_per_dimension(
        prior, clean, noise, steps=facts["respacing"] or None, variance=VARIANCES[facts["var"]], clip=facts["clip"]
    )
    expected.agrees(f"output.{run}.vb", terms)
    expected.agrees(f"output.{run}.total_bpd", total)


def test_bits_per_dimension_of_a_folder_are_reported(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    Image.fromarray(data.astronaut()[:40, :50]).save(tmp_path / "photos" / "a.png")
    lines: list[str] = []
    engine, model = make_engine("cpu", "float32"), str(small_model(tmp_path / "model"))
    result = likelihood.evaluate(tmp_path / "photos", model, engine, steps=5, crop=32, write_line=lines.append)
    assert result > 0
    assert lines[0].startswith("| model | steps | crop | photos | bits per dimension |")
    assert lines[1:] == [f"| {model} | 5 | 32 x 32 | 1 | {result:.3f} |"]
    with pytest.raises(ImageError, match="a: found 50 x 40 pixels, allowed: 64 x 64"):
        likelihood.evaluate(tmp_path / "photos", model, engine, steps=5)


def test_prior_without_a_bound_is_refused(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(likelihood, "load_prior", lambda model: torch.nn.Identity())
    with pytest.raises(ModelError, match="ncsn has no bound, allowed: a DDPM-type prior"):
        likelihood.evaluate(tmp_path, "ncsn", make_engine("cpu", "float32"))
