"""Test helpers for plugin authors; `restorekit plugins doctor` runs the same checks. pytest is not required.

    from restorekit.testing import check_recipe

    def test_my_recipe() -> None:
        check_recipe(my_recipe)

Every check raises AssertionError with one line that states what was found and what is allowed.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from unittest import mock

from restorekit.checks.checks import Check as Check
from restorekit.checks.gaussian import GaussianPrior as GaussianPrior
from restorekit.checks.operators import check_operator as check_operator
from restorekit.checks.operators import operator_checks as operator_checks
from restorekit.checks.photos import photo as photo
from restorekit.checks.priors import check_prior as check_prior
from restorekit.checks.priors import prior_checks as prior_checks
from restorekit.checks.recipes import check_recipe as check_recipe
from restorekit.checks.recipes import recipe_checks as recipe_checks
from restorekit.checks.solvers import check_solver as check_solver
from restorekit.checks.solvers import solver_checks as solver_checks
from restorekit.core.denoiser import Denoiser

__all__ = [
    "Check",
    "GaussianPrior",
    "check_operator",
    "check_prior",
    "check_recipe",
    "check_solver",
    "operator_checks",
    "photo",
    "prior_checks",
    "recipe_checks",
    "run_command",
    "solver_checks",
]


def run_command(*words: object, prior: Denoiser | None = None) -> tuple[int, str, str]:
    """Run `restorekit WORDS` in this process and return (exit code, standard output, standard error).

    prior: used instead of any prior that the command loads.
    """
    from restorekit.cli import app

    out, err = io.StringIO(), io.StringIO()
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(sys, "argv", ["restorekit", *map(str, words)]))
        stack.enter_context(mock.patch.dict(os.environ, {"COLUMNS": "200"}))
        if prior is not None:
            stack.enter_context(mock.patch("restorekit.models.registry.load_prior", return_value=prior))
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(err))
        try:
            app.main()
        except SystemExit as error:
            code = error.code
        else:
            code = 0
    return int(code or 0), out.getvalue(), err.getvalue()
