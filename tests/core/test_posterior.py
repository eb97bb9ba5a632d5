import pytest
import torch

from restorekit.core.ladders import cosine_betas, linear_betas, sigmas_from_betas
from restorekit.core.posterior import posterior_variance, step_variance
from tests import golden


@pytest.mark.parametrize("steps", [1000, 250])
@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_variances_agree_with_guided_diffusion(schedule: str, steps: int) -> None:
    want, name = golden.load("gd_schedules"), f"output.{schedule}_{steps}"
    t = sigmas_from_betas(cosine_betas(steps) if schedule == "cosine" else linear_betas(steps, 0.1 / steps, 20 / steps))
    s = torch.cat([t.new_zeros(1), t[:-1]])
    # The golden file has the variances of the variance-preserving state.
    want.agrees(f"{name}.posterior_variance", posterior_variance(t, s) / (1 + s**2))
    large = step_variance(t, s) / (1 + s**2)
    torch.testing.assert_close(large[1:], want[f"{name}.fixed_large_variance"][1:], rtol=1e-9, atol=0)


def test_a_step_to_zero_adds_no_noise() -> None:
    assert posterior_variance(2.0, 0.0) == 0
    assert step_variance(2.0, 0.0) == pytest.approx(0.8)
