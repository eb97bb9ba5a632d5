"""A first guess for any linear problem, by a classical method."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from restorekit.core.filters import laplacian
from restorekit.core.operators import LinearOperator, conjugate_gradients

# Mean square of the Laplacian of a photo in [-1, 1], and the least weight of smoothness, for y without noise.
BENDING, LEAST_WEIGHT = 0.05, 1e-3
# How much smoother than light colours are, and how much they keep to grey.
COLOUR_WEIGHT, GREYNESS = 10.0, 1e-3
# Sizes at which the guess is corrected, as divisors of the image's, and steps of conjugate gradients at each.
COARSE_TO_FINE, CORRECTIONS = (16, 8, 4, 2, 1), 30


def first_guess(operator: LinearOperator, y: Tensor, sigma_y: float = 0.0) -> Tensor:
    """argmin |A x - y|^2 + w |laplacian x|^2 with w = sigma_y^2 / BENDING, colours smoother than light: (N, C, H, W).

    The smoothest image that fits: a Wiener filter for blur, a smooth interpolation for missing pixels and for small
    images. It is built up by conjugate gradients, first of grey images and then of colours, each from coarse to fine,
    so that what neither A nor smoothness decides is grey, and wide holes are filled.
    """
    weight = max(sigma_y**2 / BENDING, LEAST_WEIGHT)

    def normal(x: Tensor) -> Tensor:
        colours = x - x.mean(1, keepdim=True)
        rough = laplacian(laplacian(x + COLOUR_WEIGHT * colours)) + GREYNESS * colours
        return operator.adjoint(operator.forward(x)) + weight * rough

    wanted = operator.adjoint(y)
    x = torch.zeros_like(wanted)
    for grey in (True, False) if wanted.shape[1] > 1 else (False,):
        for divisor in COARSE_TO_FINE:
            part = _Part(x, grey, divisor)
            rest = part.gathered(wanted - normal(x))
            x = x + part.spread(conjugate_gradients(partial(part.through, normal), rest, CORRECTIONS))
    return x


class _Part:
    """Images like x, enlarged bilinearly, grey if so wanted: a linear map into the images, and its adjoint."""

    def __init__(self, x: Tensor, grey: bool, divisor: int) -> None:
        self.grey, self.channels = grey, x.shape[1]
        self.rows, self.columns = (_enlarging(side, divisor).to(x) for side in x.shape[-2:])

    def spread(self, z: Tensor) -> Tensor:
        """(N, 1 or C, h, w) -> (N, C, H, W)."""
        large = self.rows @ z @ self.columns.T
        return large.expand(-1, self.channels, -1, -1) if self.grey else large

    def gathered(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, 1 or C, h, w)."""
        return self.rows.T @ (x.sum(1, keepdim=True) if self.grey else x) @ self.columns

    def through(self, apply: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
        """A map of images as one of z."""
        return self.gathered(apply(self.spread(z)))


def _enlarging(side: int, divisor: int) -> Tensor:
    """The matrix (side, side / divisor rounded up) of bilinear interpolation."""
    small = -(-side // divisor)
    eye = torch.eye(small, dtype=torch.float64)[:, None]
    return F.interpolate(eye, side, mode="linear", align_corners=False)[:, 0].T
