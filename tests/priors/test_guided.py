from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from restorekit.core.denoiser import Denoiser, denoised_with_variance, learned_variance, per_image
from restorekit.core.noise import ImageNoise
from restorekit.errors import ModelError, OptionError
from restorekit.priors.grey import Grey
from restorekit.priors.guided import ClassifierFree, ClassifierGuided, NoisyClassifier
from restorekit.priors.labelled import Labelled
from restorekit.priors.precise import InBfloat16
from restorekit.priors.tiled import Tiled
from restorekit.sampling.samplers import Variance, sample_ancestral
from restorekit.testing import GaussianPrior

MEANS, STD = (-0.1, 0.2), 0.3
CLASSES = ("dark", "bright")


class Mixture(GaussianPrior):
    """Images of independent pixels N(mean of their class, STD^2); label 2 stands for none, and is no class' D."""

    classes, no_label, size = CLASSES, 2, 4

    def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        of_class = [GaussianPrior(mean, STD)(x, sigma) for mean in MEANS]
        shares = log_shares(x, sigma).exp()
        mixed = sum(per_image(shares[:, k], x) * of_class[k] for k in range(2))
        if label is None:
            return mixed  # type: ignore[return-value]
        every = torch.stack([*of_class, mixed])  # type: ignore[list-item]
        return every[label, torch.arange(len(x))]


def log_shares(x: Tensor, sigma: Tensor) -> Tensor:
    """log p(class | x) of the mixture, (N, 2)."""
    variance = per_image(STD**2 + sigma**2, x)
    logs = [(-((x - mean) ** 2) / (2 * variance)).flatten(1).sum(1) for mean in MEANS]
    return torch.stack(logs, dim=1).log_softmax(1)


class Exact(NoisyClassifier):
    def __init__(self) -> None:
        super().__init__(nn.Identity(), torch.tensor([0.01, 10.0]), classes=CLASSES, size=4)

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        return log_shares(x, sigma)


def states() -> tuple[Tensor, Tensor, Tensor]:
    x = torch.randn(4, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    return x, torch.tensor([0.1, 0.5, 1.0, 4.0]), torch.tensor([0, 1, 0, 1])


class Unlabelled(Mixture):
    classes = None  # type: ignore[assignment]


def test_an_exact_classifier_turns_the_prior_into_that_of_the_class() -> None:
    x, sigma, label = states()
    guided = ClassifierGuided(Unlabelled(), Exact(), 1.0, clip=False)
    torch.testing.assert_close(guided(x, sigma, label), Mixture()(x, sigma, label), rtol=1e-4, atol=1e-5)
    assert torch.equal(guided(x, sigma), Mixture()(x, sigma))
    assert torch.equal(ClassifierGuided(Unlabelled(), Exact(), 0.0, clip=False)(x, sigma, label), Mixture()(x, sigma))


def test_guidance_without_a_classifier() -> None:
    x, sigma, label = states()
    given, none = Mixture()(x, sigma, label), Mixture()(x, sigma, torch.full((4,), 2))
    for prior in (Mixture(), Tiled(Mixture(), window=8)):
        torch.testing.assert_close(ClassifierFree(prior, 1.5)(x, sigma, label), 2.5 * given - 1.5 * none)
    assert torch.equal(ClassifierFree(Mixture(), 0.0)(x, sigma, label), given)
    assert torch.equal(ClassifierFree(Mixture(), 9.0)(x, sigma), none)
    assert ClassifierFree(Grey(Mixture()), 1.0).no_label == 2


def test_a_classifier_may_look_at_a_part() -> None:
    x, sigma, label = states()
    large = torch.nn.functional.pad(x, (2, 3, 1, 4), value=0.7)
    prior = Unlabelled()
    guided = ClassifierGuided(prior, Exact(), 2.0, clip=False, place=(1, 2))
    slope = (guided(large, sigma, label) - prior(large, sigma)) / (2 * per_image(sigma, x) ** 2)
    expected = torch.nn.functional.pad(Exact().gradient(x, sigma, label), (2, 3, 1, 4))
    torch.testing.assert_close(slope, expected, rtol=1e-3, atol=1e-4)
    noisy = torch.zeros(4, 1, 9, 9)
    noisy[..., 1:5, 2:6] = per_image(sigma, x)
    partial = ClassifierGuided(Partial(), Exact(), 2.0, clip=False, place=(1, 2))
    got = partial(large, noisy, label) - Partial()(large, noisy)
    torch.testing.assert_close(got, 2 * per_image(sigma, x) ** 2 * expected, rtol=1e-3, atol=1e-4)


def test_a_grey_image_is_shown_with_equal_noise_on_all_axes_of_colour() -> None:
    class Seen(nn.Module):
        def forward(self, x: Tensor, t: Tensor) -> Tensor:
            seen.append((x.detach(), t))
            return x.flatten(1)[:, :2]

    seen: list[tuple[Tensor, Tensor]] = []
    table = torch.tensor([0.1, 2.0 * 3**0.5, 50.0])
    classifier = NoisyClassifier(Seen(), table, classes=CLASSES, size=64)
    grey = 2.0 * torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(1))
    slope = classifier.gradient(grey, torch.tensor([2.0]), torch.tensor([1]))
    ((shown, t),) = seen
    assert slope.shape == grey.shape
    assert float(t) == pytest.approx(1.0, abs=1e-3), "three equal channels are noise of sqrt(3) sigma on the grey axis"
    covariance = torch.cov(shown[0].flatten(1)) * (1 + 12) / 12
    torch.testing.assert_close(covariance, torch.eye(3), atol=0.1, rtol=0)


