"""Solvers that also accept the name of a prior."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from torch import Tensor, nn

from restorekit.core.denoiser import Denoiser
from restorekit.core.logits import check_pixels
from restorekit.errors import ModelError
from restorekit.models.registry import PRIORS, load_prior
from restorekit.sampling import solvers

P = ParamSpec("P")
R = TypeVar("R")


def with_names(function: Callable[Concatenate[Denoiser, P], R]) -> Callable[Concatenate[Denoiser | str | Path, P], R]:
    """Return a function whose first argument, a prior, may also be what `load_prior` accepts.

    A prior that is loaded is moved to the device of the first tensor among the other arguments.
    """

    @functools.wraps(function)
    def named(prior: Denoiser | str | Path, *args: P.args, **kwargs: P.kwargs) -> R:
        if isinstance(prior, str | Path):
            prior = load_prior(prior)
            tensor = next((value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)), None)
            if tensor is not None and isinstance(prior, nn.Module):
                prior.to(tensor.device)
        if not isinstance(prior, Denoiser):
            raise ModelError(f"{function.__name__}: the prior is a {type(prior).__name__}, allowed: {PRIORS}")
        check_pixels(prior.info, function.__name__)
        return function(prior, *args, **kwargs)

    return named  # type: ignore[return-value]  # the first parameter may also be passed by name


solve_ddnm = with_names(solvers.solve_ddnm)
solve_ddnm_plus = with_names(solvers.solve_ddnm_plus)
solve_ddrm = with_names(solvers.solve_ddrm)
solve_diffpir = with_names(solvers.solve_diffpir)
solve_dpir = with_names(solvers.solve_dpir)
solve_dps = with_names(solvers.solve_dps)
solve_langevin = with_names(solvers.solve_langevin)
solve_pigdm = with_names(solvers.solve_pigdm)
solve_repaint = with_names(solvers.solve_repaint)
