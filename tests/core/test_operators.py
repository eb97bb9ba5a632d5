"""Identities that every operator must keep."""

import numpy as np
import pytest
import torch
from PIL import Image

from restorekit.core.filters import Blur, Downsample, gaussian_kernel, motion_kernel
from restorekit.core.operators import (
    ColourMatrix,
    Composition,
    Identity,
    LinearOperator,
    Masking,
    Mosaic,
    conjugate_gradients,
    grayscale,
)

DRAW = torch.Generator().manual_seed(0)
KNOWN = torch.rand(1, 1, 12, 18, generator=DRAW) > 0.4
MATRIX = torch.randn(2, 3, generator=DRAW, dtype=torch.float64)
KERNEL = torch.rand(3, 5, generator=DRAW, dtype=torch.float64)
OPERATORS = {
    "identity": Identity(),
    "masking": Masking(KNOWN),
    "colour matrix": ColourMatrix(MATRIX),
    "grayscale": grayscale(),
    "mosaic": Mosaic("GRBG"),
    "circular blur": Blur(KERNEL),
    "zero blur": Blur(gaussian_kernel(0.7), "zero"),
    "valid blur": Blur(KERNEL, "valid"),
    "bicubic": Downsample(3),
    "box": Downsample(2, "box"),
    "grey and small": Composition(Downsample(2), grayscale()),
    "blurred and small": Composition(Downsample(2, "box"), Blur(gaussian_kernel(0.6))),
}
COLOUR = {"colour matrix", "grayscale", "mosaic", "grey and small"}


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("channels", [1, 3])
def test_adjoint_pseudo_inverse_and_damped_solution(name: str, channels: int) -> None:
    if channels == 1 and name in COLOUR:
        channels = 3
    operator = OPERATORS[name]
    assert isinstance(operator, LinearOperator)
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(2, channels, 12, 18, generator=draw, dtype=torch.float64)
    ax = operator.forward(x)
    y = torch.randn(ax.shape, generator=draw, dtype=torch.float64)
    torch.testing.assert_close((ax * y).sum(), (x * operator.adjoint(y)).sum())
    torch.testing.assert_close(operator.forward(operator.pinv(ax)), ax, rtol=1e-4, atol=1e-4)
    back = operator.pinv(y)
    torch.testing.assert_close(operator.pinv(operator.forward(back)), back, rtol=1e-3, atol=1e-3)
    for damping in (0.01, 2.0):
        solved = operator.solve(y, damping)
        again = operator.forward(operator.adjoint(solved)) + damping * solved
        torch.testing.assert_close(again, y, rtol=1e-4, atol=1e-4)


def test_masking_keeps_what_is_known() -> None:
    x = torch.randn(1, 3, 12, 18)
    got = Masking(KNOWN).forward(x)
    known = KNOWN.expand_as(x)
    assert torch.equal(got[known], x[known])
    assert not got[~known].any()


def test_both_ways_of_blurring_agree_away_from_the_border() -> None:
    x = torch.randn(1, 3, 30, 40, dtype=torch.float64)
    kernel = torch.rand(5, 3, dtype=torch.float64)
    circular, direct = Blur(kernel).forward(x), Blur(kernel, "zero").forward(x)
    torch.testing.assert_close(circular[..., 2:-2, 1:-1], direct[..., 2:-2, 1:-1])
    dot = torch.zeros(1, 1, 9, 9, dtype=torch.float64)
    dot[..., 4, 4] = 1
    torch.testing.assert_close(Blur(kernel).forward(dot)[0, 0, 2:7, 3:6], kernel)


def test_the_valid_part_of_a_blur_is_what_needs_nothing_beyond_the_border() -> None:
    x = torch.randn(1, 2, 20, 30, dtype=torch.float64)
    kernel = torch.rand(5, 3, dtype=torch.float64)
    direct = torch.nn.functional.conv2d(x, kernel.flip(0, 1).expand(2, 1, -1, -1), groups=2)
    torch.testing.assert_close(Blur(kernel, "valid").forward(x), direct)
    assert direct.shape == (1, 2, 16, 28)
    with pytest.raises(ValueError, match=r"\(4, 30\) pixels, allowed: the kernel's \(5, 3\) or more"):
        Blur(kernel, "valid").forward(x[..., :4, :])


