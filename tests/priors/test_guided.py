from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from restorekit.core.denoiser import per_image
from restorekit.errors import ModelError, OptionError
from restorekit.priors.grey import Grey
from restorekit.priors.guided import ClassifierFree, ClassifierGuided, NoisyClassifier
from restorekit.priors.tiled import Tiled
from restorekit.testing import GaussianPrior

MEANS, STD = (-0.1, 0.2), 0.3
CLASSES = ("dark", "bright")


class Mixture(GaussianPrior):
    """Images of independent pixels N(mean of their class, STD^2); label 2 means "no class"."""

    def __init__(self, **facts: Any) -> None:
        super().__init__(**{"classes": CLASSES, "size": 4} | facts)

    def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        of_class = [GaussianPrior(mean, STD)(x, sigma) for mean in MEANS]
        shares = log_shares(x, sigma).exp()
        mixed = sum(per_image(shares[:, k], x) * of_class[k] for k in range(2))
        if label is None:
            return mixed  # type: ignore[return-value]
        by_label = torch.stack([*of_class, mixed])  # type: ignore[list-item]
        return by_label[label, torch.arange(len(x))]


def log_shares(x: Tensor, sigma: Tensor) -> Tensor:
    """log p(class | x) of the mixture, (N, 2)."""
    variance = per_image(STD**2 + sigma**2, x)
    logs = [(-((x - mean) ** 2) / (2 * variance)).flatten(1).sum(1) for mean in MEANS]
    return torch.stack(logs, dim=1).log_softmax(1)


class ExactClassifier(NoisyClassifier):
    def __init__(self) -> None:
        super().__init__(nn.Identity(), torch.tensor([0.01, 10.0]), classes=CLASSES, size=4)

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        return log_shares(x, sigma)


def states() -> tuple[Tensor, Tensor, Tensor]:
    x = torch.randn(4, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    return x, torch.tensor([0.1, 0.5, 1.0, 4.0]), torch.tensor([0, 1, 0, 1])


def unconditional() -> Mixture:
    return Mixture(classes=None, no_label=None)


def test_guidance_by_an_exact_classifier_gives_the_conditional_prior() -> None:
    x, sigma, label = states()
    guided = ClassifierGuided(unconditional(), ExactClassifier(), 1.0, clip=False)
    torch.testing.assert_close(guided(x, sigma, label), Mixture()(x, sigma, label), rtol=1e-4, atol=1e-5)
    assert torch.equal(guided(x, sigma), Mixture()(x, sigma))
    assert torch.equal(
        ClassifierGuided(unconditional(), ExactClassifier(), 0.0, clip=False)(x, sigma, label), Mixture()(x, sigma)
    )


def test_images_without_a_label_are_not_guided_by_the_classifier() -> None:
    x, sigma, _ = states()
    label = torch.tensor([0, 2, 2, 1])
    prior = Mixture()
    guided = ClassifierGuided(prior, ExactClassifier(), 1.0, clip=False)
    assert guided.info.no_label == 2
    got, unlabelled = guided(x, sigma, label), label == 2
    assert torch.equal(got[unlabelled], prior(x, sigma)[unlabelled])
    for n in (0, 3):
        torch.testing.assert_close(got[n : n + 1], guided(x[n : n + 1], sigma[n : n + 1], label[n : n + 1]))
    assert torch.equal(guided(x, sigma, torch.full((4,), 2)), prior(x, sigma))


def test_both_kinds_of_guidance_combine_in_either_order() -> None:
    x, sigma, label = states()
    prior, classifier = Mixture(), ExactClassifier()
    plain = ClassifierFree(prior, 2.0)(x, sigma, label)
    gradient = per_image(sigma, x) ** 2 * classifier.gradient(x, sigma, label)
    inside = ClassifierGuided(ClassifierFree(prior, 2.0), classifier, 0.5, clip=False)
    torch.testing.assert_close(inside(x, sigma, label), plain + 0.5 * gradient, rtol=1e-4, atol=1e-4)
    outside = ClassifierFree(ClassifierGuided(prior, classifier, 0.5, clip=False), 2.0)
    torch.testing.assert_close(outside(x, sigma, label), plain + 1.5 * gradient, rtol=1e-4, atol=1e-4)


def test_classifier_free_guidance_extrapolates_from_the_unlabelled_prior() -> None:
    x, sigma, label = states()
    conditional, unlabelled = Mixture()(x, sigma, label), Mixture()(x, sigma, torch.full((4,), 2))
    for prior in (Mixture(), Tiled(Mixture(), window=8)):
        torch.testing.assert_close(ClassifierFree(prior, 1.5)(x, sigma, label), 2.5 * conditional - 1.5 * unlabelled)
    assert torch.equal(ClassifierFree(Mixture(), 0.0)(x, sigma, label), conditional)
    assert torch.equal(ClassifierFree(Mixture(), 9.0)(x, sigma), unlabelled)
    assert ClassifierFree(Grey(Mixture()), 1.0).info.no_label == 2


def test_classifier_free_guidance_ends_at_the_smallest_sigma() -> None:
    x, sigma, label = states()
    guided, conditional = ClassifierFree(Mixture(), 1.5)(x, sigma, label), Mixture()(x, sigma, label)
    result, above = ClassifierFree(Mixture(), 1.5, min_sigma=1.0)(x, sigma, label), sigma >= 1
    assert torch.equal(result[above], guided[above])
    assert torch.equal(result[~above], conditional[~above])


def test_classifier_free_guidance_evaluates_once_below_the_smallest_sigma() -> None:
    x, _, label = states()
    level = torch.zeros(4, 1, 4, 4)
    for highest, count in ((0.5, 1), (1.0, 2)):
        prior = GaussianPrior(classes=CLASSES, no_label=2, partial_noise=True)
        level[0, 0, 0, 0] = highest
        ClassifierFree(prior, 1.5, min_sigma=1.0)(x, level, label)
        assert len(prior.seen) == count


def test_classifier_guides_its_window_only() -> None:
    x, sigma, label = states()
    large = torch.nn.functional.pad(x, (2, 3, 1, 4), value=0.7)
    prior = unconditional()
    guided = ClassifierGuided(prior, ExactClassifier(), 2.0, clip=False, place=(1, 2))
    gradient = (guided(large, sigma, label) - prior(large, sigma)) / (2 * per_image(sigma, x) ** 2)
    expected = torch.nn.functional.pad(ExactClassifier().gradient(x, sigma, label), (2, 3, 1, 4))
    torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-4)
    noisy = torch.zeros(4, 1, 9, 9)
    noisy[..., 1:5, 2:6] = per_image(sigma, x)
    partial = ClassifierGuided(PartialNoise(), ExactClassifier(), 2.0, clip=False, place=(1, 2))
    got = partial(large, noisy, label) - PartialNoise()(large, noisy)
    torch.testing.assert_close(got, 2 * per_image(sigma, x) ** 2 * expected, rtol=1e-3, atol=1e-4)


