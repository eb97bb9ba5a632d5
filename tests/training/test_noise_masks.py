import pytest
import torch
from torch import Tensor, nn

from restorekit.core.denoiser import per_image
from restorekit.priors.epsilon import HOLE_SIGMA, EpsilonPrior
from restorekit.training.losses import effective_sigma, partial_noise
from restorekit.training.noise_masks import sample_noise_masks
from restorekit.training.objectives import Denoising
from restorekit.training.plan import NoisePlan, Plan

TABLE = torch.tensor([0.01, 1.0], dtype=torch.float64)


def test_masks_of_every_kind_are_sampled() -> None:
    masks = sample_noise_masks(300, 32, torch.Generator().manual_seed(0))
    assert masks.shape == (300, 1, 32, 32)
    assert set(masks.unique().tolist()) == {0.0, 1.0}
    assert ((masks.mean((1, 2, 3)) > 0) & (masks.mean((1, 2, 3)) < 1)).float().mean() > 0.99
    # The number of edges per noisy pixel distinguishes scattered pixels, curves and rectangles.
    edges = (masks.diff(dim=-1).abs().sum((1, 2, 3)) + masks.diff(dim=-2).abs().sum((1, 2, 3))) / masks.sum((1, 2, 3))
    assert (edges < 0.5).any()
    assert ((edges > 0.5) & (edges < 1.5)).any()
    assert (edges > 2).any()
    assert torch.equal(masks, sample_noise_masks(300, 32, torch.Generator().manual_seed(0)))


def test_given_share_of_the_crops_has_partial_noise() -> None:
    plan = NoisePlan(partial_share=0.25, partial_mean=1.0, partial_std=0.01)
    sigma, mask, weight = partial_noise(
        plan, "eps", torch.full((4000,), 0.5).double(), 8, torch.Generator().manual_seed(0)
    )
    partial = sigma != 0.5
    assert partial.double().mean().item() == pytest.approx(0.25, abs=0.03)
    assert sigma[partial].log().mean().item() == pytest.approx(1.0, abs=0.01)
    assert mask[~partial].min() == 1
    assert mask[partial].mean() < 0.9
    assert (weight[~partial] == 1).all()
    share = mask[partial].mean((1, 2, 3)).clamp(min=0.2)
    torch.testing.assert_close(weight[partial] * share, (sigma[partial] / 0.4) ** 2)
    _, none, _ = partial_noise(NoisePlan(), "v", torch.ones(5).double(), 8, torch.Generator())
    assert none.min() == 1


def test_given_share_of_the_partial_crops_has_unknown_pixels() -> None:
    plan = NoisePlan(partial_share=0.5, unknown_share=0.25, partial_ceiling=9.0)
    levels = torch.full((4000,), 0.5).double()
    sigma, mask, weight = partial_noise(plan, "v", levels, 8, torch.Generator().manual_seed(0))
    unknown = sigma.isinf()
    assert unknown.double().mean().item() == pytest.approx(0.125, abs=0.02)
    assert mask[unknown].mean() < 0.9
    torch.testing.assert_close(
        weight[unknown], 1 / mask[unknown].mean((1, 2, 3)).clamp(min=0.2).double(), check_dtype=False
    )
    assert (effective_sigma(sigma)[unknown] == HOLE_SIGMA).all()
    assert torch.equal(effective_sigma(sigma)[~unknown], sigma[~unknown])


class RecordingPrior(EpsilonPrior):
    """Returns 0.1, 0.2, 0.3 in its passes, and records its inputs."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(1, 1), TABLE, partial_noise=True, passes=3)
        self.calls: list[tuple[Tensor, Tensor, Tensor]] = []

    def single_pass(self, x, sigma, label=None, number=0, estimate=None):  # type: ignore[no-untyped-def]
        numbers = torch.as_tensor(number).expand(len(x))
        self.calls.append((x.clone(), sigma, numbers))
        denoised = 0.1 * (numbers + 1).reshape(-1, 1, 1, 1).expand_as(x)
        return torch.where(per_image(sigma, x) > 0, denoised, x), None


def test_every_training_pass_receives_the_result_of_the_previous_pass() -> None:
    plan = Plan.model_validate(
        {
            "card": {"name": "a", "data": "made here"},
            "model": {"size": 16, "partial_noise": True, "passes": 3, "net": {"in_channels": 5}},
            "data": {"folder": "none", "crop": 16},
            "noise": {"partial_share": 0.9, "unknown_share": 0.6},
            "run": {"steps": 1},
        }
    )
    prior = RecordingPrior()
    Denoising(prior, plan, "v")(torch.zeros(60, 3, 16, 16), None, torch.Generator().manual_seed(0))
    *before, (x, sigma, numbers) = prior.calls
    unknown = sigma.isinf()
    holes = unknown.flatten(1).any(1)
    assert not numbers[~holes].any(), "only holes take several passes"
    for number in range(3):
        chosen = holes & (numbers == number)
        assert chosen.any()
        assert (x[chosen][unknown[chosen].expand_as(x[chosen])] - 0.1 * number).abs().max() < 1e-6
    assert [set(n.tolist()) for _, _, n in before] == [{0}, {1}]
    assert [len(n) for _, _, n in before] == [int((numbers > k).sum()) for k in (0, 1)]


def test_prior_takes_the_trained_passes_over_holes_and_repeats_the_last() -> None:
    prior, x = RecordingPrior(), torch.zeros(2, 3, 8, 8)
    level = torch.zeros(2, 1, 8, 8)
    level[0, :, 2:5, 2:5] = torch.inf
    level[1, :, 2:5, 2:5] = 0.5
    got = prior(x, level)
    assert [n.tolist() for _, _, n in prior.calls] == [[0, 0], [1, 1], [2, 2], [2, 2]]
    assert got[0, 0, 3, 3].item() == pytest.approx(0.3)
    assert prior.calls[1][0][0, 0, 3, 3].item() == pytest.approx(0.1)
    assert not prior.calls[-1][0][1].any(), "noisy pixels are input unchanged in every pass"
    prior.calls.clear()
    prior(x, torch.tensor([0.5, 0.5]))
    assert len(prior.calls) == 1
    with pytest.raises(ValueError, match="not trained on holes"):
        EpsilonPrior(nn.Linear(1, 1), TABLE, partial_noise=True)(x, level)
