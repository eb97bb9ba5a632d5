"""A prior that knows some pixels for certain."""

from __future__ import annotations

import torch
from torch import Tensor

from restorekit.core.denoiser import Denoiser, per_image


class Given:
    """E[x0 | x in the hole, y elsewhere] from a prior of partial noise: the pixels outside the hole count as clean.

    Arguments:
        prior: a denoiser with `partial_noise`.
        hole: (N or 1, 1, H, W) bool, where nothing is known but x.
        y: (N, C, H, W), what is known; its values in the hole do not matter.
    """

    levels: Tensor | None = None
    partial_noise = fills = False

    def __init__(self, prior: Denoiser, hole: Tensor, y: Tensor) -> None:
        if not prior.partial_noise:
            raise ValueError("Given: the prior was not trained on partial noise")
        self.prior, self.hole, self.y = prior, hole, y
        self.channels, self.size, self.classes = prior.channels, prior.size, prior.classes
        self.sigma_min, self.sigma_max = prior.sigma_min, prior.sigma_max

    def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        """x (N, C, H, W), of which only the hole is looked at; sigma (N,), inf for E[x0 | y outside the hole] from the
        guess x; equals y outside the hole."""
        wanted = per_image(sigma, x)
        level = torch.where(self.hole, wanted, 0.0)
        return torch.where(self.hole, self.prior(torch.where(self.hole, x, self.y), level, label), self.y)
