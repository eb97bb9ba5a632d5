"""A prior that is evaluated on a rotated or mirrored image."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from restorekit.core.denoiser import Denoiser, Estimate, Wrapper
from restorekit.priors.tiled import Tiled

# Four rotations, with and without a flip.
N_VIEWS = 8


class SelfEnsembleView(Wrapper):
    """D of one view of the image, transformed back.

    Views 0 to 3 are rotations by multiples of 90 degrees; views 4 to 7 are the same after a horizontal flip. A trained
    network is not exactly equivariant; iterations that use another view each time average these errors out
    (self-ensemble, Timofte et al. 2016, arXiv 1511.02228).

    Arguments:
        prior: any denoiser.
        index: number of the view, 0 to 7.
    """

    def __init__(self, prior: Denoiser, index: int) -> None:
        if not 0 <= index < N_VIEWS:
            raise ValueError(f"SelfEnsembleView: index {index}, allowed: 0 to {N_VIEWS - 1}")
        super().__init__(prior)
        self.index = index

    def _transform(self, x: Tensor) -> Tensor:
        return torch.rot90(x.flip(-1) if self.index >= N_VIEWS // 2 else x, self.index % 4, (-2, -1))

    def _invert(self, x: Tensor) -> Tensor:
        x = torch.rot90(x, -(self.index % 4), (-2, -1))
        return x.flip(-1) if self.index >= N_VIEWS // 2 else x

    def _evaluate(self, inner: Callable[..., Estimate], x: Tensor, sigma: Tensor, label: Tensor | None) -> Estimate:
        level = sigma if sigma.ndim == 1 else self._transform(sigma)
        denoised, weight = inner(self._transform(x), level, label)
        return self._invert(denoised), None if weight is None else self._invert(weight)


def self_ensemble_view(prior: Denoiser, index: int) -> Denoiser:
    """Return the prior evaluated on view `index` of the image, or of every window of a tiled prior."""
    if isinstance(prior, Tiled):
        return prior.with_inner(SelfEnsembleView(prior.inner, index))
    return SelfEnsembleView(prior, index)
