"""Every check accepts valid objects and reports what is wrong with invalid ones."""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections.abc import Callable
from typing import Annotated, Any

import pytest
import torch
from torch import Tensor

import restorekit as rk
from restorekit.builtin.complete import complete
from restorekit.checks.recipes import recipe_checks
from restorekit.core.noise import ImageNoise
from restorekit.core.operators import Masking
from restorekit.plugins.discovery import recipes
from restorekit.testing import GaussianPrior, check_operator, check_prior, check_recipe, check_solver, photo


@pytest.mark.parametrize("name", ["denoise", "inpaint"])
def test_builtin_recipes_pass(name: str) -> None:
    check_recipe(recipes()[name])


@pytest.mark.parametrize("mode", ["mean", "sample"])
def test_options_are_passed_to_the_recipe(mode: str) -> None:
    check_recipe(recipes()["denoise"], GaussianPrior(0.1, 0.4), mode=mode, sigma=30, steps=3)


def test_a_recipe_with_a_required_class_passes() -> None:
    prior = GaussianPrior(0, 0.5, classes=("cat", "dog"))
    classifier = rk.NoisyClassifier(torch.nn.Identity(), torch.tensor([0.1, 1.0]), classes=("cat", "dog"), size=16)
    check_recipe(complete, prior, classifier_scale=0, refiner=GaussianPrior(0, 0.5), classifier=classifier, steps=2)


UNUSED = Annotated[int, rk.Option("Not used.")]


def make_recipe(result: Callable[..., Tensor], hint: Any = UNUSED, default: Any = 1) -> rk.Recipe:
    """Return a recipe with one option that returns result(y, prior, noise)."""

    def function(y, prior, noise, *, option=default):
        """Do something."""
        return result(y, prior, noise)

    function.__annotations__ = {"option": hint}
    return rk.recipe("example")(function)


def _add_in_place(y: Tensor) -> Tensor:
    y += 0.1
    return y


BROKEN_RECIPES = {
    "not finite": (lambda y, p, n: y / 0, "values are not finite"),
    "changes its input": (lambda y, p, n: _add_in_place(y), "the input was modified"),
    "unseeded randomness": (lambda y, p, n: y + torch.randn_like(y), "two runs with the same seed differ"),
    "batch": (lambda y, p, n: y - y.mean(), "two photos, as a batch and one by one"),
    "channels": (
        lambda y, p, n: y.expand(-1, 3, -1, -1)[:, :2],
        r"returned shape \(1, 2, 48, 48\), allowed: \(1, 3, 48, 48\)",
    ),
    "padding": (lambda y, p, n: torch.nn.functional.pad(y, (0, y.shape[-1] % 2)), r"returned shape \(1, 3, 37, 46\)"),
}


@pytest.mark.parametrize("name", BROKEN_RECIPES)
def test_a_broken_recipe_is_reported(name: str) -> None:
    result, message = BROKEN_RECIPES[name]
    with pytest.raises(AssertionError, match=message):
        check_recipe(make_recipe(result))


def test_a_recipe_that_enlarges_must_declare_its_size() -> None:
    def twice(height, width, options):
        return 2 * height, 2 * width

    recipe = make_recipe(lambda y, p, n: y.repeat_interleave(2, -1).repeat_interleave(2, -2))
    check_recipe(dataclasses.replace(recipe, size=twice))
    with pytest.raises(AssertionError, match="returned"):
        check_recipe(recipe)


def test_an_option_without_help_is_reported() -> None:
    with pytest.raises(AssertionError, match="no help; allowed: one sentence"):
        check_recipe(make_recipe(lambda y, p, n: y, Annotated[float, rk.Option(" ")], 1.0))


@pytest.mark.parametrize(("factor", "passes"), [(1.5, True), (127.5, False)])
def test_a_result_in_the_range_of_8_bits_is_reported(factor: float, passes: bool) -> None:
    recipe = make_recipe(lambda y, p, n: (y + 1) * factor)
    if passes:
        check_recipe(recipe)
        return
    with pytest.raises(AssertionError, match=r"% of the values are outside \[-2, 2\] \(mean .*allowed: images in"):
        check_recipe(recipe)


