"""Guidance: a prior that leans towards a class.

Two ways. A classifier of noisy images adds its gradient (Dhariwal and Nichol 2021, arXiv 2105.05233, section 4): with
p(x | label) = p(x) p(label | x), Tweedie's formula gives D + sigma^2 grad_x log p(label | x). A prior that was trained
with and without labels needs no classifier (Ho and Salimans 2022, arXiv 2207.12598).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from restorekit.core.denoiser import Denoiser, denoised_with_variance, learned_variance, per_image
from restorekit.core.noise import ImageNoise
from restorekit.errors import ModelError, OptionError
from restorekit.priors.epsilon import step_of
from restorekit.priors.grey import in_colour


class NoisyClassifier(nn.Module):
    """log p(label | x) of x = x0 + sigma n, from a network of the variance-preserving process.

    Arguments:
        net: (x / sqrt(1 + sigma^2), t) -> logits (N, classes).
        table: sigma of every trained step, increasing.
        classes: their names, in the order of the labels.
        channels: of the images.
        size: side of the images; others are refused.
        time_scale: the network sees t * time_scale.
    """

    def __init__(
        self,
        net: nn.Module,
        table: Tensor,
        *,
        classes: tuple[str, ...],
        size: int,
        channels: int = 3,
        time_scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.net, self.table, self.time_scale = net, table.detach().double().cpu(), time_scale
        self.classes, self.size, self.channels = classes, size, channels

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Log-probabilities (N, classes) of x (N, 3 or 1, size, size) with noise sigma (N,); one channel is shown as
        `in_colour` has it."""
        if tuple(x.shape[-2:]) != (self.size, self.size):
            found = f"{x.shape[-1]} x {x.shape[-2]}"
            raise ModelError(f"the classifier was trained for {self.size} x {self.size}, the window is {found}")
        if x.shape[1] < self.channels:
            x, sigma = in_colour(x, sigma)
        seen = x / (1 + per_image(sigma, x) ** 2).sqrt()
        logits: Tensor = self.net(seen, step_of(sigma, self.table) * self.time_scale)
        return logits.float().log_softmax(-1)

    def gradient(self, x: Tensor, sigma: Tensor, label: Tensor) -> Tensor:
        """grad_x log p(label | x), like x; label (N,) int64."""
        with torch.enable_grad():
            points = x.detach().requires_grad_()
            chosen = self(points, sigma).gather(1, label[:, None]).sum()
            (slope,) = torch.autograd.grad(chosen, points)
        return slope


class ClassifierGuided:
    """D + scale * sigma^2 * grad_x log p(label | x): Algorithm 2 in any sampler (with DDIM it is that algorithm).

    Arguments:
        prior: any denoiser.
        classifier: of the same classes where the prior has some.
        scale: 0 is the prior itself, 1 the formula, more leans further.
        clip: D to [-1, 1] before the gradient is added, as the authors do; the sampler must then not clip.
        place: first row and column of what the classifier looks at, a square of its size; None: images of its size.

    Of a prior of partial noise, sigma may be a map: the classifier, which knows whole noise alone, is then shown the
    clean pixels with as much noise as the others have, always the same.
    """

    fills = False

    def __init__(
        self,
        prior: Denoiser,
        classifier: NoisyClassifier,
        scale: float = 1.0,
        *,
        clip: bool = True,
        place: tuple[int, int] | None = None,
    ) -> None:
        if not scale >= 0:
            raise OptionError(f"guidance: found {scale:g}, allowed: a number from 0")
        if prior.classes is not None and prior.classes != classifier.classes:
            names = ", ".join(prior.classes), ", ".join(classifier.classes)
            raise ModelError(f"the prior knows the classes {names[0]}, the classifier {names[1]}")
        self.prior, self.classifier, self.scale, self.clip, self.place = prior, classifier, scale, clip, place
        self.channels, self.levels, self.partial_noise = prior.channels, prior.levels, prior.partial_noise
        self.size = classifier.size if place is None else prior.size
        self.classes: tuple[str, ...] | None = classifier.classes
        self.sigma_min, self.sigma_max = prior.sigma_min, prior.sigma_max
        self.learned_variance = learned_variance(prior)

    def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        """x (N, C, size, size), sigma (N,), label (N,); without a label it is the prior."""
        return self.with_variance(x, sigma, label)[0]

    def with_variance(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """The same with the prior's fraction of the variance; see `VarianceDenoiser`."""
        own = label if self.prior.classes is not None else None
        denoised, fraction = denoised_with_variance(self.prior, x, sigma, own)
        denoised = denoised.clamp(-1, 1) if self.clip else denoised
        if label is None or self.scale == 0:
            return denoised, fraction
        return denoised + self.scale * per_image(sigma, x) ** 2 * self._slope(x, sigma, label), fraction

    def _slope(self, x: Tensor, sigma: Tensor, label: Tensor) -> Tensor:
        """The classifier's gradient, like x; 0 where it does not look."""
        if self.place is None:
            return self.classifier.gradient(*_whole(x, sigma), label)
        rows, columns = (slice(first, first + self.classifier.size) for first in self.place)
        seen = sigma if sigma.ndim == 1 else sigma[..., rows, columns]
        slope = torch.zeros_like(x)
        slope[..., rows, columns] = self.classifier.gradient(*_whole(x[..., rows, columns], seen), label)
        return slope


def _whole(x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """An image whose noise is sigma, a map, with the noise of the highest level everywhere, and that level (N,)."""
    if sigma.ndim == 1:
        return x, sigma
    level = sigma.amax((1, 2, 3))
    missing = (per_image(level, x) ** 2 - sigma**2).clamp(min=0).sqrt()
    return x + missing * ImageNoise([0]).like(x[:1]), level


class ClassifierFree:
    """(1 + scale) D(x, label) - scale D(x, no label), from a prior trained with label dropout.

    Ho and Salimans 2022, equation 6, whose w is the scale. The prior says which label stands for none (`no_label`).
    """

    fills = False

    def __init__(self, prior: Denoiser, scale: float) -> None:
        if not scale >= 0:
            raise OptionError(f"guidance: found {scale:g}, allowed: a number from 0")
        none = getattr(prior, "no_label", None)
        if none is None:
            raise ModelError("guidance without a classifier: the prior was not trained without labels as well")
        self.prior, self.scale, self.no_label = prior, scale, int(none)
        self.channels, self.size, self.levels, self.classes = prior.channels, prior.size, prior.levels, prior.classes
        self.sigma_min, self.sigma_max = prior.sigma_min, prior.sigma_max
        self.partial_noise = prior.partial_noise
        self.learned_variance = learned_variance(prior)

    def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        """x (N, C, H, W), sigma (N,), label (N,); without a label it is the prior without one."""
        return self.with_variance(x, sigma, label)[0]

    def with_variance(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """The same with the fraction of the variance given the label; see `VarianceDenoiser`."""
        nothing = torch.full((len(x),), self.no_label, device=x.device)
        if label is None:
            return denoised_with_variance(self.prior, x, sigma, nothing)
        given, fraction = denoised_with_variance(self.prior, x, sigma, label)
        if self.scale == 0:
            return given, fraction
        return given + self.scale * (given - self.prior(x, sigma, nothing)), fraction
