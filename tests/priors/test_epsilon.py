import pytest
import torch
from torch import Tensor

from restorekit.core.denoiser import Denoiser, VarianceDenoiser
from restorekit.core.ladders import cosine_betas, linear_betas, sigmas_from_betas
from restorekit.priors.epsilon import CERTAIN_SIGMA, HOLE_SIGMA, EpsilonPrior, damp, pad_to_multiple, step_of
from tests import golden
from tests.sampling.test_samplers import StandIn

TABLE = sigmas_from_betas(linear_betas(1000))


def test_epsilon_prior_is_a_denoiser() -> None:
    prior = EpsilonPrior(StandIn(), TABLE)
    assert isinstance(prior, Denoiser)
    assert isinstance(prior, VarianceDenoiser)
    assert prior.info.sigma_max == pytest.approx(157.4, abs=0.1)


def test_steps_and_denoised_images_agree_with_k_diffusion() -> None:
    want = golden.load("kdiffusion_sigmas_and_samplers")
    prior = EpsilonPrior(StandIn(), TABLE)
    want.agrees("output.table.t_of_query", step_of(want["input.query_sigmas"], prior.table))
    for index, sigma in enumerate(want.facts["parameters"]["wrapper_sigmas"]):
        got = prior(want["input.x"] * sigma, torch.full((2,), sigma))
        want.agrees(f"output.wrapper.denoised{index}", got)


SCHEDULES = {
    "linear-1000": linear_betas(1000),
    "linear-4000": linear_betas(4000, 1e-4 / 4, 0.02 / 4),
    "cosine-1000": cosine_betas(1000),
    "cosine-4000": cosine_betas(4000),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_trained_sigmas_in_float32_are_exact_steps(name: str) -> None:
    table = sigmas_from_betas(SCHEDULES[name])
    steps = step_of(table.float(), table)
    assert torch.equal(steps, torch.arange(len(table)).float())
    assert steps[0] == 0


@pytest.mark.parametrize("name", SCHEDULES)
def test_steps_between_trained_steps_are_interpolated_and_monotonic(name: str) -> None:
    table = sigmas_from_betas(SCHEDULES[name])
    index = torch.arange(len(table) - 1)
    for share in (0.25, 0.5, 0.75):
        sigma = (table[:-1] ** (1 - share) * table[1:] ** share).float()
        torch.testing.assert_close(step_of(sigma, table), (index + share).float(), rtol=0, atol=2e-3)
    trained = table.float()
    neighbours = [trained.nextafter(torch.zeros(())), trained, trained.nextafter(torch.tensor(torch.inf))]
    around = torch.stack(neighbours, dim=1).flatten()
    assert step_of(around, table).diff().min() >= 0


def test_sigmas_outside_the_table_are_clamped() -> None:
    got = step_of(torch.tensor([0.0, 1e-9, 1e9, torch.inf]), TABLE)
    assert got.tolist() == [0, 0, 999, 999]


@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
def test_perfect_predictions_give_the_clean_image(prediction: str) -> None:
    torch.manual_seed(0)
    clean, eps = torch.randn(3, 3, 6, 6), torch.randn(3, 3, 6, 6)
    sigma = torch.tensor([0.05, 0.7, 20.0])
    s = sigma.reshape(-1, 1, 1, 1)
    scale = (1 + s**2).rsqrt()
    output = {"eps": eps, "x0": clean, "v": scale * eps - s * scale * clean}[prediction]
    prior = EpsilonPrior(_Fixed(output), TABLE, prediction=prediction)
    torch.testing.assert_close(prior(clean + s * eps, sigma), clean, rtol=0, atol=1e-5)


def test_images_are_padded_to_the_multiple_of_the_network() -> None:
    seen = []

    def net(x, t, label):
        seen.append(tuple(x.shape[-2:]))
        return torch.zeros_like(x)

    prior = EpsilonPrior(_Wrapped(net), TABLE, multiple=8)
    for height, width in [(13, 8), (1, 1), (16, 16)]:
        x = torch.randn(1, 3, height, width)
        torch.testing.assert_close(prior(x, torch.tensor([0.5])), x)
    assert seen == [(16, 8), (8, 8), (16, 16)]


def test_padding_reflects_where_the_image_is_large_enough() -> None:
    x = torch.arange(6.0).reshape(1, 1, 1, 6)
    assert pad_to_multiple(x, 8)[0, 0, 0].tolist() == [0, 1, 2, 3, 4, 5, 5, 5]
    y = torch.arange(12.0).reshape(1, 1, 2, 6).expand(1, 1, 2, 6)
    assert pad_to_multiple(y, 4)[0, 0, :, 0].tolist() == [0, 6, 6, 6]
    z = torch.arange(3.0).reshape(1, 1, 3, 1).expand(1, 1, 3, 3)
    assert pad_to_multiple(z, 4)[0, 0, :, 0].tolist() == [0, 1, 2, 1]


class _Fixed(torch.nn.Module):
    def __init__(self, output):
        super().__init__()
        self.output = output

    def forward(self, x, t, label=None):
        return self.output


class _Wrapped(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x, t, label=None):
        return self.function(x, t, label)


def test_self_conditioned_network_gets_its_first_estimate() -> None:
    seen: list[torch.Tensor] = []

    def net(x: torch.Tensor, t: torch.Tensor, label: torch.Tensor | None) -> torch.Tensor:
        seen.append(x)
        return x[:, :3] * 0.5 + x[:, 3:] * 0.25

    prior = EpsilonPrior(_Wrapped(net), TABLE, prediction="x0", self_conditioned=True)
    x, sigma = torch.randn(2, 3, 4, 4), torch.tensor([0.5, 2.0])
    got = prior(x, sigma)
    assert [tuple(state.shape) for state in seen] == [(2, 6, 4, 4)] * 2
    assert not seen[0][:, 3:].any()
    first = seen[0][:, :3] * 0.5
    assert torch.equal(seen[1][:, 3:], first)
    torch.testing.assert_close(got, first + 0.25 * first)
    assert torch.equal(prior.single_pass(x, sigma)[0], first)


class _Estimating(StandIn):
    def noise_estimator(self, x: torch.Tensor) -> torch.Tensor:
        return x.square().mean((1, 2, 3)).sqrt()


def test_blind_prior_uses_its_estimate_of_sigma() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 8, 8) * torch.tensor([0.3, 2.0]).reshape(2, 1, 1, 1)
    blind = EpsilonPrior(_Estimating(), TABLE, prediction="v", blind=True)
    assert blind.info.blind
    assert not EpsilonPrior(StandIn(), TABLE).info.blind
    estimate = x.square().mean((1, 2, 3)).sqrt()
    assert torch.equal(blind.estimate_sigma(x), estimate)
    expected = EpsilonPrior(StandIn(), TABLE, prediction="v")(x, damp(estimate))
    for sigma in (torch.tensor([0.0, 3.0]), torch.full((2,), torch.inf), torch.rand(2, 1, 8, 8)):
        assert torch.equal(blind(x, sigma), expected)


