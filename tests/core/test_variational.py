from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from restorekit.core.ladders import cosine_betas, linear_betas, sigmas_from_betas
from restorekit.core.variational import (
    bound_term,
    discretized_log_likelihood,
    normal_kl,
    reverse_step,
)
from tests import golden

MOMENTS, BOUND, LOSSES = "gd_p_mean_variance", "gd_vlb", "gd_training_losses"
NAMES = {"fixed_small": "small", "fixed_large": "large", "learned_range": "learned"}


def process(schedule: str, steps: int) -> Tensor:
    betas = cosine_betas(steps) if schedule == "cosine" else linear_betas(steps, 0.1 / steps, 20 / steps)
    return sigmas_from_betas(betas)


def predicted(x: Tensor, table: Tensor, index: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """D and v of the analytic network at the variance-preserving x."""
    sigma = table[index].reshape(-1, 1, 1, 1)
    eps = golden.stand_in_eps(x, t)
    return ((1 + sigma**2).sqrt().float() * x - sigma.float() * eps), golden.stand_in_variance(x, t)


@pytest.mark.parametrize(("schedule", "steps"), [("linear", 1000), ("cosine", 250)])
@pytest.mark.parametrize("variance", ["fixed_small", "fixed_large", "learned_range"])
@pytest.mark.parametrize("clip", [True, False])
def test_means_and_variances_agree_with_guided_diffusion(schedule: str, steps: int, variance: str, clip: bool) -> None:
    want = golden.load(MOMENTS)
    x, index, table = want["input.x_t"], want[f"input.t_{steps}"], process(schedule, steps)
    denoised, fraction = predicted(x, table, index, index.float())
    denoised = denoised.clamp(-1, 1) if clip else denoised
    mean, log_variance = reverse_step(denoised, x, table, index, NAMES[variance], fraction)
    name = f"output.{schedule}_{steps}.{variance}.{'clip' if clip else 'noclip'}"
    want.agrees(f"{name}.mean", mean)
    want.agrees(f"{name}.log_variance", log_variance.expand_as(x).float())


def test_likelihood_and_divergence_agree_with_guided_diffusion() -> None:
    want = golden.load(BOUND)
    x, means, scales = (want[f"input.unit.{name}"] for name in ("x", "means", "log_scales"))
    want.agrees("output.unit.discretized_log_likelihood", discretized_log_likelihood(x, means, scales))
    kl = normal_kl(x, want["input.unit.logvar1"], means, scales)
    want.agrees("output.unit.normal_kl", kl)


def test_likelihoods_of_all_levels_sum_to_one() -> None:
    levels = torch.arange(256) / 127.5 - 1
    for scale in (0.003, 0.1, 2.0):
        log_scale = torch.full((256,), math.log(scale))
        total = discretized_log_likelihood(levels, torch.full((256,), 0.31), log_scale).exp().sum().item()
        assert total == pytest.approx(1, abs=1e-3)


def test_learned_variance_requires_the_fraction() -> None:
    x, table = torch.zeros(1, 3, 2, 2), process("linear", 10)
    with pytest.raises(ValueError, match="requires fraction"):
        reverse_step(x, x, table, torch.tensor([3]), "learned")


LEARNED = {k: v for k, v in golden.load(LOSSES).facts["runs"].items() if v["mean"] == "EPSILON"}


@pytest.mark.parametrize("run", LEARNED)
def test_losses_agree_with_guided_diffusion(run: str) -> None:
    want, facts = golden.load(LOSSES), LEARNED[run]
    steps, kind = facts["T"], facts["loss"]
    table, clean, noise, index = (
        process(facts["sched"], steps), want["input.x_start"], want["input.noise"], want[f"input.t_{steps}"],
    )  # fmt: skip
    sigma = table[index].reshape(-1, 1, 1, 1).float()
    x = (clean + sigma * noise) / (1 + sigma**2).sqrt()
    t = index.float() * (1000 / steps if facts["rescale_timesteps"] else 1)
    denoised, fraction = predicted(x, table, index, t)
    simple = ((denoised - clean) / sigma).square().mean((1, 2, 3))
    bound = bound_term(clean, denoised, x, table, index, NAMES[facts["var"]], fraction)
    bound = bound * (steps / 1000 if kind == "RESCALED_MSE" else steps if kind == "RESCALED_KL" else 1)
    if kind.endswith("KL"):
        want.agrees(f"output.{run}.loss", bound)
        return
    want.agrees(f"output.{run}.mse", simple)
    if facts["var"] == "learned_range":
        want.agrees(f"output.{run}.vb", bound)
        want.agrees(f"output.{run}.loss", simple + bound)
