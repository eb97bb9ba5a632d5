"""A prior held to labels."""

from __future__ import annotations

from torch import Tensor

from restorekit.core.denoiser import Denoiser, denoised_with_variance, learned_variance
from restorekit.errors import ModelError


class Labelled:
    """D(x, sigma, label) with the label fixed, for samplers that know of none.

    Arguments:
        prior: a prior with classes, or one without when label is None.
        label: (N,) int64, or (1,) for every image; None for a prior without classes.
    """

    classes: tuple[str, ...] | None = None

    def __init__(self, prior: Denoiser, label: Tensor | None) -> None:
        if label is not None and prior.classes is None:
            raise ModelError("the prior has no classes, but a label is given")
        self.prior, self.label = prior, label
        self.channels, self.size, self.levels = prior.channels, prior.size, prior.levels
        self.sigma_min, self.sigma_max = prior.sigma_min, prior.sigma_max
        self.partial_noise, self.fills = prior.partial_noise, prior.fills
        self.learned_variance = learned_variance(prior)

    def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        """x (N, C, H, W), sigma (N,); a label given here is not looked at."""
        return self.prior(x, sigma, self._labels(x))

    def with_variance(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """The same with the fraction of the variance; see `VarianceDenoiser`."""
        return denoised_with_variance(self.prior, x, sigma, self._labels(x))

    def _labels(self, x: Tensor) -> Tensor | None:
        return None if self.label is None else self.label.expand(len(x))