def test_classifier_receives_grey_images_with_equal_noise_on_all_colour_axes() -> None:
    class Recording(nn.Module):
        def forward(self, x: Tensor, t: Tensor) -> Tensor:
            calls.append((x.detach(), t))
            return x.flatten(1)[:, :2]

    calls: list[tuple[Tensor, Tensor]] = []
    table = torch.tensor([0.1, 2.0 * 3**0.5, 50.0])
    classifier = NoisyClassifier(Recording(), table, classes=CLASSES, size=64)
    grey = 2.0 * torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(1))
    gradient = classifier.gradient(grey, torch.tensor([2.0]), torch.tensor([1]))
    ((colour, t),) = calls
    assert gradient.shape == grey.shape
    assert float(t) == pytest.approx(1.0, abs=1e-3), "noise of three equal channels is sqrt(3) sigma on the grey axis"
    covariance = torch.cov(colour[0].flatten(1)) * (1 + 12) / 12
    torch.testing.assert_close(covariance, torch.eye(3), atol=0.1, rtol=0)


class PartialNoise(Mixture):
    """Halves noisy pixels and keeps clean ones."""

    def __init__(self) -> None:
        super().__init__(classes=None, no_label=None, partial_noise=True)

    def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        s = per_image(sigma, x).expand_as(x)
        return torch.where(s > 0, 0.5 * x, x)


def test_clean_pixels_are_not_guided() -> None:
    class Recording(ExactClassifier):
        def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
            calls.append((x.detach(), sigma))
            return super().forward(x, sigma)

    calls: list[tuple[Tensor, Tensor]] = []
    x, _, label = states()
    hole = torch.zeros(4, 1, 4, 4, dtype=torch.bool)
    hole[..., 1:3, 1:3] = True
    level = torch.where(hole, torch.tensor([0.5, 1.0, 2.0, 40.0]).reshape(-1, 1, 1, 1), 0.0)
    prior = PartialNoise()
    guided = ClassifierGuided(prior, Recording(), 3.0, clip=False)
    got, plain = guided(x, level, label), prior(x, level)
    inside = hole.expand_as(x)
    assert torch.equal(got[~inside], x[~inside])
    assert (got - plain)[inside].abs().min() > 0
    (noisy, sigma) = calls[0]
    assert torch.equal(sigma, torch.tensor([0.5, 1.0, 2.0, 40.0]))
    assert torch.equal(noisy[inside], x[inside])
    assert (noisy - x)[3][~inside[3]].std() == pytest.approx(40, rel=0.4), "the classifier gets noise on every pixel"
    torch.testing.assert_close(guided(x[1:2], level[1:2], label[1:2]), got[1:2])
    assert guided.info.partial_noise


def test_invalid_guidance_is_refused() -> None:
    with pytest.raises(OptionError, match="guidance scale: found -1, allowed: 0 or more"):
        ClassifierGuided(Mixture(), ExactClassifier(), -1.0)
    with pytest.raises(OptionError, match="guidance scale: found nan"):
        ClassifierFree(Mixture(), float("nan"))
    with pytest.raises(OptionError, match="min_sigma: found -1, allowed: 0 or more"):
        ClassifierFree(Mixture(), 1.0, min_sigma=-1.0)
    with pytest.raises(ModelError, match="not trained without labels"):
        ClassifierFree(GaussianPrior(), 1.0)
    other = Mixture(classes=("sea", "street"))
    with pytest.raises(ModelError, match="the prior has the classes sea, street, but the classifier has dark, bright"):
        ClassifierGuided(other, ExactClassifier())
    with pytest.raises(ModelError, match="accepts 4 x 4 pixels, but the window is 5 x 6"):
        NoisyClassifier.forward(ExactClassifier(), torch.zeros(1, 3, 6, 5), torch.ones(1))
