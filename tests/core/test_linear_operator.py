import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import restorekit as rk
from restorekit.core.linear_operator import TORCH_ONLY
from restorekit.core.noise import ImageNoise
from restorekit.errors import OptionError
from restorekit.sampling.solvers import SOLVERS
from restorekit.testing import GaussianPrior, check_operator

SHAPE = (3, 8, 12)
KERNEL = torch.arange(9.0).reshape(1, 1, 3, 3).repeat(3, 1, 1, 1) / 36


def blur(x: Tensor) -> Tensor:
    """Blur and take every second column; rank-deficient."""
    return F.conv2d(x, KERNEL.to(x), padding=1, groups=3)[..., ::2]


def blur_adjoint(y: Tensor) -> Tensor:
    large = y.new_zeros(*y.shape[:-1], 12)
    large[..., ::2] = y
    return F.conv_transpose2d(large, KERNEL.to(y), padding=1, groups=3)


def sums(x: Tensor) -> Tensor:
    """Sums of rows and of columns: a measurement that is no image."""
    return torch.cat([x.sum(-1).flatten(1), x.sum(-2).flatten(1)], 1)


@pytest.mark.parametrize(
    "operator",
    [
        rk.linear_operator(blur, blur_adjoint),
        rk.linear_operator(blur, blur_adjoint, shape=SHAPE),
        rk.linear_operator(blur, shape=SHAPE),
        rk.linear_operator(sums, shape=SHAPE),
    ],
)
def test_operators_of_functions_satisfy_the_identities(operator: rk.LinearOperator) -> None:
    check_operator(operator, (2, *SHAPE))


def test_adjoint_by_autograd_is_the_adjoint_also_without_gradients() -> None:
    y = torch.randn(2, 3, 8, 6)
    with torch.no_grad():
        found = rk.linear_operator(blur, shape=SHAPE).adjoint(y)
    torch.testing.assert_close(found, blur_adjoint(y))


@pytest.mark.parametrize("solver", [s for s in SOLVERS if "svd" not in s.needs], ids=lambda s: s.name)
def test_every_solver_without_svd_takes_an_operator_of_a_function(solver: rk.Solver) -> None:
    prior, x = GaussianPrior(std=0.5, sigma_max=2), torch.rand(1, *SHAPE) - 0.5
    results = [
        solver.solve(prior, operator, sums(x), 0.0, ImageNoise([0]), steps=3)
        for operator in (rk.linear_operator(sums, shape=SHAPE), rk.linear_operator(sums, _sums_adjoint))
    ]
    assert results[0].shape == x.shape
    torch.testing.assert_close(*results, rtol=1e-3, atol=1e-3)


