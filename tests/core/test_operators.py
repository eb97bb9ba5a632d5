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
    Masking,
    Mosaic,
    SpectralOperator,
    conjugate_gradients,
    grayscale,
)
from restorekit.core.spectrum import hartley
from restorekit.testing import check_operator

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
    check_operator(OPERATORS[name], (2, channels, 12, 18))


@pytest.mark.parametrize(
    "name", [n for n in OPERATORS if n not in {"zero blur", "valid blur", "grey and small", "blurred and small"}]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_singular_values(name: str, channels: int) -> None:
    if channels == 1 and name in COLOUR:
        channels = 3
    operator = OPERATORS[name]
    assert isinstance(operator, SpectralOperator)
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(2, channels, 12, 18, generator=draw, dtype=torch.float64)
    ax = operator.forward(x)
    y = torch.randn(ax.shape, generator=draw, dtype=torch.float64)
    spectrum = operator.svd(x)
    assert spectrum is not None
    coefficients = spectrum.analyse(x)
    assert (spectrum.values >= 0).all()
    torch.testing.assert_close(coefficients.square().sum((1, 2, 3)), x.square().sum((1, 2, 3)))
    torch.testing.assert_close(spectrum.synthesise(coefficients), x)
    torch.testing.assert_close(spectrum.measure(ax), spectrum.values * coefficients)
    torch.testing.assert_close(spectrum.synthesise(spectrum.values * spectrum.measure(y)), operator.adjoint(y))
    hidden = spectrum.measure(y)[(spectrum.values == 0).expand_as(coefficients)]
    assert not hidden.any()
    # U is orthogonal: no part of y is lost that A can reach, and none is made longer.
    assert (spectrum.measure(y).square().sum((1, 2, 3)) <= y.square().sum((1, 2, 3)) * (1 + 1e-9)).all()
    back = (spectrum.measure(y) / spectrum.values.masked_fill(~spectrum.seen, 1)).masked_fill(~spectrum.seen, 0)
    torch.testing.assert_close(spectrum.synthesise(back), operator.pinv(y))


def test_operators_without_singular_values_say_so() -> None:
    for name in ("zero blur", "valid blur"):
        assert OPERATORS[name].svd(torch.zeros(1, 1, 12, 18)) is None  # type: ignore[attr-defined]
    assert not isinstance(OPERATORS["grey and small"], SpectralOperator)


@pytest.mark.parametrize("shape", [(5, 7), (6, 4)])
def test_hartleys_transform_is_its_own_inverse_and_turns_even_kernels_into_products(shape: tuple[int, int]) -> None:
    x = torch.randn(2, 1, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(hartley(hartley(x)), x)
    blurred = Blur(gaussian_kernel(0.7)).forward(x)
    ratio = hartley(blurred) / hartley(x)
    torch.testing.assert_close(ratio[:1], ratio[1:])
    assert ratio.max().item() == pytest.approx(1)


def test_solved_images_stand_still_while_others_go_on() -> None:
    operator = OPERATORS["grey and small"]
    draw = torch.Generator().manual_seed(2)
    y = operator.forward(torch.randn(2, 3, 12, 18, generator=draw)) * torch.tensor([1e-9, 1.0]).reshape(2, 1, 1, 1)

    def normal(x: torch.Tensor) -> torch.Tensor:
        return operator.adjoint(operator.forward(x))

    together = conjugate_gradients(normal, operator.adjoint(y))
    for i in range(2):
        torch.testing.assert_close(conjugate_gradients(normal, operator.adjoint(y[i : i + 1])), together[i : i + 1])


def test_the_pseudo_inverse_of_a_rounding_error_stays_one() -> None:
    operator = OPERATORS["grey and small"]
    x = torch.randn(4, 3, 12, 18, generator=torch.Generator().manual_seed(2))
    y = operator.forward(x)
    for _ in range(20):
        x = x + operator.pinv(y - operator.forward(x))
    assert (operator.forward(x) - y).abs().max() < 1e-5
    assert x.abs().max() < 10


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
