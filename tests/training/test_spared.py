import pytest
import torch

from restorekit.priors.epsilon import GUESS_SIGMA
from restorekit.training.losses import partial_noise, seen_level
from restorekit.training.plan import NoisePlan
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