def test_a_preconditioner_changes_the_way_and_not_the_answer() -> None:
    draw = torch.Generator().manual_seed(2)
    a = torch.randn(40, 40, generator=draw, dtype=torch.float64)
    matrix = a @ a.T + torch.diag(torch.logspace(0, 4, 40, dtype=torch.float64))
    y, counts = torch.randn(1, 1, 40, 1, generator=draw, dtype=torch.float64), []
    for inverse in (torch.ones(40, 1, dtype=torch.float64), 1 / matrix.diag()[:, None]):
        calls: list[int] = []

        def apply(v: torch.Tensor, calls: list[int] = calls) -> torch.Tensor:
            calls.append(1)
            return matrix @ v

        got = conjugate_gradients(apply, y, precondition=lambda v, inverse=inverse: inverse * v, enough=1e-10)
        torch.testing.assert_close(got[0, 0], torch.linalg.solve(matrix, y[0, 0]))
        counts.append(len(calls))
    assert counts[1] < counts[0]


def test_down_sampling_is_that_of_the_libraries() -> None:
    x = torch.rand(1, 1, 24, 36)
    want = torch.nn.functional.interpolate(x, scale_factor=0.25, mode="bicubic", antialias=True)
    torch.testing.assert_close(Downsample(4).forward(x), want)
    pillow = Image.fromarray(x[0, 0].numpy()).resize((9, 6), Image.Resampling.BICUBIC)
    np.testing.assert_allclose(Downsample(4).forward(x)[0, 0].numpy(), np.asarray(pillow), rtol=0, atol=1e-5)
    torch.testing.assert_close(Downsample(2, "box").forward(x), torch.nn.functional.avg_pool2d(x, 2))


def test_grey_is_pillows() -> None:
    x = torch.randint(0, 256, (1, 3, 8, 8), dtype=torch.uint8)
    grey = Image.fromarray(x[0].permute(1, 2, 0).numpy()).convert("L")
    got = grayscale().forward(x.float())[0, 0]
    assert (got - torch.from_numpy(np.array(grey)).float()).abs().max() <= 1


def test_a_mosaic_sees_one_colour_a_pixel() -> None:
    x = torch.arange(3.0).reshape(1, 3, 1, 1).expand(1, 3, 3, 5)
    assert Mosaic("RGGB").forward(x)[0, 0].tolist() == [[0, 1, 0, 1, 0], [1, 2, 1, 2, 1], [0, 1, 0, 1, 0]]


def test_kernels() -> None:
    blur = gaussian_kernel(1.5)
    assert blur.shape == (9, 9)
    assert blur.sum().item() == pytest.approx(1)
    assert motion_kernel(5, 0).shape == (5, 5)
    flat = motion_kernel(5, 0)
    assert flat[2].sum().item() == pytest.approx(1)
    assert flat[2].min() > 0.1
    torch.testing.assert_close(motion_kernel(7, 90), motion_kernel(7, 0).T)
    diagonal = motion_kernel(9, 45)
    torch.testing.assert_close(diagonal, diagonal.flip(0, 1))
    assert diagonal[0, -1] + diagonal[2, -3] > 10 * diagonal[0, 0], "upwards to the right"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Mosaic("RGB"), "allowed: four letters"),
        (lambda: Blur(torch.ones(2, 3)), "two odd sides"),
        (lambda: Downsample(1), "2 or more"),
        (lambda: Downsample(3).forward(torch.zeros(1, 1, 9, 10)), "a side of 10, allowed: multiples of 3"),
    ],
)
def test_what_is_no_operator(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_the_pseudo_inverse_of_a_composition_without_full_rank() -> None:
    known = torch.tensor([1.0, 0.0]).reshape(1, 1, 1, 2)
    operator = Composition(Masking(known), Identity())
    y = torch.ones(1, 1, 1, 2)
    torch.testing.assert_close(operator.pinv(y), known)


def test_kernels_of_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="sigma is 0"):
        gaussian_kernel(0)
    with pytest.raises(ValueError, match="length is 0"):
        motion_kernel(0, 10)
