"""Initial estimate for any linear problem: smooth least squares."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from restorekit.core.conjugate_gradients import conjugate_gradients
from restorekit.core.filters import laplacian
from restorekit.core.operators import LinearOperator

# Mean square of the Laplacian of a photo in [-1, 1], and the minimum weight of smoothness, for y without noise.
BENDING, MIN_WEIGHT = 0.05, 1e-3
# Additional smoothness of colour compared with luminance, and weight of the deviation from grey.
COLOUR_WEIGHT, GREY_WEIGHT = 10.0, 1e-3
# Divisors of the image size for the corrections, and number of conjugate gradient steps at each size.
COARSE_TO_FINE, CORRECTIONS = (16, 8, 4, 2, 1), 30


def initial_estimate(operator: LinearOperator, y: Tensor, sigma_y: float = 0.0) -> Tensor:
    """Return argmin |A x - y|^2 + w |laplacian x|^2, w = sigma_y^2 / BENDING, with smoother colours: (N, C, H, W).

    The smoothest image that fits the measurement: similar to a Wiener filter for blur, and a smooth interpolation for
    missing pixels and downsampled images. It is computed by conjugate gradients, first for grey images and then for
    colours, each from coarse to fine, so that wide holes are filled and undetermined colours are grey.
    """
    weight = max(sigma_y**2 / BENDING, MIN_WEIGHT)

    def normal(x: Tensor) -> Tensor:
        colours = x - x.mean(1, keepdim=True)
        roughness = laplacian(laplacian(x + COLOUR_WEIGHT * colours)) + GREY_WEIGHT * colours
        return operator.adjoint(operator.forward(x)) + weight * roughness

    target = operator.adjoint(y)
    x = torch.zeros_like(target)
    for grey in (True, False) if target.shape[1] > 1 else (False,):
        for divisor in COARSE_TO_FINE:
            subspace = _Subspace(x, grey, divisor)
            residual = subspace.adjoint(target - normal(x))
            x = x + subspace.forward(conjugate_gradients(partial(subspace.restrict, normal), residual, CORRECTIONS))
    return x


class _Subspace:
    """Bilinear upsampling of small images (grey if `grey`) to the size of x: a linear map and its adjoint."""

    def __init__(self, x: Tensor, grey: bool, divisor: int) -> None:
        self.grey, self.channels = grey, x.shape[1]
        self.rows, self.columns = (_upsampling(side, divisor).to(x) for side in x.shape[-2:])

    def forward(self, z: Tensor) -> Tensor:
        """(N, 1 or C, h, w) -> (N, C, H, W)."""
        large = self.rows @ z @ self.columns.T
        return large.expand(-1, self.channels, -1, -1) if self.grey else large

    def adjoint(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, 1 or C, h, w)."""
        return self.rows.T @ (x.sum(1, keepdim=True) if self.grey else x) @ self.columns

    def restrict(self, apply: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
        """Apply a map of images to z: adjoint(apply(forward(z)))."""
        return self.adjoint(apply(self.forward(z)))


def _upsampling(side: int, divisor: int) -> Tensor:
    """The matrix (side, ceil(side / divisor)) of linear interpolation."""
    small = -(-side // divisor)
    eye = torch.eye(small, dtype=torch.float64)[:, None]
    return F.interpolate(eye, side, mode="linear", align_corners=False)[:, 0].T
