"""Linear problems with a known posterior: a Gaussian prior with correlated pixels and colours, and every operator."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from restorekit.core.denoiser import PriorInfo
from restorekit.core.filters import Blur, Downsample, gaussian_kernel
from restorekit.core.ladders import karras_ladder
from restorekit.core.noise import ImageNoise
from restorekit.core.operators import Composition, Identity, LinearOperator, Masking, Mosaic, grayscale
from restorekit.core.solver import Solver

SIDE, COUNT, STEPS = 6, 400, 40
MEAN, STD = 0.1, 0.3
SHAPE = (3, SIDE, SIDE)
KNOWN = torch.rand(1, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(3)) > 0.5
OPERATORS: dict[str, LinearOperator] = {
    "identity": Identity(),
    "masking": Masking(KNOWN),
    "bicubic": Downsample(2),
    "box": Downsample(2, "box"),
    "blur": Blur(gaussian_kernel(0.7)),
    "zero blur": Blur(gaussian_kernel(0.7), "zero"),
    "grey": grayscale(),
    "mosaic": Mosaic(),
    "grey and small": Composition(Downsample(2, "box"), grayscale()),
}


class FieldPrior:
    """N(MEAN, S) of 3 x 6 x 6 values of standard deviation STD, correlated over pixels and colours, or independent."""

    info = PriorInfo(channels=3, size=None, sigma_min=0.005, sigma_max=20.0)

    def __init__(self, correlated: bool = True) -> None:
        place = torch.cartesian_prod(torch.arange(SIDE), torch.arange(SIDE)).double()
        colours = 0.4 * torch.eye(3, dtype=torch.float64) + 0.6
        field = torch.kron(colours, torch.exp(-torch.cdist(place, place) / 2))
        self.covariance = STD**2 * (field if correlated else torch.eye(len(field), dtype=torch.float64))
        self.variances, self.vectors = torch.linalg.eigh(self.covariance)

    def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        vectors, variances = self.vectors.to(x), self.variances.to(x)
        gain = variances / (variances + sigma.to(x)[:, None] ** 2)
        return (MEAN + (x.flatten(1) - MEAN) @ vectors * gain @ vectors.T).reshape(x.shape)

    def sample(self, noise: ImageNoise) -> Tensor:
        """Samples (N, 3, 6, 6) of the prior."""
        z = noise.like(torch.empty(len(noise), *SHAPE)).flatten(1).double()
        # The symmetric root does not depend on the basis that eigh returns for equal variances.
        root = self.vectors * self.variances.sqrt() @ self.vectors.T
        return (MEAN + z @ root).reshape(-1, *SHAPE).float()


CORRELATED, INDEPENDENT = FieldPrior(), FieldPrior(correlated=False)


class OneGenerator:
    """Noise of a whole batch from one generator; faster than `ImageNoise` for many samples."""

    def __init__(self, seed: int = 0) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def like(self, x: Tensor) -> Tensor:
        return torch.randn(x.shape, generator=self.generator, dtype=x.dtype)


@dataclass(frozen=True)
class Problem:
    """y (1, ...) of one image, and the mean and covariance of the image (108,) given y."""

    prior: FieldPrior
    operator: LinearOperator
    y: Tensor
    sigma_y: float
    mean: Tensor
    covariance: Tensor


@functools.cache
def problem(name: str, sigma_y: float, prior: FieldPrior = CORRELATED) -> Problem:
    """A problem of `OPERATORS`, with noise of sigma_y."""
    operator = OPERATORS[name]
    y = operator.forward(prior.sample(ImageNoise([5])))
    y = y + sigma_y * ImageNoise([6]).like(y)
    eye = torch.eye(prior.covariance.shape[0], dtype=torch.float64)
    matrix = operator.forward(eye.reshape(-1, *SHAPE)).flatten(1).T
    gram = matrix @ prior.covariance @ matrix.T + sigma_y**2 * torch.eye(len(matrix), dtype=torch.float64)
    gain = prior.covariance @ matrix.T @ torch.linalg.pinv(gram, rtol=1e-8, hermitian=True)
    mean = MEAN + gain @ (y.flatten().double() - MEAN * matrix.sum(1))
    return Problem(prior, operator, y, sigma_y, mean, (eye - gain @ matrix) @ prior.covariance)


@dataclass(frozen=True)
class Bias:
    """Deviation of COUNT results of a solver from the posterior.

    Attributes:
        mean: root mean square error of their mean, relative to the posterior's standard deviation.
        spread: their mean variance, relative to the posterior's.
        fit: largest |y - A x| of the results, in the unit of y.
    """

    mean: float
    spread: float
    fit: float


def bias(solver: Solver, task: Problem, **options: object) -> Bias:
    """Measure a solver on a problem, by default with 40 steps from pure noise of sigma 20."""
    noise = OneGenerator()
    options = {"ladder": karras_ladder(20, 0.005, STEPS), **options}
    repeated = task.y.expand(COUNT, -1, -1, -1)
    with torch.no_grad():
        results = solver.solve(task.prior, task.operator, repeated, task.sigma_y, noise, steps=STEPS, **options)
    return bias_of(results, task)


def bias_of(results: Tensor, task: Problem) -> Bias:
    """The bias of results (N, 3, 6, 6)."""
    flat, variance = results.flatten(1).double(), task.covariance.diagonal().mean()
    error = (flat.mean(0) - task.mean).square().mean()
    fit = (task.y - task.operator.forward(results)).abs().max().item()
    return Bias((error / variance).sqrt().item(), (flat.var(0).mean() / variance).item(), fit)
