from __future__ import annotations

import pytest
import torch

import restorekit as rk
from restorekit.builtin.inpaint import inpaint
from restorekit.core.logits import LAMBDA, from_logits, to_logits
from restorekit.errors import ModelError
from restorekit.run.engine import make_engine
from restorekit.run.runner import Runner
from restorekit.testing import GaussianPrior
from tests import golden


def test_logits_agree_with_ncsn() -> None:
    want = golden.load("ncsn_sigmas_and_preprocessing")
    want.agrees("output.logit_transform", to_logits(2 * want["input.image"] - 1))


def test_images_of_logits_are_the_inverse() -> None:
    x = torch.linspace(-1, 1, 256).reshape(1, 1, 16, 16)
    torch.testing.assert_close(from_logits(to_logits(x)), x, rtol=0, atol=1e-6)
    assert to_logits(x).abs().max() < 14
    far = torch.tensor([-100.0, 0.0, 100.0])
    assert from_logits(far).tolist() == [-1, 0, 1]
    u = (from_logits(to_logits(x)) + 1) / 2
    torch.testing.assert_close(u, to_logits(x).sigmoid(), rtol=0, atol=2 * LAMBDA)


def test_prior_of_logits_is_refused_for_restoration() -> None:
    prior = GaussianPrior(logits=True)
    with pytest.raises(ModelError, match=r"the prior denoises logits of images .*allowed: .*restorekit sample"):
        Runner(inpaint, prior, {"mask": torch.zeros(1, 1, 8, 8)}, make_engine("cpu"))
    operator, y = rk.Masking(torch.ones(1, 1, 8, 8, dtype=torch.bool)), torch.zeros(1, 3, 8, 8)
    with pytest.raises(ModelError, match=r"solve_ddnm: the prior denoises logits"):
        rk.solve_ddnm(prior, operator, y, 0.0, rk.ImageNoise([0]), steps=2)
