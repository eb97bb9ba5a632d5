import pytest
import torch

from restorekit.core.ladders import (
    cosine_betas,
    geometric_ladder,
    karras_ladder,
    known_sigma,
    ladder_for,
    linear_betas,
    respaced_steps,
    sigmas_from_betas,
    table_ladder,
)
from restorekit.testing import GaussianPrior
from tests import golden


@pytest.mark.parametrize("steps", [1000, 250])
@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_schedules_agree_with_guided_diffusion(schedule: str, steps: int) -> None:
    want = golden.load("gd_schedules")
    betas = cosine_betas(steps) if schedule == "cosine" else linear_betas(steps, 0.1 / steps, 20 / steps)
    name = f"output.{schedule}_{steps}"
    want.agrees(f"{name}.betas", betas)
    table = sigmas_from_betas(betas)
    want.agrees(f"{name}.sqrt_recipm1_alphas_cumprod", table)
    # The variances that samplers.py writes in sigma, brought back to the variance-preserving scale.
    below = torch.cat([table.new_zeros(1), table[:-1]])
    scale = 1 / (1 + below**2)
    small = below**2 * (table**2 - below**2) / table**2 * scale
    want.agrees(f"{name}.posterior_variance", small)
    large = (1 + below**2) * (table**2 - below**2) / (1 + table**2) * scale
    torch.testing.assert_close(large[1:], want[f"{name}.fixed_large_variance"][1:], rtol=1e-9, atol=0)


@pytest.mark.parametrize("case", golden.load("gd_respacing").facts["cases"], ids=lambda case: case["id"])
def test_respacing_agrees_with_guided_diffusion(case) -> None:
    want = golden.load("gd_respacing")
    kept = respaced_steps(case["num_timesteps"], case["section_counts"])
    want.agrees(f"output.{case['id']}.timesteps", torch.tensor(kept))


@pytest.mark.parametrize("case", golden.load("gd_respacing").facts["error_cases"])
def test_impossible_respacing_is_refused(case) -> None:
    with pytest.raises(ValueError, match="respacing"):
        respaced_steps(case["num_timesteps"], case["section_counts"])


def test_ladders_agree_with_k_diffusion() -> None:
    want = golden.load("kdiffusion_sigmas_and_samplers")
    table = sigmas_from_betas(linear_betas(1000))
    want.agrees("output.table.sigmas", table)
    want.agrees("output.table.get_sigmas_all", table_ladder(table))
    facts = want.facts["parameters"]["karras"]
    ends = facts["sigma_max"], facts["sigma_min"], facts["n"]
    want.agrees("output.karras", karras_ladder(*ends, rho=facts["rho"]))
    want.agrees("output.exponential", geometric_ladder(*ends))


@pytest.mark.parametrize("make", [karras_ladder, geometric_ladder])
def test_one_step_ladders(make) -> None:
    assert make(80.0, 0.1, 1).tolist() == pytest.approx([80.0, 0.0])


def test_ladder_for_any_prior() -> None:
    prior = GaussianPrior()
    ladder = ladder_for(prior, 10)
    assert ladder.dtype == torch.float64
    assert len(ladder) == 11
    assert ladder[0].item() == pytest.approx(prior.sigma_max)
    assert ladder[-1] == 0
    assert (ladder.diff() < 0).all()
    assert ladder_for(prior, 3, sigma_max=1.5)[0].item() == pytest.approx(1.5)
    with pytest.raises(ValueError, match="steps"):
        ladder_for(prior, 0)


def test_ladder_for_a_prior_with_levels_holds_only_these() -> None:
    prior = GaussianPrior()
    prior.levels = geometric_ladder(1.0, 0.01, 10)[:-1]
    ladder = ladder_for(prior, 4)
    assert set(ladder[:-1].tolist()) <= set(prior.levels.tolist())
    assert ladder[0] == 1.0
    assert ladder[-2] == prior.levels[-1]
    assert len(ladder_for(prior, 50)) == 11
    assert ladder_for(prior, 10, sigma_max=0.1)[0].item() <= 0.1 + 1e-6


def test_the_least_known_sigma_that_is_not_below() -> None:
    class Levelled(GaussianPrior):
        levels = geometric_ladder(2, 0.02, 10)[:-1]

    for sigma, want in [(2.0, 2.0), (0.02, 0.02), (1.0, 1.19897), (0.001, 0.02), (9.0, 2.0)]:
        assert known_sigma(Levelled(), sigma) == pytest.approx(want, rel=1e-4)
    assert known_sigma(GaussianPrior(), 0.37) == 0.37
    assert known_sigma(GaussianPrior(), 1e-9) == GaussianPrior.sigma_min
