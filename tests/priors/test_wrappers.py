"""Properties of all wrappers: they are denoisers, and the facts and the learned variance of the inner prior survive."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from restorekit.core.denoiser import Denoiser, Estimate, PriorInfo, Wrapper, denoise_with_variance
from restorekit.core.ladders import karras_ladder
from restorekit.core.noise import ImageNoise
from restorekit.models.config import EpsilonConfig, NoisyClassifierConfig, ScheduleConfig
from restorekit.nets.classifier import ClassifierConfig
from restorekit.priors.autocast import Autocast
from restorekit.priors.batched import Batched, BatchQueue
from restorekit.priors.epsilon import EpsilonPrior
from restorekit.priors.grey import Grey
from restorekit.priors.guided import ClassifierFree, ClassifierGuided, NoisyClassifier
from restorekit.priors.known_pixels import KnownPixels
from restorekit.priors.labelled import Labelled
from restorekit.priors.respaced_variance import RespacedVariance
from restorekit.priors.score import ScorePrior
from restorekit.priors.self_ensemble import SelfEnsembleView
from restorekit.priors.sigma_interpolated import SigmaInterpolated
from restorekit.priors.tiled import Tiled
from restorekit.sampling.samplers import sample_ancestral
from restorekit.testing import GaussianPrior
from tests.models.small import CLASSES, CONDITIONAL, build_prior

LEVELS = (2.0, 0.5, 0.1)
HOLE, Y = torch.ones(1, 1, 16, 16, dtype=torch.bool), torch.zeros(1, 3, 16, 16)
LABEL = torch.tensor([1])


class EveryFact(GaussianPrior):
    """A prior whose facts all differ from the defaults, except blind; the weight of the variance is 0.5."""

    def __init__(self) -> None:
        super().__init__(0.1, 0.3, classes=CLASSES)
        self.info = PriorInfo(3, 16, 0.1, 2.0, LEVELS, CLASSES, 2, True, True, True)

    def with_variance(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Estimate:
        return self(x, sigma, label), torch.full_like(x, 0.5)


def classifier() -> NoisyClassifier:
    torch.manual_seed(1)
    net = ClassifierConfig(classes=2, size=16, channels=32, multipliers=(1, 2), blocks=1)
    return NoisyClassifierConfig(net=net, classes=CLASSES).build().eval()


# Every wrapper, with the facts that it changes.
WRAPPERS: dict[str, tuple[Callable[[Denoiser], Wrapper], dict[str, object]]] = {
    "Autocast": (lambda prior: Autocast(prior, "cpu"), {}),
    "Batched": (lambda prior: Batched(prior, BatchQueue()), {}),
    "ClassifierFree": (lambda prior: ClassifierFree(prior, 0.5), {"supports_holes": False}),
    "ClassifierGuided": (lambda prior: ClassifierGuided(prior, classifier(), 0.5), {"supports_holes": False}),
    "Grey": (
        Grey,
        {
            "channels": 1,
            "levels": tuple(level / 3**0.5 for level in LEVELS),
            "sigma_min": 0.1 / 3**0.5,
            "sigma_max": 2.0 / 3**0.5,
            "learned_variance": False,
        },
    ),
    "KnownPixels": (
        lambda prior: KnownPixels(prior, HOLE, Y),
        {"partial_noise": False, "supports_holes": False, "learned_variance": False},
    ),
    "Labelled": (lambda prior: Labelled(prior, LABEL), {"classes": None, "no_label": None}),
    "RespacedVariance": (lambda prior: RespacedVariance(prior, torch.tensor(LEVELS).flip(0), torch.tensor(LEVELS)), {}),
    "SelfEnsembleView": (lambda prior: SelfEnsembleView(prior, 5), {}),
    "SigmaInterpolated": (
        SigmaInterpolated,
        {"levels": None, "partial_noise": False, "supports_holes": False, "learned_variance": False},
    ),
    "Tiled": (Tiled, {"size": None}),
}
# Wrappers that only pass images on, so that D and the weight are those of the inner prior, but for rounding.
TRANSPARENT: dict[str, Callable[[Denoiser], Wrapper]] = {
    "Autocast": WRAPPERS["Autocast"][0],
    "Labelled": WRAPPERS["Labelled"][0],
    "SelfEnsembleView": WRAPPERS["SelfEnsembleView"][0],
    "Tiled with one window": Tiled,
    "Tiled with several windows": lambda prior: Tiled(prior, window=8, overlap=4),
}


def test_every_wrapper_is_tested() -> None:
    assert {kind.__name__ for kind in Wrapper.__subclasses__() if kind.__module__.startswith("restorekit.")} == set(
        WRAPPERS
    )


@pytest.mark.parametrize("name", WRAPPERS)
def test_wrappers_keep_the_facts_of_the_inner_prior(name: str) -> None:
    wrap, changes = WRAPPERS[name]
    assert wrap(EveryFact()).info == replace(EveryFact().info, **changes)


@pytest.mark.parametrize("name", WRAPPERS)
def test_wrappers_of_blind_priors_are_blind(name: str) -> None:
    prior = EveryFact()
    prior.info = replace(prior.info, blind=True)
    assert WRAPPERS[name][0](prior).info.blind


def test_blind_prior_gets_three_equal_channels_of_a_grey_photo() -> None:
    seen: list[Tensor] = []

    class Blind(GaussianPrior):
        def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
            seen.append(x)
            return x * torch.tensor([0.5, 0.7, 0.9]).reshape(3, 1, 1)

    grey = Grey(Blind(0.1, 0.3, blind=True))
    x = torch.randn(2, 1, 8, 8)
    torch.testing.assert_close(grey(x, torch.zeros(2)), 0.7 * x)
    assert torch.equal(seen[0], x.expand(-1, 3, -1, -1))
    assert grey.info.sigma_max == Blind(0.1, 0.3).info.sigma_max


class Score(torch.nn.Module):
    """A network that depends on the level."""

    def forward(self, u: Tensor, level: Tensor) -> Tensor:
        return u * (1 + level).reshape(-1, 1, 1, 1)


OTHERS: dict[str, Callable[[], Denoiser]] = {
    "EpsilonPrior": build_prior,
    "ScorePrior": lambda: ScorePrior(Score(), torch.tensor(LEVELS) / 2),
    "GaussianPrior": GaussianPrior,
}


@pytest.mark.parametrize("name", [*WRAPPERS, *OTHERS])
def test_sigma_may_be_one_number(name: str) -> None:
    prior = OTHERS[name]() if name in OTHERS else WRAPPERS[name][0](EveryFact())
    level = prior.info.levels[1] if prior.info.levels else 0.5
    x = torch.randn(2, prior.info.channels, 16, 16)
    want = prior(x, torch.full((2,), level))
    for sigma in (level, torch.tensor(level), torch.tensor(level, dtype=torch.float64)):
        torch.testing.assert_close(prior(x, sigma), want)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [*WRAPPERS, *OTHERS])
def test_priors_are_denoisers_by_static_lookup(name: str) -> None:
    prior = OTHERS[name]() if name in OTHERS else WRAPPERS[name][0](EveryFact())
    assert isinstance(inspect.getattr_static(prior, "info"), PriorInfo)
    assert callable(inspect.getattr_static(prior, "__call__"))
    assert isinstance(prior, Denoiser)


@pytest.mark.parametrize("name", TRANSPARENT)
def test_transparent_wrappers_keep_the_learned_variance(name: str) -> None:
    class Pixelwise(EveryFact):
        """The weight of the variance depends on the pixel and on the label."""

        def with_variance(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Estimate:
            assert label is not None
            return self(x, sigma, label), 0.1 * x + label.reshape(-1, 1, 1, 1)

    prior, x = Pixelwise(), torch.randn(2, 3, 16, 16)
    sigma, label = torch.tensor([0.5, 2.0]), torch.tensor([1, 1])
    expected, expected_weight = prior.with_variance(x, sigma, label)
    got, weight = denoise_with_variance(TRANSPARENT[name](prior), x, sigma, label)
    assert weight is not None
    assert expected_weight is not None
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(weight, expected_weight)


@pytest.mark.parametrize("name", [name for name in WRAPPERS if "learned_variance" not in WRAPPERS[name][1]])
def test_with_variance_returns_the_same_image_as_the_call(name: str) -> None:
    prior = WRAPPERS[name][0](EveryFact())
    x, sigma, label = torch.randn(2, 3, 16, 16), torch.tensor([0.5, 2.0]), torch.tensor([1, 0])
    denoised, weight = denoise_with_variance(prior, x, sigma, label)
    assert torch.equal(denoised, prior(x, sigma, label))
    assert weight is not None
    torch.testing.assert_close(weight, torch.full_like(x, 0.5))


@pytest.mark.parametrize("name", [name for name in WRAPPERS if name not in ("SigmaInterpolated", "KnownPixels")])
def test_priors_without_a_learned_variance_return_no_weight(name: str) -> None:
    prior = EveryFact()
    prior.info = replace(prior.info, learned_variance=False)
    wrapped = WRAPPERS[name][0](prior)
    assert not wrapped.info.learned_variance
    assert denoise_with_variance(wrapped, torch.zeros(1, wrapped.info.channels, 16, 16), torch.ones(1))[1] is None


def conditional_prior() -> EpsilonPrior:
    schedule = ScheduleConfig(steps=100, start=1e-3, end=0.2)
    return build_prior(EpsilonConfig.model_validate(CONDITIONAL.model_dump() | {"schedule": schedule.model_dump()}))


@pytest.mark.parametrize("name", ["Autocast", "ClassifierFree", "ClassifierGuided", "SelfEnsembleView", "Tiled"])
def test_a_network_without_a_label_works_through_the_wrappers(name: str) -> None:
    prior = conditional_prior()
    wrapped = WRAPPERS[name][0](prior)
    x, sigma = torch.randn(2, 3, 16, 16), torch.tensor([0.5, 2.0])
    assert wrapped.info.no_label == 2
    unlabelled = wrapped(x, sigma)
    assert torch.equal(unlabelled, wrapped(x, sigma, torch.tensor([2, 2])))
    assert not torch.equal(unlabelled, wrapped(x, sigma, torch.tensor([0, 1])))
    torch.testing.assert_close(ClassifierFree(wrapped, 1.0)(x, sigma), unlabelled)


@pytest.mark.parametrize("size", [16, 29])
def test_learned_variance_reaches_the_sampler_through_all_wrappers(size: int) -> None:
    prior = conditional_prior()
    ladder = karras_ladder(2.0, 0.1, 3)

    def sampled(wrapped: Denoiser, variance: str) -> Tensor:
        noise = ImageNoise([3])
        start = 2 * noise.like(torch.empty(1, 3, size, size))
        return sample_ancestral(wrapped, start, ladder, noise, variance=variance)  # type: ignore[arg-type]

    def stack(inner: Denoiser) -> Denoiser:
        return Labelled(ClassifierFree(Tiled(SelfEnsembleView(inner, 0), window=16), 0.5), LABEL)

    learned = sampled(stack(prior), "learned")
    assert learned.shape == (1, 3, size, size)
    assert not torch.equal(learned, sampled(stack(prior), "small"))
    if size == prior.info.size:
        assert torch.equal(learned, sampled(Labelled(ClassifierFree(prior, 0.5), LABEL), "learned"))
    with pytest.raises(ValueError, match="variance 'learned', but the prior has none"):
        sampled(Grey(stack(prior)), "learned")