class WithVariance(Mixture):
    learned_variance = True

    def with_variance(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self(x, sigma, label), torch.full_like(x, 0.5 if label is None else -0.5)


class Partial(Unlabelled):
    """Pixels whose noise is 0 are what they are."""

    partial_noise = True

    def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        s = per_image(sigma, x).expand_as(x)
        return torch.where(s > 0, 0.5 * x, x)


def test_of_partial_noise_only_noisy_pixels_are_guided() -> None:
    class Seen(Exact):
        def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
            seen.append((x.detach(), sigma))
            return super().forward(x, sigma)

    seen: list[tuple[Tensor, Tensor]] = []
    x, _, label = states()
    hole = torch.zeros(4, 1, 4, 4, dtype=torch.bool)
    hole[..., 1:3, 1:3] = True
    level = torch.where(hole, torch.tensor([0.5, 1.0, 2.0, 40.0]).reshape(-1, 1, 1, 1), 0.0)
    prior = Partial()
    guided = ClassifierGuided(prior, Seen(), 3.0, clip=False)
    got, plain = guided(x, level, label), prior(x, level)
    inside = hole.expand_as(x)
    assert torch.equal(got[~inside], x[~inside])
    assert (got - plain)[inside].abs().min() > 0
    (shown, sigma) = seen[0]
    assert torch.equal(sigma, torch.tensor([0.5, 1.0, 2.0, 40.0]))
    assert torch.equal(shown[inside], x[inside])
    assert (shown - x)[3][~inside[3]].std() == pytest.approx(40, rel=0.4), "the classifier knows whole noise alone"
    torch.testing.assert_close(guided(x[1:2], level[1:2], label[1:2]), got[1:2])
    assert guided.partial_noise


def test_wrappers_hand_on_the_learned_variance() -> None:
    x, sigma, label = states()
    prior = WithVariance()
    for wrapped, share in (
        (Labelled(prior, label), -0.5),
        (Labelled(prior, None), 0.5),
        (ClassifierGuided(prior, Exact(), 0.7), -0.5),
        (ClassifierFree(prior, 0.7), -0.5),
        (InBfloat16(prior, "cpu"), -0.5),
    ):
        assert learned_variance(wrapped)
        denoised, fraction = denoised_with_variance(wrapped, x, sigma, label)
        assert torch.equal(denoised, wrapped(x, sigma, label))
        assert fraction is not None
        assert fraction.eq(share).all()
    assert not learned_variance(Labelled(Mixture(), label))
    assert denoised_with_variance(ClassifierFree(Mixture(), 1.0), x, sigma, label)[1] is None


def test_ancestral_sampling_with_a_learned_variance_goes_through_the_wrappers() -> None:
    ladder = torch.tensor([4.0, 1.0, 0.3, 0.0], dtype=torch.float64)
    label = torch.tensor([1])

    def drawn(prior: Denoiser, variance: Variance) -> Tensor:
        noise = ImageNoise([3])
        start = 4 * noise.like(torch.empty(1, 3, 4, 4))
        return sample_ancestral(prior, start, ladder, noise, variance=variance)

    learned = drawn(Labelled(ClassifierGuided(WithVariance(), Exact(), 0.0), label), "learned")
    assert not torch.equal(learned, drawn(Labelled(WithVariance(), label), "small"))
    assert torch.equal(learned, drawn(Labelled(InBfloat16(WithVariance(), "cpu"), label), "learned"))
    with pytest.raises(ValueError, match="no learned variance"):
        drawn(Labelled(Mixture(), label), "learned")


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(OptionError, match="guidance: found -1, allowed: a number from 0"):
        ClassifierGuided(Mixture(), Exact(), -1.0)
    with pytest.raises(OptionError, match="guidance: found nan"):
        ClassifierFree(Mixture(), float("nan"))
    with pytest.raises(ModelError, match="not trained without labels"):
        ClassifierFree(GaussianPrior(), 1.0)
    other = Mixture()
    other.classes = ("sea", "street")  # type: ignore[assignment]
    with pytest.raises(ModelError, match="the prior knows the classes sea, street, the classifier dark, bright"):
        ClassifierGuided(other, Exact())
    with pytest.raises(ModelError, match="trained for 4 x 4, the window is 5 x 6"):
        NoisyClassifier.forward(Exact(), torch.zeros(1, 3, 6, 5), torch.ones(1))
