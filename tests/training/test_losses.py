from __future__ import annotations

import pytest
import torch

from restorekit.core.ladders import linear_betas, sigmas_from_betas
from restorekit.training.ema import Ema
from restorekit.training.losses import denoising_loss, level_weight, sample_sigmas
from restorekit.training.plan import LossPlan, NoisePlan

TABLE = sigmas_from_betas(linear_betas(1000))
SIGMA = torch.tensor([0.1, 1.0, 7.0])


def pair() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    clean, noise, wrong = (torch.randn(3, 3, 8, 8, dtype=torch.float64) for _ in range(3))
    return clean, noise, wrong


@pytest.mark.parametrize("norm", ["l2", "l1", "log"])
@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
def test_loss_is_the_error_of_the_predicted_quantity(prediction: str, norm: str) -> None:
    clean, noise, wrong = pair()
    s = SIGMA.double().reshape(-1, 1, 1, 1)
    a, b = (1 + s**2).rsqrt(), s * (1 + s**2).rsqrt()
    noisy = clean + s * noise
    if prediction == "eps":
        denoised, error = noisy - s * wrong, wrong - noise
    elif prediction == "x0":
        denoised, error = wrong, wrong - clean
    else:
        error = wrong - (a * noise - b * clean)
        denoised = a * (a * noisy) - b * wrong
    each = error.square().mean((1, 2, 3))
    want = {"l2": each, "l1": error.abs(), "log": torch.log(1 + 10 * each)}[norm].mean()
    got = denoising_loss(LossPlan(norm=norm), prediction, denoised, clean, SIGMA.double())
    torch.testing.assert_close(got, want)
    weight = torch.tensor([0.5, 1.0, 3.0], dtype=torch.float64)
    got = denoising_loss(LossPlan(norm=norm), prediction, denoised, clean, SIGMA.double(), weight)
    absolute = error.abs().mean((1, 2, 3))
    weighted = {"l2": weight * each, "l1": weight * absolute, "log": torch.log(1 + 10 * weight * each)}[norm].mean()
    torch.testing.assert_close(got, weighted)


def test_level_weights_agree_with_the_papers() -> None:
    snr = SIGMA**-2
    p2 = level_weight(LossPlan(weighting="p2", p2_gamma=0.5, p2_k=2.0), "eps", SIGMA)
    torch.testing.assert_close(p2, (2 + snr) ** -0.5)
    # Hang et al., table of section 3.4: min(snr, g) for x0, min(snr, g) / snr for eps, min(snr, g) / (snr + 1) for v.
    capped = snr.clamp(max=5)
    for prediction, want in [("x0", capped), ("eps", capped / snr), ("v", capped / (snr + 1))]:
        torch.testing.assert_close(level_weight(LossPlan(weighting="min-snr"), prediction, SIGMA), want)


def test_noise_levels_follow_the_planned_distribution() -> None:
    generator = torch.Generator().manual_seed(0)
    uniform = sample_sigmas(NoisePlan(), TABLE, 20_000, generator)
    assert set(uniform.tolist()) <= set(TABLE.tolist())
    assert len(set(uniform.tolist())) == 1000
    lognormal = sample_sigmas(NoisePlan(distribution="lognormal", mean=-1.0, std=0.5), TABLE, 20_000, generator).log()
    assert lognormal.mean().item() == pytest.approx(-1.0, abs=0.02)
    assert lognormal.std().item() == pytest.approx(0.5, abs=0.02)
    mixed = sample_sigmas(
        NoisePlan(distribution="lognormal", mean=-4.5, std=0.01, uniform_share=0.25), TABLE, 20_000, generator
    )
    assert (mixed > 0.02).double().mean().item() == pytest.approx(0.25, abs=0.02)
    assert sample_sigmas(NoisePlan(distribution="lognormal", mean=9, std=1), TABLE, 9, generator).max() <= TABLE[-1]


def test_moving_average_follows_the_weights() -> None:
    module = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(module.weight)
    ema = Ema(module, 0.9)
    torch.nn.init.ones_(module.weight)
    ema.update(module, 0)
    assert ema.average.weight.item() == pytest.approx(0.9)  # decay 1 / 10 at the start
    for _ in range(3):
        ema.update(module, 10_000)
    assert ema.average.weight.item() == pytest.approx(1 - 0.1 * 0.9**3)
