"""Wrong arguments of solvers are refused with one line, before the prior is evaluated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import restorekit as rk
from restorekit.checks.gaussian import GaussianPrior
from restorekit.core.noise import ImageNoise
from restorekit.errors import OptionError, RestorekitWarning
from restorekit.sampling.solvers import SOLVERS

Y = torch.zeros(1, 3, 4, 4)
NOISE = ImageNoise([0])
OPERATOR = "allowed: an operator, with forward and adjoint"
NUMBER = "allowed: a finite number, 0 or more"
LADDER = "allowed: a tensor of two or more sigmas, decreasing"


def solve(solver: rk.Solver, **changes: Any) -> torch.Tensor:
    values = {"operator": rk.Identity(), "y": Y, "sigma_y": 0.0, "noise": NOISE, "steps": 2, **changes}
    return solver.solve(values.pop("prior", GaussianPrior()), **values)


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda s: s.name)
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"operator": Y, "y": rk.Identity()}, f"operator: found Tensor, {OPERATOR}"),
        ({"operator": rk.Identity}, r"operator: found the class Identity, allowed: an instance of it, Identity\("),
        ({"operator": lambda x: x}, f"operator: found function, {OPERATOR}.*; rk.linear_operator makes an operator"),
        ({"operator": None}, f"operator: found NoneType, {OPERATOR}"),
        ({"y": Y.numpy()}, r"y: found ndarray, allowed: a tensor .*; torch.from_numpy converts"),
        ({"y": "photo.png"}, "y: found str, allowed: a tensor"),
        ({"y": Y.byte()}, r"y: found a tensor of torch.uint8, allowed: floats; y / 127\.5 - 1 converts"),
        ({"y": Y + 0j}, r"y: found a tensor of torch.complex64, allowed: floats; torch.view_as_real converts"),
        ({"y": Y + torch.nan}, "y: found values that are not finite"),
        ({"y": Y[0, 0, 0]}, r"y: found a tensor \(4,\), allowed: \(N, \.\.\.\)"),
        ({"y": Y[0]}, r"noise: found 1 seeds, allowed: 3, .*; y\[None\] adds N"),
        ({"sigma_y": "2"}, f"sigma_y: found '2', {NUMBER}"),
        ({"sigma_y": None}, f"sigma_y: found None, {NUMBER}"),
        ({"sigma_y": Y}, f"sigma_y: found Tensor, {NUMBER}"),
        ({"sigma_y": -1}, f"sigma_y: found -1, {NUMBER}"),
        ({"sigma_y": NOISE, "noise": 0.1}, f"sigma_y: found <.*, {NUMBER}"),
        ({"noise": 0}, r"noise: found int, allowed: rk.ImageNoise\(seeds\), one seed for each image of y"),
        ({"noise": ImageNoise}, r"noise: found type, allowed: rk.ImageNoise\(seeds\)"),
        ({"noise": ImageNoise([0, 1])}, "noise: found 2 seeds, allowed: 1, one for each image of y"),
        ({"steps": 2.5}, r"steps: found 2\.5, allowed: an integer, 1 or more"),
        ({"steps": "2"}, "steps: found '2', allowed: an integer, 1 or more"),
        ({"sigma_max": 0}, "sigma_max: found 0, allowed: a number above 0, or None"),
        ({"ladder": torch.tensor([0.5])}, rf"ladder: found \[0\.5\], {LADDER}"),
        ({"ladder": [0.1, 0.5, 0.0]}, rf"ladder: found \[0\.1, 0\.5, 0\.0\], {LADDER}"),
        ({"ladder": torch.ones(2, 2)}, rf"ladder: found a tensor \(2, 2\), {LADDER}"),
        ({"ladder": np.array([0.5, 0.0])}, f"ladder: found ndarray, {LADDER}.*; torch.from_numpy"),
        ({"start": np.zeros((1, 3, 4, 4))}, r"start: found ndarray, allowed: a tensor \(N, C, H, W\)"),
        ({"start": Y[0]}, r"start or A\^T y: found \(3, 4, 4\), allowed: \(N, C, H, W\)"),
    ],
)
def test_wrong_arguments_are_refused(solver: rk.Solver, changes: dict[str, Any], message: str) -> None:
    prior = GaussianPrior()
    with pytest.raises(OptionError, match=f"^{message}"):
        solve(solver, prior=prior, **changes)
    assert not prior.seen


@pytest.mark.parametrize("name", ["dpir", "dps", "ddrm", "langevin"])
def test_a_sigma_y_in_grey_levels_is_noted(name: str) -> None:
    with pytest.warns(RestorekitWarning, match=r"^sigma_y: found 25; .* one grey level .* is 2 / 255"):
        solve(rk.solvers()[name], sigma_y=25)


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda s: s.name)
def test_a_ladder_may_be_a_list(solver: rk.Solver) -> None:
    results = [solve(solver, ladder=ladder, noise=ImageNoise([0])) for ladder in ([0.5, 0], torch.tensor([0.5, 0]))]
    torch.testing.assert_close(*results)
