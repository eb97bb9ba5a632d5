"""Identities that hold for every operator."""

import numpy as np
import pytest
import torch
from PIL import Image

from restorekit.checks.operators import check_operator
from restorekit.core.filters import Blur, Downsample, gaussian_kernel, motion_kernel
from restorekit.core.operators import (
    ColourMatrix,
    Composition,
    Identity,
    Masking,
    Mosaic,
    SVDOperator,
    grayscale,
)
from restorekit.core.svd import hartley
from restorekit.errors import OptionError

GENERATOR = torch.Generator().manual_seed(0)
KNOWN = torch.rand(1, 1, 12, 18, generator=GENERATOR) > 0.4
MATRIX = torch.randn(2, 3, generator=GENERATOR, dtype=torch.float64)
KERNEL = torch.rand(3, 5, generator=GENERATOR, dtype=torch.float64)
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
def test_operators_satisfy_the_identities_of_linear_operators(name: str, channels: int) -> None:
    if channels == 1 and name in COLOUR:
        channels = 3
    check_operator(OPERATORS[name], (2, channels, 12, 18))


@pytest.mark.parametrize(
    "name", [n for n in OPERATORS if n not in {"zero blur", "valid blur", "grey and small", "blurred and small"}]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_singular_value_decomposition_agrees_with_the_operator(name: str, channels: int) -> None:
    if channels == 1 and name in COLOUR:
        channels = 3
    operator = OPERATORS[name]
    assert isinstance(operator, SVDOperator)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, channels, 12, 18, generator=generator, dtype=torch.float64)
    ax = operator.forward(x)
    y = torch.randn(ax.shape, generator=generator, dtype=torch.float64)
    svd = operator.svd(x)
    assert svd is not None
    coefficients = svd.Vt(x)
    assert (svd.S >= 0).all()
    torch.testing.assert_close(coefficients.square().sum((1, 2, 3)), x.square().sum((1, 2, 3)))
    torch.testing.assert_close(svd.V(coefficients), x)
    torch.testing.assert_close(svd.Ut(ax), svd.S * coefficients)
    torch.testing.assert_close(svd.V(svd.S * svd.Ut(y)), operator.adjoint(y))
    hidden = svd.Ut(y)[(svd.S == 0).expand_as(coefficients)]
    assert not hidden.any()
    # U is orthogonal: the norm of y does not grow.
    assert (svd.Ut(y).square().sum((1, 2, 3)) <= y.square().sum((1, 2, 3)) * (1 + 1e-9)).all()
    back = (svd.Ut(y) / svd.S.masked_fill(~svd.observed, 1)).masked_fill(~svd.observed, 0)
    torch.testing.assert_close(svd.V(back), operator.pinv(y))


def test_operators_without_closed_form_have_no_svd() -> None:
    for name in ("zero blur", "valid blur"):
        assert OPERATORS[name].svd(torch.zeros(1, 1, 12, 18)) is None  # type: ignore[attr-defined]
    assert not isinstance(OPERATORS["grey and small"], SVDOperator)


