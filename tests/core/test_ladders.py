import pytest
import torch

from restorekit.checks.gaussian import GaussianPrior
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


@pytest.mark.parametrize("case", golden.load("gd_respacing").facts["cases"], ids=lambda case: case["id"])
def test_respacing_agrees_with_guided_diffusion(case) -> None:
    want = golden.load("gd_respacing")
    kept = respaced_steps(case["num_timesteps"], case["section_counts"])
    want.agrees(f"output.{case['id']}.timesteps", torch.tensor(kept))


@pytest.mark.parametrize("case", golden.load("gd_respacing").facts["error_cases"])
def test_invalid_respacing_is_refused(case) -> None:
    with pytest.raises(ValueError, match="respacing"):
        respaced_steps(case["num_timesteps"], case["section_counts"])


def test_respacing_skips_sections_of_zero_steps() -> None:
    steps = respaced_steps(300, "12,0,7")
    # guided-diffusion's space_timesteps(300, "12,0,7").
    assert steps == [0, 9, 18, 27, 36, 45, 54, 63, 72, 81, 90, 99, 200, 216, 233, 250, 266, 282, 299]
    assert respaced_steps(300, [0, 0, 1]) == [200]
    for sections, message in (
        ("12,-1,7", r"found -1 steps in section 1, allowed: 0 to 100"),
        ("0,0,0", r"found no steps, allowed: 1 or more in total"),
    ):
        with pytest.raises(ValueError, match=message):
            respaced_steps(300, sections)


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
def test_ladder_of_one_step_is_sigma_max_and_zero(make) -> None:
    assert make(80.0, 0.1, 1).tolist() == pytest.approx([80.0, 0.0])


def test_ladder_for_is_decreasing_and_within_the_range_of_the_prior() -> None:
    prior = GaussianPrior()
    ladder = ladder_for(prior, 10)
    assert ladder.dtype == torch.float64
    assert len(ladder) == 11
    assert ladder[0].item() == pytest.approx(prior.info.sigma_max)
    assert ladder[-1] == 0
    assert (ladder.diff() < 0).all()
    assert ladder_for(prior, 3, sigma_max=1.5)[0].item() == pytest.approx(1.5)
    assert ladder_for(prior, 3, sigma_max=1e4)[0].item() == pytest.approx(prior.info.sigma_max)
    with pytest.raises(ValueError, match="steps"):
        ladder_for(prior, 0)


def test_ladder_for_a_prior_with_levels_is_a_subset_of_these() -> None:
    levels = tuple(geometric_ladder(1.0, 0.01, 10)[:-1].tolist())
    prior = GaussianPrior(levels=levels, sigma_min=levels[-1], sigma_max=1.0)
    ladder = ladder_for(prior, 4)
    assert set(ladder[:-1].tolist()) <= set(levels)
    assert ladder[0] == 1.0
    assert ladder[-2] == levels[-1]
    assert len(ladder_for(prior, 50)) == 11
    assert ladder_for(prior, 10, sigma_max=0.1)[0].item() <= 0.1 + 1e-6


def test_known_sigma_is_the_smallest_level_that_is_not_smaller() -> None:
    levels = tuple(geometric_ladder(2, 0.02, 10)[:-1].tolist())
    prior = GaussianPrior(levels=levels, sigma_min=levels[-1], sigma_max=levels[0])
    for sigma, want in [(2.0, 2.0), (0.02, 0.02), (1.0, 1.19897), (0.001, 0.02), (9.0, 2.0)]:
        assert known_sigma(prior, sigma) == pytest.approx(want, rel=1e-4)
    assert known_sigma(GaussianPrior(), 0.37) == 0.37
    assert known_sigma(GaussianPrior(), 1e-9) == GaussianPrior().info.sigma_min


@pytest.mark.parametrize("sigma_max", [0, -1])
def test_a_first_sigma_that_is_not_positive_is_refused(sigma_max: float) -> None:
    with pytest.raises(ValueError, match=f"sigma_max is {sigma_max}, allowed: above 0"):
        ladder_for(GaussianPrior(), 3, sigma_max=sigma_max)
