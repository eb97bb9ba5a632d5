import pytest
import torch
from torch import Tensor

from restorekit.core.conjugate_gradients import conjugate_gradients
from restorekit.core.filters import Downsample
from restorekit.core.operators import Composition, grayscale


@pytest.mark.parametrize("scale", [1e-9, 1.0])
def test_images_are_solved_independently_of_the_batch(scale: float) -> None:
    operator, generator = Composition(Downsample(2), grayscale()), torch.Generator().manual_seed(2)

    def normal(x: Tensor) -> Tensor:
        return operator.adjoint(operator.forward(x))

    y = normal(torch.randn(2, 3, 12, 18, generator=generator) * torch.tensor([scale, 1.0]).reshape(2, 1, 1, 1))
    together = conjugate_gradients(normal, y)
    for image, right_side in zip(together.split(1), y.split(1), strict=True):
        alone = conjugate_gradients(normal, right_side)
        torch.testing.assert_close(image, alone, rtol=0, atol=1e-5 * alone.abs().max().item())
        residual = (normal(alone) - right_side).norm() / right_side.norm()
        assert residual < 1e-5


def test_solved_images_do_not_change_unless_stopped_together() -> None:
    # The first image is solved to 10 % after one step, the second needs more.
    values = torch.tensor([[1.0, 1.05, 1.1, 1.0, 1.05, 1.1], [1.0, 20.0, 3.0, 40.0, 5.0, 60.0]]).reshape(2, 1, 1, 6)
    y = torch.tensor([0.1, 0.7, 0.3, 0.9, 0.2, 0.6]).expand(2, 1, 1, 6)
    alone = conjugate_gradients(lambda v: values[:1] * v, y[:1], tolerance=0.1)
    assert (alone - y[:1] / values[:1]).abs().max() > 1e-3
    torch.testing.assert_close(conjugate_gradients(lambda v: values * v, y, tolerance=0.1)[:1], alone)
    together = conjugate_gradients(lambda v: values * v, y, tolerance=0.1, stop_together=True)
    assert (together - y / values)[0].abs().max() < 1e-4


def test_channels_are_solved_separately_from_the_given_start() -> None:
    values = torch.tensor([1.0, 100.0]).reshape(1, 2, 1, 1) * torch.tensor([1.0, 2.0, 3.0])
    y = torch.tensor([0.4, -0.2, 0.9]).expand(1, 2, 1, 3)
    calls: list[Tensor] = []

    def apply(v: Tensor) -> Tensor:
        calls.append(v)
        return values * v

    # Three eigenvalues in each channel: three steps; together they have six.
    torch.testing.assert_close(conjugate_gradients(apply, y, 3, dim=(2, 3)), y / values)
    assert (conjugate_gradients(apply, y, 3) - y / values).abs().max() > 1e-3
    calls.clear()
    near = y / values + 1e-3
    torch.testing.assert_close(conjugate_gradients(apply, y, 3, start=near, dim=(2, 3)), y / values)
    # One call for the initial residual.
    assert len(calls) == 4


def test_preconditioner_reduces_iterations_and_not_accuracy() -> None:
    generator = torch.Generator().manual_seed(2)
    a = torch.randn(40, 40, generator=generator, dtype=torch.float64)
    matrix = a @ a.T + torch.diag(torch.logspace(0, 4, 40, dtype=torch.float64))
    y, counts = torch.randn(1, 1, 40, 1, generator=generator, dtype=torch.float64), []
    for inverse in (torch.ones(40, 1, dtype=torch.float64), 1 / matrix.diag()[:, None]):
        calls: list[int] = []

        def apply(v: torch.Tensor, calls: list[int] = calls) -> torch.Tensor:
            calls.append(1)
            return matrix @ v

        got = conjugate_gradients(apply, y, precondition=lambda v, inverse=inverse: inverse * v, tolerance=1e-10)
        torch.testing.assert_close(got[0, 0], torch.linalg.solve(matrix, y[0, 0]))
        counts.append(len(calls))
    assert counts[1] < counts[0]