@pytest.mark.parametrize("shape", [(5, 7), (6, 4)])
def test_hartley_transform_is_its_own_inverse_and_diagonalizes_even_kernels(shape: tuple[int, int]) -> None:
    x = torch.randn(2, 1, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(hartley(hartley(x)), x)
    blurred = Blur(gaussian_kernel(0.7)).forward(x)
    ratio = hartley(blurred) / hartley(x)
    torch.testing.assert_close(ratio[:1], ratio[1:])
    assert ratio.max().item() == pytest.approx(1)


def test_pseudo_inverse_of_a_rounding_error_is_small() -> None:
    operator = OPERATORS["grey and small"]
    x = torch.randn(4, 3, 12, 18, generator=torch.Generator().manual_seed(2))
    y = operator.forward(x)
    for _ in range(20):
        x = x + operator.pinv(y - operator.forward(x))
    assert (operator.forward(x) - y).abs().max() < 1e-5
    assert x.abs().max() < 10


def test_masking_keeps_known_pixels() -> None:
    x = torch.randn(1, 3, 12, 18)
    got = Masking(KNOWN).forward(x)
    known = KNOWN.expand_as(x)
    assert torch.equal(got[known], x[known])
    assert not got[~known].any()


def test_circular_and_zero_blur_agree_away_from_the_border() -> None:
    x = torch.randn(1, 3, 30, 40, dtype=torch.float64)
    kernel = torch.rand(5, 3, dtype=torch.float64)
    circular, direct = Blur(kernel).forward(x), Blur(kernel, "zero").forward(x)
    torch.testing.assert_close(circular[..., 2:-2, 1:-1], direct[..., 2:-2, 1:-1])
    dot = torch.zeros(1, 1, 9, 9, dtype=torch.float64)
    dot[..., 4, 4] = 1
    torch.testing.assert_close(Blur(kernel).forward(dot)[0, 0, 2:7, 3:6], kernel)


def test_valid_blur_is_the_unpadded_convolution() -> None:
    x = torch.randn(1, 2, 20, 30, dtype=torch.float64)
    kernel = torch.rand(5, 3, dtype=torch.float64)
    direct = torch.nn.functional.conv2d(x, kernel.flip(0, 1).expand(2, 1, -1, -1), groups=2)
    torch.testing.assert_close(Blur(kernel, "valid").forward(x), direct)
    assert direct.shape == (1, 2, 16, 28)
    with pytest.raises(
        OptionError, match=r"found \(4, 30\) pixels, allowed: the size of the kernel, \(5, 3\), or more"
    ):
        Blur(kernel, "valid").forward(x[..., :4, :])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pseudo_inverse_ignores_frequencies_that_the_kernel_removes(dtype: torch.dtype) -> None:
    # The mean of three pixels removes a third of the sampling frequency, up to rounding.
    operator = Blur(torch.full((1, 3), 1 / 3, dtype=torch.float64))
    y = torch.randn(1, 1, 12, 18, generator=torch.Generator().manual_seed(0), dtype=dtype)
    x = operator.pinv(y)
    assert x.abs().max() < 100
    torch.testing.assert_close(operator.pinv(operator.forward(x)), x, rtol=1e-4, atol=1e-4)


def test_downsampling_agrees_with_torch_and_pillow() -> None:
    x = torch.rand(1, 1, 24, 36)
    want = torch.nn.functional.interpolate(x, scale_factor=0.25, mode="bicubic", antialias=True)
    torch.testing.assert_close(Downsample(4).forward(x), want)
    pillow = Image.fromarray(x[0, 0].numpy()).resize((9, 6), Image.Resampling.BICUBIC)
    np.testing.assert_allclose(Downsample(4).forward(x)[0, 0].numpy(), np.asarray(pillow), rtol=0, atol=1e-5)
    torch.testing.assert_close(Downsample(2, "box").forward(x), torch.nn.functional.avg_pool2d(x, 2))


def test_grayscale_agrees_with_pillow() -> None:
    x = torch.randint(0, 256, (1, 3, 8, 8), dtype=torch.uint8)
    grey = Image.fromarray(x[0].permute(1, 2, 0).numpy()).convert("L")
    got = grayscale().forward(x.float())[0, 0]
    assert (got - torch.from_numpy(np.array(grey)).float()).abs().max() <= 1


def test_mosaic_measures_one_colour_per_pixel() -> None:
    x = torch.arange(3.0).reshape(1, 3, 1, 1).expand(1, 3, 3, 5)
    assert Mosaic("RGGB").forward(x)[0, 0].tolist() == [[0, 1, 0, 1, 0], [1, 2, 1, 2, 1], [0, 1, 0, 1, 0]]


def test_kernels_are_normalized_and_oriented() -> None:
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
        (lambda: Mosaic(4), "Mosaic: pattern 4, allowed: four letters"),
        (lambda: Blur(torch.ones(2, 3)), "odd height and width"),
        (lambda: Blur(np.ones((3, 3))), "Blur: kernel: found ndarray, allowed: a tensor .* torch.from_numpy converts"),
        (lambda: Blur(1.6), "Blur: kernel: found float, allowed: a tensor .* rk.gaussian_kernel"),
        (lambda: Blur(torch.full((3, 3), torch.nan)), "Blur: kernel: found values that are not finite"),
        (lambda: Blur(KERNEL, "reflect"), "boundary: found 'reflect', allowed: 'circular', 'zero', 'valid'"),
        (lambda: Downsample(1), "2 or more"),
        (lambda: Downsample(2.0), "found factor 2.0, allowed: an integer, 2 or more"),
        (lambda: Downsample("2"), "found factor 2, allowed: an integer, 2 or more"),
        (lambda: Downsample(2, "nearest"), "kind: found 'nearest', allowed: 'bicubic', 'box'"),
        (lambda: Masking(np.ones((4, 4), bool)), "Masking: found ndarray, allowed: a tensor .*; torch.from_numpy"),
        (lambda: Masking(KNOWN[0, 0]), r"found a tensor \(12, 18\), allowed: .*; known\[None, None\]"),
        (lambda: Masking(255 * KNOWN), "found values from 0 to 255, allowed: only 0 and 1, or bool"),
        (lambda: Masking(KNOWN * torch.nan), "found values from nan to nan, allowed"),
        (lambda: ColourMatrix(MATRIX.numpy()), r"ColourMatrix: found ndarray, allowed: a tensor \(K, C\); torch.from"),
        (lambda: ColourMatrix(MATRIX[0]), r"found a tensor \(3,\), allowed: \(K, C\)"),
        (lambda: ColourMatrix(MATRIX).forward(torch.zeros(1, 1, 4, 4)), r"\(1, 1, 4, 4\), allowed: \(N, 3, H, W\)"),
        (
            lambda: Composition(Identity(), torch.zeros(2)),
            "Composition: inner: found Tensor, allowed: an operator, with forw",
        ),
        (lambda: Composition(Identity, Identity()), "outer: found the class Identity, allowed: an instance of it"),
        (lambda: Downsample(3).forward(torch.zeros(1, 1, 9, 10)), "found a side of 10, allowed: multiples of 3"),
    ],
)
def test_invalid_operators_are_refused(make, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        make()


def test_composition_without_full_rank_has_a_pseudo_inverse() -> None:
    known = torch.tensor([1.0, 0.0]).reshape(1, 1, 1, 2)
    operator = Composition(Masking(known), Identity())
    y = torch.ones(1, 1, 1, 2)
    torch.testing.assert_close(operator.pinv(y), known)


def test_empty_kernels_are_refused() -> None:
    with pytest.raises(OptionError, match="found sigma 0"):
        gaussian_kernel(0)
    with pytest.raises(OptionError, match="found sigma inf"):
        gaussian_kernel(torch.inf)
    with pytest.raises(OptionError, match="found length 0"):
        motion_kernel(0, 10)
    with pytest.raises(OptionError, match=r"found length 3\.5, degrees 10, allowed: an integer"):
        motion_kernel(3.5, 10)
