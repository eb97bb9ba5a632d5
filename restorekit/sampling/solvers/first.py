"""A first guess for any linear problem, by a classical method."""

from __future__ import annotations

from torch import Tensor

from restorekit.core.filters import laplacian
from restorekit.core.operators import LinearOperator, conjugate_gradients

# Mean square of the Laplacian of a photo in [-1, 1], and the least weight of smoothness, for y without noise.
BENDING, LEAST_WEIGHT = 0.05, 1e-4


def first_guess(operator: LinearOperator, y: Tensor, sigma_y: float = 0.0) -> Tensor:
    """argmin |A x - y|^2 + w |laplacian x|^2 with w = sigma_y^2 / BENDING, by conjugate gradients: (N, C, H, W).

    The smoothest image that fits: a Wiener filter for blur, a smooth interpolation for missing pixels and for small
    images. What neither A nor smoothness decides, such as the colours behind a grey image, stays 0.
    """
    weight = max(sigma_y**2 / BENDING, LEAST_WEIGHT)

    def normal(x: Tensor) -> Tensor:
        return operator.adjoint(operator.forward(x)) + weight * laplacian(laplacian(x))

    return conjugate_gradients(normal, operator.adjoint(y))
