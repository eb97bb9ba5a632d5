"""Checks for what plugins bring; `restorekit plugins doctor` runs the same. Needs no pytest.

    from restorekit.testing import check_recipe

    def test_my_recipe() -> None:
        check_recipe(my_recipe)

Every check raises AssertionError with one line: what was found, what is allowed.
"""

from restorekit.testing.checks import Check as Check
from restorekit.testing.command import run_command as run_command
from restorekit.testing.gaussian import GaussianPrior as GaussianPrior
from restorekit.testing.operators import check_operator as check_operator
from restorekit.testing.operators import operator_checks as operator_checks
from restorekit.testing.photos import photo as photo
from restorekit.testing.priors import check_prior as check_prior
from restorekit.testing.priors import prior_checks as prior_checks
from restorekit.testing.recipes import check_recipe as check_recipe
from restorekit.testing.recipes import recipe_checks as recipe_checks
from restorekit.testing.solvers import check_solver as check_solver
from restorekit.testing.solvers import solver_checks as solver_checks

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
