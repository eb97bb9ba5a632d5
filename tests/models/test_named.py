import pytest
import torch

import restorekit as rk
from restorekit.core.noise import ImageNoise
from restorekit.errors import ModelError
from restorekit.sampling.solvers import SOLVERS
from tests.models.small import small_model


def test_solvers_accept_names_and_paths(tmp_path) -> None:
    path, y = small_model(tmp_path), torch.zeros(1, 3, 16, 16)
    arguments = rk.Identity(), y, 0.1, ImageNoise([0])
    by_path, by_prior = (rk.solve_dpir(prior, *arguments, steps=2) for prior in (path, rk.load_prior(path)))
    assert torch.equal(by_path, by_prior)
    assert rk.solve_dpir.__doc__ == rk.solver_named("dpir").solve.__doc__
    with pytest.raises(ModelError, match=r"ddpm-photo"):
        rk.solve_dpir("ddpm-phot", *arguments, steps=2)
    with pytest.raises(ModelError, match=r"solve_dpir: the prior is a int, allowed: a Denoiser, a name or a path; "):
        rk.solve_dpir(25, *arguments, steps=2)  # type: ignore[arg-type]


def test_every_public_solver_accepts_names() -> None:
    for solver in SOLVERS:
        function = getattr(rk, f"solve_{solver.name.replace('-', '_')}")
        assert function.__wrapped__ is solver.solve