def test_values_that_are_not_finite_have_no_second_cause() -> None:
    errors = {}
    for check in recipe_checks(make_recipe(lambda y, p, n: y * float("nan"))):
        with contextlib.suppress(AssertionError):
            check.run()
            continue
        errors[check.name] = True
    assert {"photo", "grey", "odd size"} <= set(errors)
    assert not {"seed", "batch"} & set(errors)


class Shifted(Masking):
    """A wrong adjoint."""

    def adjoint(self, y: Tensor) -> Tensor:
        """Shift the result by a pixel."""
        return super().adjoint(y).roll(1, -1)


class Twice(Masking):
    """A wrong pseudo-inverse."""

    def pinv(self, y: Tensor) -> Tensor:
        """Return twice the correct value."""
        return 2 * super().pinv(y)


class Offset(Masking):
    """Not linear."""

    def forward(self, x: Tensor) -> Tensor:
        """Add one."""
        return super().forward(x) + 1


class Undamped(Masking):
    """A wrong damped solution."""

    def solve(self, y: Tensor, damping: float) -> Tensor:
        """Ignore the damping."""
        return y


@pytest.mark.parametrize(
    ("kind", "message"),
    [(Shifted, "<x, A"), (Twice, "and A x"), (Offset, "and 2 A u"), (Undamped, "and y, d = 0.01")],
)
def test_a_broken_operator_is_reported(kind: type[Masking], message: str) -> None:
    known = torch.rand(1, 1, 8, 9, generator=torch.Generator().manual_seed(0)) > 0.5
    check_operator(Masking(known), (2, 3, 8, 9))
    with pytest.raises(AssertionError, match=rf"operator {kind.__name__}: .*{message}"):
        check_operator(kind(known), (2, 3, 8, 9))


def test_an_object_that_is_not_an_operator_is_reported() -> None:
    with pytest.raises(
        AssertionError, match="operator object: not a LinearOperator; allowed: forward, adjoint, pinv, solve"
    ):
        check_operator(object(), (1, 3, 8, 8))  # type: ignore[arg-type]


class ModifiedPrior(GaussianPrior):
    """A Gaussian prior that returns result(D, x)."""

    def __init__(self, result: Callable[[Tensor, Tensor], Tensor], **facts: Any) -> None:
        super().__init__(0, 0.5, **facts)
        self.result = result

    def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        return self.result(super().__call__(x, sigma, label), x)


