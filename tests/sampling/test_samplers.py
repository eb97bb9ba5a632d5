"""Samplers compared with recorded trajectories of published implementations, and with a Gaussian prior."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from restorekit.checks.gaussian import GaussianPrior
from restorekit.core.ladders import (
    cosine_betas,
    karras_ladder,
    linear_betas,
    respaced_steps,
    sigmas_from_betas,
    table_ladder,
)
from restorekit.core.noise import ImageNoise
from restorekit.errors import OptionError
from restorekit.priors.epsilon import EpsilonPrior, step_of
from restorekit.priors.guided import ClassifierGuided
from restorekit.sampling.samplers import (
    encode_ddim,
    sample_ancestral,
    sample_ddim,
    sample_dpmpp_2m,
    sample_euler,
    sample_heun,
)
from tests import golden

DDPM, GUIDED, KDIFFUSION = "ddpm_process", "gd_sampling", "kdiffusion_sigmas_and_samplers"
VARIANCES = {"fixed_small": "small", "fixed_large": "large", "learned_range": "learned"}


class StandIn(nn.Module):
    """The analytic network of the golden files, optionally with a variance head."""

    def __init__(self, *, variance: bool = False) -> None:
        super().__init__()
        self.variance = variance

    def forward(self, x: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        eps = golden.stand_in_eps(x, t)
        return torch.cat([eps, golden.stand_in_variance(x, t)], dim=1) if self.variance else eps


class Analytic:
    """A classifier with a given gradient."""

    classes, size = ("a",), 6

    def __init__(self, slope) -> None:
        self.slope = slope

    def gradient(self, x: Tensor, sigma: Tensor, label: Tensor) -> Tensor:
        return self.slope(x, sigma)


class Trajectory:
    """Collects every state and D, states in the variance-preserving scale."""

    def __init__(self, ladder: Tensor) -> None:
        self.ladder, self.states, self.denoised = ladder, [], []

    def __call__(self, index: int, x: Tensor, denoised: Tensor) -> None:
        self.states.append(x / math.sqrt(1 + self.ladder[index + 1].item() ** 2))
        self.denoised.append(denoised)


@pytest.mark.parametrize("run", golden.load(DDPM).facts["runs"])
def test_ancestral_agrees_with_ho_et_al(run: str) -> None:
    want = golden.load(DDPM)
    facts = want.facts["runs"][run]
    table = sigmas_from_betas(linear_betas(1000))
    ladder = table_ladder(table, range(facts["curr_step"]))[: facts["n_steps"] + 1]
    start, draws = want[f"input.{facts['inputs']}.x"], want[f"input.{facts['inputs']}.noise"]
    seen = Trajectory(ladder)
    sample_ancestral(
        EpsilonPrior(StandIn(), table, channels=start.shape[1]),
        start * (1 + ladder[0].float() ** 2).sqrt(),
        ladder,
        golden.Recorded(draws),
        variance=VARIANCES[facts["var"].replace("fixed", "fixed_")],
        on_step=seen,
    )
    kept = slice(facts["keep_every"] - 1, None, facts["keep_every"])
    want.agrees(f"output.{run}.samples", torch.stack(seen.states[kept]))
    want.agrees(f"output.{run}.pred_xstart", torch.stack(seen.denoised[kept]))


CHAINS = {k: v for k, v in golden.load(GUIDED).facts["runs"].items() if k != "ddim_reverse"}


@pytest.mark.parametrize("run", CHAINS)
def test_chains_agree_with_guided_diffusion(run: str) -> None:
    want, facts = golden.load(GUIDED), CHAINS[run]
    steps = facts["T"]
    betas = cosine_betas(steps) if facts["sched"] == "cosine" else linear_betas(steps, 0.1 / steps, 20 / steps)
    table = sigmas_from_betas(betas)
    kept = respaced_steps(steps, facts["respacing"] or str(steps))
    ladder = table_ladder(table, kept)
    prior = EpsilonPrior(
        StandIn(variance=facts["var"] == "learned_range"),
        table,
        learned_variance=facts["var"] == "learned_range",
        time_scale=1000 / steps if facts["rescale_timesteps"] else 1.0,
    )
    seen = Trajectory(ladder)
    common = {"clip": facts["clip"], "on_step": seen}

    def slope(x: Tensor, sigma: Tensor) -> Tensor:
        scale = (1 + sigma.reshape(-1, 1, 1, 1) ** 2).sqrt()
        t = (step_of(sigma, table) * prior.time_scale).reshape(-1, 1, 1, 1)
        return 0.6 * (0.25 - x / scale) / (1 + t / 500) / scale

    start = want["input.x_T"] * (1 + ladder[0].float() ** 2).sqrt()
    noise = golden.Recorded(want["input.noise"])
    if facts["kind"] == "p_sample":
        gradient = slope if facts["cond"] else None
        sample_ancestral(prior, start, ladder, noise, variance=VARIANCES[facts["var"]], gradient=gradient, **common)
    elif facts["cond"]:
        guided = ClassifierGuided(prior, Analytic(slope), clip=facts["clip"])

        def labelled(x: Tensor, sigma: Tensor) -> Tensor:
            return guided(x, sigma, torch.zeros(len(x), dtype=torch.int64))

        sample_ddim(labelled, start, ladder, noise, eta=facts["eta"], clip=False, on_step=seen)  # type: ignore[arg-type]
    else:
        sample_ddim(prior, start, ladder, noise, eta=facts["eta"], **common)
    want.agrees(f"output.{run}.samples", torch.stack(seen.states))
    want.agrees(f"output.{run}.pred_xstart", torch.stack(seen.denoised))


@pytest.mark.parametrize("sampler", [sample_euler, sample_heun, sample_dpmpp_2m], ids=lambda f: f.__name__)
@pytest.mark.parametrize("prior", ["analytic", "wrapped"])
@pytest.mark.parametrize("grid", ["karras", "table"])
def test_ode_samplers_agree_with_k_diffusion(prior: str, grid: str, sampler) -> None:
    want = golden.load(KDIFFUSION)
    table = sigmas_from_betas(linear_betas(1000))
    ladders = {"table": "output.table.get_sigmas", "karras": "output.karras"}
    ladder = want["output.karras_from_table" if (prior, grid) == ("wrapped", "karras") else ladders[grid]].double()
    denoiser = GaussianPrior() if prior == "analytic" else EpsilonPrior(StandIn(), table)
    start = want["input.x"] * ladder[0].float()
    states = [start]
    final = sampler(denoiser, start, ladder, on_step=lambda i, x, d: states.append(x))
    name = f"output.{prior}.{grid}.{sampler.__name__.removeprefix('sample_')}"
    want.agrees(f"{name}.states", torch.stack(states))
    want.agrees(f"{name}.final", final)


def test_encoding_agrees_with_guided_diffusion() -> None:
    want, facts = golden.load(GUIDED), golden.load(GUIDED).facts["runs"]["ddim_reverse"]
    steps = facts["T"]
    table = sigmas_from_betas(linear_betas(steps))
    ladder = table_ladder(table, respaced_steps(steps, facts["respacing"]))
    prior, seen = EpsilonPrior(StandIn(), table), Trajectory(ladder[:-1].flip(0))
    x = want["input.x_0"] * (1 + ladder[-2].float() ** 2).sqrt()
    state = encode_ddim(prior, x, ladder, clip=facts["clip"], on_step=seen)
    # Their last step goes to pure noise, whose sigma is infinite.
    denoised = prior(state, ladder[:1].float())
    seen.states.append((state - denoised) / ladder[0].float())
    seen.denoised.append(denoised)
    want.agrees("output.ddim_reverse.samples", torch.stack(seen.states))
    want.agrees("output.ddim_reverse.pred_xstart", torch.stack(seen.denoised))


def encoded(steps: int) -> tuple[Tensor, float, float]:
    """The images, and the largest errors of their encoding and of the images decoded from it, for a Gaussian prior."""
    prior, ladder = GaussianPrior(mean=0.3, std=0.5), karras_ladder(20, 0.002, steps)
    x = 0.3 + 0.5 * ImageNoise([0]).like(torch.empty(1, 3, 9, 7)).clamp(-2, 2)
    state = encode_ddim(prior, x, ladder)
    exact = 0.3 + math.sqrt(0.5**2 + 20**2) / 0.5 * (x - 0.3)
    decoded = sample_ddim(prior, state, ladder, ImageNoise([0]), clip=False)
    return x, (state - exact).abs().max().item(), (decoded - x).abs().max().item()


def test_encoding_is_the_inverse_of_ddim_to_first_order() -> None:
    coarse, fine = encoded(100), encoded(200)
    assert fine[1] < 2.5
    assert fine[2] < 0.06
    assert coarse[1] / fine[1] == pytest.approx(2, abs=0.3)
    assert coarse[2] / fine[2] == pytest.approx(2, abs=0.3)


def test_encoding_in_one_step_is_the_image_and_clipping_is_optional() -> None:
    prior, x = GaussianPrior(mean=0.3, std=0.5), torch.full((1, 3, 5, 5), 1.4)
    assert torch.equal(encode_ddim(prior, x, karras_ladder(20, 0.002, 1)), x)
    assert not prior.seen
    seen = []
    for clip in (False, True):
        encode_ddim(prior, x, karras_ladder(20, 0.002, 5), clip=clip, on_step=lambda i, x, d: seen.append(d))
    assert max(d.max() for d in seen[:4]) > 1.3
    assert max(d.max() for d in seen[4:]) == 1


class RecordingPrior(GaussianPrior):
    """Keeps the states at which it is evaluated."""

    def __init__(self) -> None:
        super().__init__()
        self.states = []

    def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        self.states.append(x)
        return super().__call__(x, sigma)


def test_churn_agrees_with_k_diffusion() -> None:
    want, prior = golden.load(KDIFFUSION), RecordingPrior()
    ladder, noise = want["output.karras"].double(), golden.Recorded(want["input.noise_churn"])
    start = want["input.x"] * ladder[0].float()
    final = sample_heun(prior, start, ladder, noise, **want.facts["parameters"]["churn"])
    # The recorded states include the added noise; every other evaluation is that of Heun's correction.
    want.agrees("output.analytic.karras.heun_churn.states", torch.stack([*prior.states[::2], final]))
    want.agrees("output.analytic.karras.heun_churn.final", final)


def test_heun_without_churn_takes_no_noise() -> None:
    prior, ladder, noise = GaussianPrior(), karras_ladder(10, 0.1, 5), ImageNoise([0])
    x = ImageNoise([1]).like(torch.empty(1, 3, 6, 5)) * 10
    assert torch.equal(sample_heun(prior, x, ladder, noise, s_noise=2.0), sample_heun(prior, x, ladder))
    assert torch.equal(noise.like(x), ImageNoise([0]).like(x))
    outside = sample_heun(prior, x, ladder, noise, s_churn=3.0, s_tmin=10.5)
    assert torch.equal(outside, sample_heun(prior, x, ladder)), "no sigma is in the range"


def test_churn_does_not_exceed_the_largest_sigma_of_the_prior() -> None:
    prior = GaussianPrior(sigma_max=10.0)
    sample_heun(prior, torch.zeros(1, 3, 6, 5), karras_ladder(10, 0.1, 5), ImageNoise([0]), s_churn=100.0)
    assert max(prior.sigmas) == pytest.approx(10)
    assert prior.sigmas[2] == pytest.approx(math.sqrt(2) * prior.sigmas[1], rel=1e-4)


def test_churn_requires_noise_and_a_prior_that_accepts_any_sigma() -> None:
    x, ladder, noise = torch.zeros(1, 3, 6, 5), karras_ladder(10, 0.1, 5), ImageNoise([0])
    with pytest.raises(OptionError, match="s_churn is 3 without noise"):
        sample_heun(GaussianPrior(), x, ladder, s_churn=3.0)
    with pytest.raises(OptionError, match="s_churn is -1, allowed: 0 or more"):
        sample_heun(GaussianPrior(), x, ladder, noise, s_churn=-1.0)
    with pytest.raises(OptionError, match="fixed noise levels: 0"):
        sample_heun(GaussianPrior(levels=tuple(ladder[:-1].tolist())), x, ladder, noise, s_churn=3.0)


ALL = {
    "ancestral": lambda p, x, ladder, noise: sample_ancestral(p, x, ladder, noise, clip=False),
    "ddim": lambda p, x, ladder, noise: sample_ddim(p, x, ladder, noise, clip=False),
    "ddim-eta": lambda p, x, ladder, noise: sample_ddim(p, x, ladder, noise, eta=0.7, clip=False),
    "euler": lambda p, x, ladder, noise: sample_euler(p, x, ladder),
    "heun": lambda p, x, ladder, noise: sample_heun(p, x, ladder),
    "heun-churn": lambda p, x, ladder, noise: sample_heun(p, x, ladder, noise, s_churn=20.0, s_tmax=50.0),
    "dpmpp_2m": lambda p, x, ladder, noise: sample_dpmpp_2m(p, x, ladder),
}


@pytest.mark.parametrize("name", ALL)
def test_samples_of_a_gaussian_prior_have_its_mean_and_standard_deviation(name: str) -> None:
    prior = GaussianPrior(mean=0.3, std=0.5)
    noise = ImageNoise(range(4))
    x = noise.like(torch.empty(4, 1, 100, 100)) * 80
    got = ALL[name](prior, x, karras_ladder(80, 0.002, 200), noise)
    assert got.mean().item() == pytest.approx(0.3, abs=0.02)
    assert got.std().item() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("name", ALL)
def test_one_step_is_one_denoising(name: str) -> None:
    prior = GaussianPrior(mean=0.3, std=0.5)
    noise = ImageNoise([0])
    x = noise.like(torch.empty(1, 3, 7, 5)) * 80
    got = ALL[name](prior, x, karras_ladder(80, 0.002, 1), noise)
    torch.testing.assert_close(got, prior(x, torch.tensor([80.0])))


@pytest.mark.parametrize("name", ALL)
def test_samples_do_not_depend_on_the_batch(name: str) -> None:
    prior, ladder = GaussianPrior(), karras_ladder(10, 0.1, 5)

    def run(seeds: list[int]) -> Tensor:
        noise = ImageNoise(seeds)
        return ALL[name](prior, noise.like(torch.empty(len(seeds), 3, 6, 5)) * 10, ladder, noise)

    torch.testing.assert_close(run([3, 9]), torch.cat([run([3]), run([9])]))


def test_encodings_do_not_depend_on_the_batch() -> None:
    x = ImageNoise([3, 9]).like(torch.empty(2, 3, 6, 5))
    both, ladder = encode_ddim(GaussianPrior(), x, karras_ladder(10, 0.1, 5)), karras_ladder(10, 0.1, 5)
    torch.testing.assert_close(both, torch.cat([encode_ddim(GaussianPrior(), one, ladder) for one in x.split(1)]))


def test_learned_variance_requires_a_prior_that_has_it() -> None:
    with pytest.raises(ValueError, match="learned"):
        sample_ancestral(
            GaussianPrior(), torch.zeros(1, 3, 4, 4), karras_ladder(1, 0.1, 2), ImageNoise([0]), variance="learned"
        )