def test_passes_over_a_hole_rotate_the_image_and_repeat_the_last_step() -> None:
    steps: list[float] = []

    def net(x: torch.Tensor, t: torch.Tensor, label: torch.Tensor | None) -> torch.Tensor:
        steps.append(t.item())
        image, unknown = x[:, :3], x[:, 4:]
        return image * (1 + unknown * HOLE_SIGMA**2).sqrt() + torch.linspace(-1, 1, x.shape[-2])[:, None]

    prior = EpsilonPrior(_Wrapped(net), TABLE, prediction="x0", partial_noise=True, passes=3)
    x, level = torch.randn(1, 3, 8, 8), torch.zeros(1, 1, 8, 8)
    level[..., 2:5, 3:7] = torch.inf
    unknown = level.isinf().expand_as(x)
    # The ramp, an error that depends on the orientation, cancels over four rotations.
    torch.testing.assert_close(prior(x, level)[unknown], x[unknown], rtol=0, atol=1e-5)
    assert steps == [1000, 1100, 1200, 1200]
    assert prior(x[..., :6], level[..., :6]).shape == (1, 3, 8, 6)
    assert prior(x, torch.tensor([torch.inf])).shape == x.shape


def test_nearest_steps_are_integers() -> None:
    class Steps(torch.nn.Module):
        """A network whose result is the step that it receives, as a lookup table would."""

        def forward(self, x: torch.Tensor, t: torch.Tensor, label: torch.Tensor | None = None) -> torch.Tensor:
            return t.reshape(-1, 1, 1, 1).expand_as(x)

    sigma = (TABLE[[10, 11]].log() @ torch.tensor([[0.7, 0.2], [0.3, 0.8]], dtype=torch.float64)).exp().float()
    x = torch.zeros(2, 3, 4, 4)
    steps = {}
    for nearest in (False, True):
        denoised = EpsilonPrior(Steps(), TABLE, prediction="x0", nearest_steps=nearest)(x, sigma)
        steps[nearest] = denoised[:, 0, 0, 0]
    torch.testing.assert_close(steps[False], torch.tensor([10.3, 10.8]), atol=1e-3, rtol=0)
    assert steps[True].tolist() == [10, 11]


def test_large_estimates_of_a_blind_prior_are_damped() -> None:
    class Net(torch.nn.Module):
        def noise_estimator(self, x: Tensor) -> Tensor:
            return x.mean((1, 2, 3))

        def forward(self, x: Tensor, t: Tensor, label: Tensor | None) -> Tensor:
            return torch.ones_like(x)

    prior = EpsilonPrior(Net(), sigmas_from_betas(linear_betas(50)), prediction="eps", blind=True)
    estimates = torch.tensor([0.05, CERTAIN_SIGMA, 4 * CERTAIN_SIGMA])
    x = estimates[:, None, None, None].expand(-1, 3, 8, 8)
    torch.testing.assert_close(prior.estimate_sigma(x), estimates)
    # x - sigma is D.
    used = (x - prior(x, 7.0))[:, 0, 0, 0]
    torch.testing.assert_close(used, torch.tensor([0.05, CERTAIN_SIGMA, 2 * CERTAIN_SIGMA]))