BROKEN_PRIORS = {
    "channels": (ModifiedPrior(lambda d, x: d, channels=2), "channels is 2, allowed: 1 or 3"),
    "shape": (ModifiedPrior(lambda d, x: d[..., : x.shape[-1] // 8 * 8]), r"shape \(1, 3, 37, 40\)"),
    "type": (ModifiedPrior(lambda d, x: d.double()), "torch.float64, allowed: torch.float32"),
    "not finite": (ModifiedPrior(lambda d, x: d * float("nan")), "not finite"),
    "changes": (ModifiedPrior(lambda d, x: d + x.zero_()), "the input was modified"),
    "batch": (ModifiedPrior(lambda d, x: d - d.mean()), "as a batch and one by one"),
    "gradients": (ModifiedPrior(lambda d, x: x + (d - x).detach()), "autograd returns"),
    "unit": (ModifiedPrior(lambda d, x: 3 * x), "error .* after denoising"),
}


@pytest.mark.parametrize("name", BROKEN_PRIORS)
def test_a_broken_prior_is_reported(name: str) -> None:
    prior, message = BROKEN_PRIORS[name]
    with pytest.raises(AssertionError, match=message):
        check_prior(prior)


def test_a_valid_prior_passes() -> None:
    check_prior(GaussianPrior(0, 0.5, classes=("a",)))
    check_prior(ModifiedPrior(lambda d, x: d, levels=(1.0, 0.2)))
    check_prior(ModifiedPrior(lambda d, x: 3 * x), trained=False)
    check_prior(ModifiedPrior(lambda d, x: d.detach()))


def test_an_object_that_is_not_a_prior_is_reported() -> None:
    with pytest.raises(AssertionError, match="prior function: found no info, allowed: an attribute info"):
        check_prior(test_an_object_that_is_not_a_prior_is_reported)  # type: ignore[arg-type]


def _pigdm(prior, operator, y, sigma_y, noise, *, steps: int):
    """Song et al."""
    return rk.solve_pigdm(prior, operator, y, sigma_y, noise, steps=steps)


GOOD = rk.Solver("pigdm", "Song et al. 2023", _pigdm, needs=("gradients",))


def _with(change: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    def solve(prior, operator, y, sigma_y, noise, *, steps: int):
        """Song et al., with an error."""
        return change(_pigdm(prior, operator, y, sigma_y, noise, steps=steps), y)

    return solve


def _undocumented(prior, operator, y, sigma_y, noise, *, steps: int):
    return operator.pinv(y)


BROKEN_SOLVERS = {
    "undocumented": ({"solve": _undocumented}, "solve.. has no docstring"),
    "paper": ({"paper": ""}, "paper is empty"),
    "gradients": ({"needs": ()}, "differentiates the prior; allowed only with needs="),
    "ignores y": ({"solve": _with(lambda x, y: 0 * x)}, "relative residual 1, allowed: 0.5"),
    "shape": ({"solve": _with(lambda x, y: x[..., 1:])}, r"shape \(1, 3, 24, 23\)"),
    "changes": ({"solve": _with(lambda x, y: x + 0 * y.mul_(1.01).mean())}, "the measurement was modified"),
    "randomness": ({"solve": _with(lambda x, y: x + 1e-3 * torch.randn_like(x))}, "two results differ"),
    "batch": ({"solve": _with(lambda x, y: x - 0.1 * x.mean())}, "as a batch and one by one"),
    "evaluations": (
        {"evaluations": lambda steps: 2 * steps},
        "found 20 evaluations in 20 steps, but `evaluations` states 40",
    ),
}


@pytest.mark.parametrize("name", BROKEN_SOLVERS)
def test_a_broken_solver_is_reported(name: str) -> None:
    changes, message = BROKEN_SOLVERS[name]
    with pytest.raises(AssertionError, match=f"solver pigdm.*{message}"):
        check_solver(dataclasses.replace(GOOD, **changes))


def test_a_valid_solver_passes() -> None:
    check_solver(GOOD)
    check_solver(dataclasses.replace(GOOD, needs=("gradients", "noise-free")))


def test_posterior_mean_of_a_gaussian_prior_agrees_with_the_closed_form() -> None:
    """Known pixels are weighted means of y and the mean of the prior; unknown pixels are the mean of the prior."""
    prior, known = GaussianPrior(0.2, 0.5), torch.rand(1, 1, 4, 5) > 0.5
    y = Masking(known).forward(ImageNoise([0]).like(torch.empty(1, 3, 4, 5)))
    expected = torch.where(known, (0.25 * y + 0.01 * 0.2) / 0.26, 0.2)
    torch.testing.assert_close(prior.posterior_mean(Masking(known), y, 0.1), expected)


def test_sample_photo_spans_the_full_range() -> None:
    x = photo(40, 50, 1)
    assert x.shape == (1, 1, 40, 50)
    assert -1 <= float(x.min()) < -0.5 < 0.5 < float(x.max()) <= 1


def test_notes_of_a_recipe_do_not_fail_a_check() -> None:
    def warn(y, prior, noise):
        warnings.warn(rk.RestorekitWarning("note"), stacklevel=2)
        return y

    check_recipe(make_recipe(warn))
