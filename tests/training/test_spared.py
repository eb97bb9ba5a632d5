import pytest
import torch
from torch import Tensor, nn

from restorekit.priors.epsilon import GUESS_SIGMA
from restorekit.training.losses import partial_noise, seen_level
from restorekit.training.objectives import Denoising
from restorekit.training.plan import NoisePlan, Plan
from restorekit.training.spared import spared_pixels


def test_masks_spare_pixels_of_every_kind() -> None:
    masks = spared_pixels(300, 32, torch.Generator().manual_seed(0))
    assert masks.shape == (300, 1, 32, 32)
    assert set(masks.unique().tolist()) == {0.0, 1.0}
    assert ((masks.mean((1, 2, 3)) > 0) & (masks.mean((1, 2, 3)) < 1)).float().mean() > 0.99
    # Edges per marked pixel tell scattered pixels, curves and rectangles apart.
    edges = (masks.diff(dim=-1).abs().sum((1, 2, 3)) + masks.diff(dim=-2).abs().sum((1, 2, 3))) / masks.sum((1, 2, 3))
    assert (edges < 0.5).any()
    assert ((edges > 0.5) & (edges < 1.5)).any()
    assert (edges > 2).any()
    assert torch.equal(masks, spared_pixels(300, 32, torch.Generator().manual_seed(0)))


def test_a_share_of_the_crops_gets_partial_noise() -> None:
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


def test_nothing_is_known_in_a_share_of_them() -> None:
    plan = NoisePlan(partial_share=0.5, unknown_share=0.25, partial_ceiling=9.0)
    levels = torch.full((4000,), 0.5).double()
    sigma, mask, weight = partial_noise(plan, "v", levels, 8, torch.Generator().manual_seed(0))
    unknown = sigma.isinf()
    assert unknown.double().mean().item() == pytest.approx(0.125, abs=0.02)
    assert mask[unknown].mean() < 0.9
    torch.testing.assert_close(
        weight[unknown], 1 / mask[unknown].mean((1, 2, 3)).clamp(min=0.2).double(), check_dtype=False
    )
    assert (seen_level(sigma)[unknown] == GUESS_SIGMA).all()
    assert torch.equal(seen_level(sigma)[~unknown], sigma[~unknown])


class Recorder(nn.Module):
    """A prior that answers 0.5 and keeps what it was shown."""

    table, sigma_min, sigma_max = torch.tensor([0.01, 1.0], dtype=torch.float64), 0.01, 1.0

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[tuple[Tensor, Tensor]] = []

    def forward(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        self.shown.append((x.clone(), sigma))
        return torch.full_like(x, 0.5)


@pytest.mark.parametrize("again", [0.0, 1.0])
def test_an_own_answer_is_shown_again(again: float) -> None:
    plan = Plan.model_validate(
        {
            "card": {"name": "a", "data": "made here"},
            "model": {"size": 16, "partial_noise": True, "net": {"in_channels": 5}},
            "data": {"folder": "none", "crop": 16},
            "noise": {"partial_share": 0.9, "unknown_share": 0.5, "again_share": again},
            "run": {"steps": 1},
        }
    )
    prior = Recorder()
    clean = torch.zeros(40, 3, 16, 16)
    Denoising(prior, plan, "v")(clean, None, torch.Generator().manual_seed(0))  # type: ignore[arg-type]
    x, sigma = prior.shown[-1]
    unknown = sigma.isinf().expand_as(x)
    assert unknown.any()
    assert (x[unknown] == (0.5 if again else 0.0)).all()
    assert len(prior.shown) == (2 if again else 1)
    if again:
        first, level = prior.shown[0]
        assert level.isinf().flatten(1).any(1).all(), "only crops with unknown pixels are evaluated twice"
        assert not first[level.isinf().expand_as(first)].any(), "from the smooth fill"
