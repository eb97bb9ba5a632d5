"""A prior with a fixed label."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from restorekit.core.denoiser import Denoiser, Estimate, Wrapper
from restorekit.errors import ModelError


class Labelled(Wrapper):
    """D(x, sigma, label) with a fixed label, for samplers that pass none.

    Arguments:
        prior: a prior with classes, or any prior if label is None.
        label: (N,) int64, or (1,) for every image; None for no label.
    """

    def __init__(self, prior: Denoiser, label: Tensor | None) -> None:
        if label is not None and prior.info.classes is None:
            raise ModelError("the prior has no classes, but a label is given; allowed: None")
        super().__init__(prior, classes=None, no_label=None)
        self.label = label

    def _evaluate(self, inner: Callable[..., Estimate], x: Tensor, sigma: Tensor, label: Tensor | None) -> Estimate:
        """A label that is passed here is ignored."""
        return inner(x, sigma, None if self.label is None else self.label.expand(len(x)))
