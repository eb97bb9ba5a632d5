from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from restorekit.checks.gaussian import GaussianPrior
from restorekit.core.ladders import geometric_ladder
from restorekit.core.noise import ImageNoise
from restorekit.core.operators import Masking
from restorekit.priors.score import ScorePrior
from restorekit.sampling.langevin import first_sigma, langevin, ratio, sample_langevin, step_for
from tests import golden
from tests.priors.gaussian import CorrelatedPrior


class Mixture(nn.Module):
    """The analytic score of the NCSN golden files: a mixture of two Gaussians per pixel."""

    def __init__(self, sigmas: Tensor) -> None:
        super().__init__()
        self.sigmas = sigmas.float()

    def forward(self, u: Tensor, label: Tensor) -> Tensor:
        variance = 0.1**2 + self.sigmas[label].reshape(-1, 1, 1, 1) ** 2
        means = (0.25, 0.75)
        logs = [math.log(w) - (u - m) ** 2 / (2 * variance) for w, m in zip((0.4, 0.6), means, strict=True)]
        shares = torch.stack(logs).softmax(0)
        return sum(r * (m - u) / variance for r, m in zip(shares, means, strict=True))  # type: ignore[return-value]


def run(
    want: golden.Golden, start: Tensor, noise: golden.Recorded, inner_steps: int, **known: object
) -> tuple[Tensor, list]:
    sigmas = want["input.sigmas"]
    prior = ScorePrior(Mixture(sigmas), sigmas)
    states: list[Tensor] = []
    step = want.facts["parameters"]["step_lr"] / float(sigmas[-1]) ** 2
    ladder = torch.cat([2 * sigmas, torch.zeros(1)])
    last = sample_langevin(
        prior, 2 * start - 1, ladder, noise, inner_steps=inner_steps, step=step, denoise=False,
        on_step=lambda i, x, d: states.append((x + 1) / 2), **known,
    )  # fmt: skip
    return last, states


def test_annealed_langevin_agrees_with_the_published_code() -> None:
    want = golden.load("ncsn_annealed_langevin")
    last, states = run(want, want["input.x_init"], golden.Recorded(want["input.noise"]), 4)
    want.agrees("output.states", torch.stack([want["input.x_init"], *states[:-1]]))
    want.agrees("output.final", (last + 1) / 2)


def test_inpainting_agrees_with_the_published_code() -> None:
    want = golden.load("ncsn_langevin_inpainting")
    start = want["input.x_init"].flatten(0, 1)
    images = want["input.reference_image"].repeat_interleave(2, 0)
    hole = torch.zeros(1, 1, 32, 32, dtype=torch.bool)
    hole[..., 16:] = True
    known = Masking(~hole)
    samples = []
    for level in range(3):
        samples.append(torch.nn.functional.pad(want["input.noise_known"][level], (0, 16)))
        samples += list(want["input.noise_step"][2 * level : 2 * level + 2])
    last, states = run(want, start, golden.Recorded(samples), 2, operator=known, y=known.forward(2 * images - 1))
    torch.testing.assert_close(last[..., :16], (2 * images - 1)[..., :16], rtol=0, atol=1e-6)
    want.agrees("output.final", states[-1])
    # The recorded state before step k is ours after step k - 1, except for the known half that a new level overwrites.
    for k in (1, 3, 5):
        assert (states[k - 1] - want["output.states"][k]).abs().max() < 2e-5
    for k in (2, 4):
        assert (states[k - 1] - want["output.states"][k])[..., 16:].abs().max() < 2e-5


@pytest.mark.parametrize(("inner_steps", "step"), [(40, 0.2), (40, None), (3, None)])
def test_samples_have_the_moments_of_the_prior(inner_steps: int, step: float | None) -> None:
    prior, noise = GaussianPrior(0.2, 0.3), ImageNoise([0])
    ladder = geometric_ladder(2, 0.02, 10)
    start = noise.like(torch.empty(1, 3, 64, 64))
    x = sample_langevin(prior, start, ladder, noise, inner_steps=inner_steps, step=step)
    assert x.mean().item() == pytest.approx(0.2, abs=0.02)
    assert x.std().item() == pytest.approx(0.3, rel=0.1)


