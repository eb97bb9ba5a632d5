"""A first guess for any linear problem, by a classical method."""

from __future__ import annotations

from torch import Tensor

from restorekit.core.filters import laplacian
from restorekit.core.operators import LinearOperator, conjugate_gradients

# Mean square of the Laplacian of a photo in [-1, 1], the least weight of smoothness, for y without noise, and the
# share of the weight that keeps colours near grey.
BENDING, LEAST_WEIGHT, GREYNESS = 0.05, 3e-3, 0.3


def first_guess(operator: LinearOperator, y: Tensor, sigma_y: float = 0.0) -> Tensor:
    """argmin |A x - y|^2 + w (|laplacian x|^2 + GREYNESS |x - mean of its channels|^2), w = sigma_y^2 / BENDING, by
    conjugate gradients: (N, C, H, W).

    The smoothest image that fits, and the greyest: a Wiener filter for blur, a smooth interpolation for missing pixels
    and for small images, a grey image for a grey one. Wide holes are filled roughly.
    """
    weight = max(sigma_y**2 / BENDING, LEAST_WEIGHT)

    def normal(x: Tensor) -> Tensor:
        unlikely = laplacian(laplacian(x)) + GREYNESS * (x - x.mean(1, keepdim=True))
        return operator.adjoint(operator.forward(x)) + weight * unlikely

    return conjugate_gradients(normal, operator.adjoint(y))
