"""A prior with some pixels known exactly."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from restorekit.core.denoiser import Denoiser, Estimate, Wrapper, per_image


class KnownPixels(Wrapper):
    """E[x0 | x in the hole, y elsewhere] from a prior with partial noise: pixels outside the hole count as clean.

    A learned variance is dropped: it was learned for noise on every pixel.

    Arguments:
        prior: a denoiser with `partial_noise`.
        hole: (N or 1, 1, H, W) bool, True for unknown pixels.
        y: (N, C, H, W), the known pixels; its values in the hole are ignored.
    """

    def __init__(self, prior: Denoiser, hole: Tensor, y: Tensor) -> None:
        if not prior.info.partial_noise:
            raise ValueError("KnownPixels: the prior was not trained on partial noise")
        super().__init__(prior, partial_noise=False, supports_holes=False, learned_variance=False)
        self.hole, self.y = hole, y

    def _evaluate(self, inner: Callable[..., Estimate], x: Tensor, sigma: Tensor, label: Tensor | None) -> Estimate:
        """x: (N, C, H, W), ignored outside the hole. sigma: (N,); inf estimates E[x0 | y outside the hole] from the
        initial estimate x. The result equals y outside the hole."""
        level = torch.where(self.hole, per_image(sigma, x), 0.0)
        denoised = inner(torch.where(self.hole, x, self.y), level, label)[0]
        return torch.where(self.hole, denoised, self.y), None
