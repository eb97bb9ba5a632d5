"""Identities that every operator must keep."""

import pytest
import torch

from restorekit.core.operators import Identity, LinearOperator, Masking

KNOWN = torch.rand(1, 1, 7, 9, generator=torch.Generator().manual_seed(0)) > 0.4
OPERATORS = {"identity": Identity(), "masking": Masking(KNOWN)}


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("channels", [1, 3])
def test_adjoint_and_pseudo_inverse(name: str, channels: int) -> None:
    operator = OPERATORS[name]
    assert isinstance(operator, LinearOperator)
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(2, channels, 7, 9, generator=draw, dtype=torch.float64)
    ax = operator.forward(x)
    y = torch.randn(ax.shape, generator=draw, dtype=torch.float64)
    torch.testing.assert_close((ax * y).sum(), (x * operator.adjoint(y)).sum())
    torch.testing.assert_close(operator.forward(operator.pinv(ax)), ax)
    torch.testing.assert_close(operator.pinv(operator.forward(operator.pinv(y))), operator.pinv(y))


def test_masking_keeps_what_is_known() -> None:
    x = torch.randn(1, 3, 7, 9)
    got = Masking(KNOWN).forward(x)
    known = KNOWN.expand_as(x)
    assert torch.equal(got[known], x[known])
    assert not got[~known].any()
