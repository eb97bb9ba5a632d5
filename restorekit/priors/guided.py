"""Guidance of a prior toward a class.

Classifier guidance adds the gradient of a classifier of noisy images (Dhariwal and Nichol 2021, arXiv 2105.05233,
section 4): with p(x | label) = p(x) p(label | x), Tweedie's formula gives D + sigma^2 grad_x log p(label | x).
Classifier-free guidance uses a prior that was trained with and without labels (Ho and Salimans 2022, arXiv 2207.12598).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from restorekit.core.denoiser import Denoiser, Estimate, Wrapper, per_image
from restorekit.core.noise import ImageNoise
from restorekit.errors import ModelError, OptionError, shortened
from restorekit.priors.epsilon import step_of
from restorekit.priors.grey import to_colour


class NoisyClassifier(nn.Module):
    """log p(label | x) for x = x0 + sigma * n, from a network trained on a variance-preserving process.

    Arguments:
        net: (x / sqrt(1 + sigma^2), t) -> logits (N, classes).
        table: sigma of every trained step, increasing.
        classes: class names, in the order of the labels.
        size: side of the images in pixels; the classifier accepts no other.
        channels: number of image channels.
        time_scale: the network receives t * time_scale.
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
        """Return log-probabilities (N, classes).

        x: (N, C or 1, size, size); grey images are converted by `to_colour`. sigma: (N,).
        """
        if tuple(x.shape[-2:]) != (self.size, self.size):
            found = f"{x.shape[-1]} x {x.shape[-2]}"
            raise ModelError(f"the classifier accepts {self.size} x {self.size} pixels, but the window is {found}")
        if x.shape[1] < self.channels:
            x, sigma = to_colour(x, sigma)
        scaled = x / (1 + per_image(sigma, x) ** 2).sqrt()
        logits: Tensor = self.net(scaled, step_of(sigma, self.table) * self.time_scale)
        return logits.float().log_softmax(-1)

    def gradient(self, x: Tensor, sigma: Tensor, label: Tensor) -> Tensor:
        """Return grad_x log p(label | x), like x. label: (N,) int64."""
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            log_prob = self(x, sigma).gather(1, label[:, None]).sum()
            (gradient,) = torch.autograd.grad(log_prob, x)
        return gradient


class ClassifierGuided(Wrapper):
    """Classifier guidance: D + scale * sigma^2 * grad_x log p(label | x).

    With DDIM this is algorithm 2 of Dhariwal and Nichol 2021; it works with any other sampler too. Without a label, and
    for images with the label `no_label`, the result is that of the prior.

    If sigma is a map (see `PriorInfo.partial_noise`), noise with a fixed seed is added to the clean pixels of the
    classifier's input, up to the level of the others, because it was trained on noise that covers the image.

    Arguments:
        prior: any denoiser; its classes, if any, are those of the classifier.
        classifier: the classifier of noisy images.
        scale: 0 for no guidance, 1 for the formula, larger values for stronger guidance.
        clip: clamp D to [-1, 1] before the gradient is added, as the authors do; the sampler must then not clip.
        place: first row and first column of the square window of the classifier; None if the images have its size.
    """

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
            raise OptionError(f"guidance scale: found {scale:g}, allowed: 0 or more")
        if prior.info.classes is not None and prior.info.classes != classifier.classes:
            names = [shortened(", ".join(classes), 200) for classes in (prior.info.classes, classifier.classes)]
            raise ModelError(
                f"the prior has the classes {names[0]}, but the classifier has {names[1]}; allowed: the same"
            )
        size = classifier.size if place is None else prior.info.size
        super().__init__(prior, size=size, classes=classifier.classes, supports_holes=False)
        self.classifier, self.scale, self.clip, self.place = classifier, scale, clip, place

    def _evaluate(self, inner: Callable[..., Estimate], x: Tensor, sigma: Tensor, label: Tensor | None) -> Estimate:
        """x: (N, C, size, size), or any size if `place` is given."""
        denoised, weight = inner(x, sigma, label if self.inner.info.classes is not None else None)
        denoised = denoised.clamp(-1, 1) if self.clip else denoised
        if label is None or self.scale == 0:
            return denoised, weight
        return denoised + self.scale * per_image(sigma, x) ** 2 * self._gradient(x, sigma, label), weight

    def _gradient(self, x: Tensor, sigma: Tensor, label: Tensor) -> Tensor:
        """Return the gradient of the classifier, like x; 0 outside its window and for images without a label."""
        no_label = self.info.no_label
        if no_label is not None and bool((label == no_label).any()):
            guided = label != no_label
            gradient = torch.zeros_like(x)
            if guided.any():
                gradient[guided] = self._gradient(x[guided], sigma[guided], label[guided])
            return gradient
        if self.place is None:
            return self.classifier.gradient(*_cover_with_noise(x, sigma), label)
        rows, columns = (slice(first, first + self.classifier.size) for first in self.place)
        level = sigma if sigma.ndim == 1 else sigma[..., rows, columns]
        gradient = torch.zeros_like(x)
        window = _cover_with_noise(x[..., rows, columns], level)
        gradient[..., rows, columns] = self.classifier.gradient(*window, label)
        return gradient


def _cover_with_noise(x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """Return x with noise of the highest level of the map sigma on every pixel, and that level (N,)."""
    if sigma.ndim == 1:
        return x, sigma
    level = sigma.amax((1, 2, 3))
    missing = (per_image(level, x) ** 2 - sigma**2).clamp(min=0).sqrt()
    return x + missing * ImageNoise([0]).like(x[:1]), level


class ClassifierFree(Wrapper):
    """Classifier-free guidance: (1 + scale) * D(x, label) - scale * D(x, no label).

    Ho and Salimans 2022, equation 6, with w = scale. Without a label the result is that of the prior without a label.

    Arguments:
        prior: a prior with `no_label`, trained with label dropout.
        scale: 0 for no guidance, larger values for stronger guidance.
        min_sigma: no guidance below this noise level (highest level of a map), which saves the second evaluation there
            (Kynkäänniemi et al. 2024, arXiv 2404.07724).
    """

    def __init__(self, prior: Denoiser, scale: float, *, min_sigma: float = 0.0) -> None:
        for name, value in (("guidance scale", scale), ("min_sigma", min_sigma)):
            if not value >= 0:
                raise OptionError(f"{name}: found {value:g}, allowed: 0 or more")
        if prior.info.no_label is None:
            raise ModelError("classifier-free guidance: the prior was not trained without labels")
        super().__init__(prior, supports_holes=False)
        self.scale, self.no_label, self.min_sigma = scale, prior.info.no_label, min_sigma

    def _evaluate(self, inner: Callable[..., Estimate], x: Tensor, sigma: Tensor, label: Tensor | None) -> Estimate:
        """The interpolation weight of the variance is that of D(x, label)."""
        unlabelled = torch.full((len(x),), self.no_label, device=x.device)
        if label is None:
            return inner(x, sigma, unlabelled)
        conditional, weight = inner(x, sigma, label)
        guided = (sigma if sigma.ndim == 1 else sigma.amax((1, 2, 3))) >= self.min_sigma
        if self.scale == 0 or not guided.any():
            return conditional, weight
        scale = per_image(self.scale * guided.to(x), x)
        return conditional + scale * (conditional - self.inner(x, sigma, unlabelled)), weight