def test_inpainted_holes_have_the_moments_of_the_posterior() -> None:
    prior = CorrelatedPrior()
    hole = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    hole[..., 3:5, 3:5] = True
    y = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.5
    mean, covariance = prior.posterior(y[0, 0], hole[0, 0])
    many, known = y.expand(400, -1, -1, -1), Masking(~hole)
    noise = ImageNoise(range(400))
    got = sample_langevin(
        prior, noise.like(many), geometric_ladder(1, 0.02, 8), noise, inner_steps=10, operator=known,
        y=known.forward(many),
    )[hole.expand_as(many)].reshape(400, -1)  # fmt: skip
    torch.testing.assert_close(got.mean(0), mean.float(), rtol=0, atol=0.05)
    torch.testing.assert_close(got.var(0), covariance.diagonal().float(), rtol=0.35, atol=0)


def test_long_updates_keep_the_variance_of_the_level() -> None:
    prior, ladder = GaussianPrior(0.2, 1e-3), torch.tensor([0.1, 0.0])
    for inner_steps, step, spread in ((100, 0.2, 0.1 / math.sqrt(0.9)), (3, None, 0.1), (1, None, 0.1)):
        start, noise = torch.zeros(1, 3, 64, 64), ImageNoise([0])
        x = sample_langevin(prior, start, ladder, noise, inner_steps=inner_steps, step=step, denoise=False)
        assert (x - 0.2).std().item() == pytest.approx(spread, rel=0.03)


def test_final_denoising_removes_the_noise() -> None:
    prior, ladder = GaussianPrior(0.2, 1e-3), torch.tensor([0.1, 0.0])
    rough, smooth = (
        sample_langevin(prior, torch.zeros(1, 3, 32, 32), ladder, ImageNoise([0]), inner_steps=30, denoise=denoise)
        for denoise in (False, True)
    )
    assert (rough - 0.2).std() > 0.05
    assert (smooth - 0.2).std() < 0.001


def test_metropolis_adjusted_langevin_is_exact() -> None:
    def score(x: Tensor) -> Tensor:
        return -x / 0.25

    def log_density(x: Tensor) -> Tensor:
        return -x.flatten(1).square().sum(1) / 0.5

    start = torch.zeros(4000, 1)
    noise = ImageNoise([0])
    one = {"steps": 60, "step_size": 0.2}

    class Shared:
        def like(self, x: Tensor) -> Tensor:
            return noise.like(x[None])[0]

    plain, always = langevin(score, start, Shared(), **one)  # type: ignore[arg-type]
    exact, share = langevin(score, start, Shared(), log_density=log_density, **one)  # type: ignore[arg-type]
    assert always == 1
    assert 0.6 < share < 0.99
    # Unadjusted, the variance of x' = (1 - a/s2) x + sqrt(2 a) z is 2 a / (1 - (1 - a/s2)^2), here 0.417.
    assert plain.var().item() == pytest.approx(0.2 * 2 / (1 - 0.2**2), rel=0.1)
    assert exact.var().item() == pytest.approx(0.25, rel=0.1)


def test_ncsnv2_techniques_agree_with_the_paper() -> None:
    assert first_sigma(torch.tensor([[[0.0, 0.0]], [[3.0, 4.0]], [[0.0, 1.0]]])) == pytest.approx(5)
    # CIFAR-10: 232 levels from 50 to 0.01, T = 5, eps = 6.2e-6 (arXiv 2006.09011, table 3 in its appendix B).
    sigmas = geometric_ladder(50, 0.01, 232)[:-1]
    assert ratio(3 * 32 * 32) == pytest.approx((sigmas[0] / sigmas[1]).item(), rel=0.01)
    assert 10 < ratio(5) < 20
    with pytest.raises(ValueError, match="found dimension 4, allowed: 5 or more"):
        ratio(4)
    assert step_for(sigmas, 5) * 0.01**2 == pytest.approx(6.2e-6, rel=0.05)


def test_operator_without_y_is_refused() -> None:
    with pytest.raises(ValueError, match="operator and y"):
        sample_langevin(
            GaussianPrior(), torch.zeros(1, 3, 4, 4), torch.tensor([1.0, 0]), ImageNoise([0]), y=torch.zeros(1)
        )