def _sums_adjoint(y: Tensor) -> Tensor:
    rows, columns = y[:, :24].reshape(-1, 3, 8, 1), y[:, 24:].reshape(-1, 3, 1, 12)
    return rows.expand(-1, -1, -1, 12) + columns.expand(-1, -1, 8, -1)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((blur,), {}, r"adjoint and shape are missing; allowed: adjoint, or shape=\(C, H, W\)"),
        ((blur,), {"shape": (8, 12)}, r"found shape \(8, 12\), allowed: \(C, H, W\)"),
        ((lambda x: x + 1,), {"shape": SHAPE}, "forward is not linear"),
        ((lambda x: x.clamp(-1, 1),), {"shape": SHAPE}, "forward is not linear"),
        ((blur, lambda y: 2 * blur_adjoint(y)), {"shape": SHAPE}, "adjoint is wrong: <A u, y> = "),
        ((lambda x: x - x.mean(0, keepdim=True) / 2,), {"shape": SHAPE}, "forward mixes the images of a batch"),
        ((lambda x: x.flip(0),), {"shape": SHAPE}, "forward mixes the images of a batch"),
        ((lambda x: torch.from_numpy(x.numpy() / 2),), {"shape": SHAPE}, f"the adjoint by .*Can't call.*{TORCH_ONLY}"),
        ((lambda x: x.detach() / 2,), {"shape": SHAPE}, f"adjoint is wrong: .*; {TORCH_ONLY}"),
        ((torch.fft.rfft2,), {"shape": SHAPE}, r"forward returned complex numbers, allowed: torch.view_as_real\("),
        ((lambda x: None,), {"shape": SHAPE}, r"forward returned NoneType, allowed: a tensor \(N, ...\) of floats"),
        ((lambda x: (x, x),), {"shape": SHAPE}, "forward returned tuple, allowed: "),
        ((lambda x: x.sum(),), {"shape": SHAPE}, r"forward returned a tensor \(\), allowed: "),
        ((lambda x: x > 0,), {"shape": SHAPE}, r"forward returned a tensor of torch.bool, allowed: "),
        ((lambda x: x * torch.nan,), {"shape": SHAPE}, "forward returned values that are not finite"),
        ((lambda x: x.undefined,), {"shape": SHAPE}, r"forward failed for \(1, 3, 8, 12\) \(AttributeError: "),
        ((blur, lambda y: y.undefined), {"shape": SHAPE}, r"adjoint failed for \(1, 3, 8, 6\) \(Attr[^)]*\)$"),
        ((KERNEL,), {"shape": SHAPE}, "forward: found Tensor, allowed: a function of a tensor"),
        ((blur, 2), {}, "adjoint: found int, allowed: a function of a tensor"),
        ((blur,), {"shape": 32}, r"found shape 32, allowed: \(C, H, W\)"),
        ((blur,), {"shape": (3, 8.0, 12)}, r"found shape \(3, 8.0, 12\), allowed: "),
        ((blur, lambda y: y), {"shape": SHAPE}, r"A\^T y has the shape \(1, 3, 8, 6\), allowed: \(1, 3, 8, 12\)"),
    ],
)
def test_functions_that_are_no_linear_operator_are_refused(arguments, options, message) -> None:
    with pytest.raises(OptionError, match=f"^linear_operator: {message}"):
        rk.linear_operator(*arguments, **options)


def masked_in_place(x: Tensor) -> Tensor:
    x[..., ::4, :] = 0
    x *= 0.5
    return x


@pytest.mark.parametrize("arguments", [(masked_in_place,), (masked_in_place, masked_in_place)])
def test_functions_may_modify_their_argument(arguments) -> None:
    operator, x = rk.linear_operator(*arguments, shape=SHAPE), torch.rand(2, *SHAPE)
    before = x.clone()
    check_operator(operator, (2, *SHAPE))
    operator.adjoint(operator.forward(x))
    assert torch.equal(x, before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_results_are_converted_to_the_dtype_of_x(dtype: torch.dtype) -> None:
    operator = rk.linear_operator(lambda x: 0.5 * x.to(dtype), shape=SHAPE)
    y = operator.forward(torch.ones(1, *SHAPE))
    assert y.dtype == operator.adjoint(y).dtype == torch.float32


def test_solvers_with_gradients_use_the_adjoint_of_functions_of_numpy() -> None:
    def scale(x: Tensor) -> Tensor:
        return torch.from_numpy(0.5 * x.numpy())

    x = torch.rand(1, *SHAPE)
    results = [
        rk.solve_dps(GaussianPrior(), operator, 0.5 * x, 0.0, ImageNoise([0]), steps=3)
        for operator in (rk.linear_operator(scale, scale), rk.linear_operator(lambda x: 0.5 * x, shape=SHAPE))
    ]
    torch.testing.assert_close(*results)


class Simple:
    """An operator without pinv and solve."""

    def forward(self, x: Tensor) -> Tensor:
        return x

    def adjoint(self, y: Tensor) -> Tensor:
        return y


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("dpir", "solve"),
        ("diffpir", "solve"),
        ("pigdm", "solve"),
        ("ddnm", "pinv"),
        ("repaint", "pinv"),
        ("langevin", "pinv"),
    ],
)
def test_solvers_name_the_helper_for_methods_that_are_missing(name: str, method: str) -> None:
    arguments = GaussianPrior(), Simple(), torch.zeros(1, 3, 4, 4), 0.0, ImageNoise([0])
    with pytest.raises(OptionError, match=rf"^{name}: this Simple has no {method}; rk.linear_operator\(forward, adj"):
        rk.solvers()[name].solve(*arguments, steps=2)
    rk.solvers()["dps"].solve(*arguments, steps=2)
