"""Every check passes what is right and names what is not."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from typing import Annotated, Any, Literal

import pytest
import torch
from torch import Tensor

import restorekit as rk
from restorekit.builtin.complete import complete
from restorekit.core.noise import ImageNoise
from restorekit.core.operators import Masking
from restorekit.plugins import recipes
from restorekit.testing import GaussianPrior, check_operator, check_prior, check_recipe, check_solver, photo


@pytest.mark.parametrize("name", ["denoise", "inpaint"])
def test_restorekits_own_recipes_pass(name: str) -> None:
    check_recipe(recipes()[name])


@pytest.mark.parametrize("mode", ["mean", "sample"])
def test_options_are_passed_on(mode: str) -> None:
    check_recipe(recipes()["denoise"], GaussianPrior(0.1, 0.4), mode=mode, sigma=30, steps=3)


def test_a_recipe_with_a_class_gets_one() -> None:
    prior = GaussianPrior(0, 0.5, classes=("cat", "dog"))
    check_recipe(complete, prior, guidance=0, refiner=GaussianPrior(0, 0.5), classifier=None, steps=2)


UNUSED = Annotated[int, rk.Option("Not used.")]


def made(answer: Callable[..., Tensor], hint: Any = UNUSED, default: Any = 1) -> rk.Recipe:
    """A recipe that answers so, with one option."""

    def function(y, prior, noise, *, option=default):
        """Do something."""
        return answer(y, prior, noise)

    function.__annotations__ = {"option": hint}
    return rk.recipe("made")(function)


def _changed(y: Tensor) -> Tensor:
    y += 0.1
    return y


BROKEN_RECIPES = {
    "not finite": (lambda y, p, n: y / 0, "values are not finite"),
    "changes its input": (lambda y, p, n: _changed(y), "the photo itself was changed"),
    "own randomness": (lambda y, p, n: y + torch.randn_like(y), "two runs of one seed differ"),
    "batch": (lambda y, p, n: y - y.mean(), "two photos, together and one by one"),
    "channels": (
        lambda y, p, n: y.expand(-1, 3, -1, -1)[:, :2],
        r"returned \(1, 2, 48, 48\), allowed for its photo: \(1, 3, 48, 48\)",
    ),
    "padding": (lambda y, p, n: torch.nn.functional.pad(y, (0, y.shape[-1] % 2)), r"returned \(1, 3, 37, 46\)"),
}


@pytest.mark.parametrize("name", BROKEN_RECIPES)
def test_a_broken_recipe_is_named(name: str) -> None:
    answer, message = BROKEN_RECIPES[name]
    with pytest.raises(AssertionError, match=message):
        check_recipe(made(answer))


def test_an_enlarging_recipe_passes() -> None:
    def twice(height, width, options):
        return 2 * height, 2 * width

    recipe = made(lambda y, p, n: y.repeat_interleave(2, -1).repeat_interleave(2, -2))
    check_recipe(dataclasses.replace(recipe, size=twice))
    with pytest.raises(AssertionError, match="returned"):
        check_recipe(recipe)


@pytest.mark.parametrize(
    ("hint", "default", "message"),
    [
        (Annotated[float, rk.Option("Much.", max=1)], 2.0, "its default is 2.0, allowed: a number to 1"),
        (Annotated[int, rk.Option("Much.")], 2.5, "its default is 2.5, allowed: a whole number"),
        (Annotated[Literal["a", "b"], rk.Option("Which.")], "c", "its default is 'c', allowed: a, b"),
        (Annotated[float | Literal["auto"], rk.Option("Much.")], "best", "its default is 'best'"),
        (Annotated[bool, rk.Option("Whether.")], 1, "its default is 1, allowed: true or false"),
        (Annotated[float, rk.Option(" ")], 1.0, "has no help"),
    ],
)
def test_an_option_that_contradicts_itself_is_named(hint: Any, default: Any, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_recipe(made(lambda y, p, n: y, hint, default))


class Shifted(Masking):
    """An adjoint that is another operator's, a pseudo-inverse that is none, an offset."""

    def adjoint(self, y: Tensor) -> Tensor:
        """Moved by a pixel."""
        return super().adjoint(y).roll(1, -1)


class Twice(Masking):
    """A pseudo-inverse that is none."""

    def pinv(self, y: Tensor) -> Tensor:
        """Twice too much."""
        return 2 * super().pinv(y)


class Offset(Masking):
    """Not linear."""

    def forward(self, x: Tensor) -> Tensor:
        """One more."""
        return super().forward(x) + 1


class Undamped(Masking):
    """A damped solution without damping."""

    def solve(self, y: Tensor, damping: float) -> Tensor:
        """As without damping."""
        return y


@pytest.mark.parametrize(
    ("kind", "message"),
    [(Shifted, "<x, A"), (Twice, "beside A x"), (Offset, "beside 2 A u"), (Undamped, "beside y, d = 0.01")],
)
def test_a_broken_operator_is_named(kind: type[Masking], message: str) -> None:
    known = torch.rand(1, 1, 8, 9, generator=torch.Generator().manual_seed(0)) > 0.5
    check_operator(Masking(known), (2, 3, 8, 9))
    with pytest.raises(AssertionError, match=rf"operator {kind.__name__}: .*{message}"):
        check_operator(kind(known), (2, 3, 8, 9))


def test_what_is_no_operator_is_named() -> None:
    with pytest.raises(AssertionError, match="operator object: allowed: forward, adjoint, pinv and solve"):
        check_operator(object(), (1, 3, 8, 8))  # type: ignore[arg-type]


class Other(GaussianPrior):
    """A Gaussian prior with something in D's place."""

    def __init__(self, answer: Callable[[Tensor, Tensor], Tensor], **facts: Any) -> None:
        super().__init__(0, 0.5)
        self.answer = answer
        self.__dict__.update(facts)

    def __call__(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        return self.answer(super().__call__(x, sigma, label), x)


BROKEN_PRIORS = {
    "no facts": (Other(lambda d, x: d, sigma_min=0.0), "sigma_min 0.0, sigma_max 80.0; allowed: 0 <"),
    "levels": (Other(lambda d, x: d, levels=torch.tensor([0.1, 1.0])), "allowed: positive, decreasing"),
    "shape": (Other(lambda d, x: d[..., : x.shape[-1] // 8 * 8]), r"shape \(1, 3, 37, 40\)"),
    "type": (Other(lambda d, x: d.double()), "torch.float64, allowed: torch.float32"),
    "not finite": (Other(lambda d, x: d * float("nan")), "not finite"),
    "changes": (Other(lambda d, x: d + x.zero_()), "its input was changed"),
    "batch": (Other(lambda d, x: d - d.mean()), "together and one by one"),
    "gradients": (Other(lambda d, x: x + (d - x).detach()), "autograd says"),
    "unit": (Other(lambda d, x: 3 * x), "became an error of"),
}


@pytest.mark.parametrize("name", BROKEN_PRIORS)
def test_a_broken_prior_is_named(name: str) -> None:
    prior, message = BROKEN_PRIORS[name]
    with pytest.raises(AssertionError, match=message):
        check_prior(prior)


def test_a_good_prior_passes_and_an_untrained_one_too() -> None:
    check_prior(GaussianPrior(0, 0.5, classes=("a",)))
    check_prior(Other(lambda d, x: d, levels=torch.tensor([1.0, 0.2])))
    check_prior(Other(lambda d, x: 3 * x), trained=False)
    check_prior(Other(lambda d, x: d.detach()))


def test_what_is_no_prior_is_named() -> None:
    with pytest.raises(AssertionError, match="prior function: has no channels, size"):
        check_prior(test_what_is_no_prior_is_named)  # type: ignore[arg-type]


def _pigdm(prior, operator, y, sigma_y, noise, *, steps: int):
    """Song et al."""
    return rk.solve_pigdm(prior, operator, y, sigma_y, noise, steps=steps)


GOOD = rk.Solver("pigdm", "Song et al. 2023", _pigdm, needs=("gradients",))


def _with(change: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    def solve(prior, operator, y, sigma_y, noise, *, steps: int):
        """Song et al., spoilt."""
        return change(_pigdm(prior, operator, y, sigma_y, noise, steps=steps), y)

    return solve


def _undocumented(prior, operator, y, sigma_y, noise, *, steps: int):
    return operator.pinv(y)


BROKEN_SOLVERS = {
    "undocumented": ({"solve": _undocumented}, "solve.. has no docstring"),
    "paper": ({"paper": ""}, "paper is empty"),
    "gradients": ({"needs": ()}, "takes gradients; allowed: needs="),
    "deaf": ({"solve": _with(lambda x, y: 0 * x)}, "leaves 100% of y unexplained"),
    "shape": ({"solve": _with(lambda x, y: x[..., 1:])}, r"shape \(1, 3, 24, 23\)"),
    "changes": ({"solve": _with(lambda x, y: x + 0 * y.mul_(1.01).mean())}, "the measurement was changed"),
    "randomness": ({"solve": _with(lambda x, y: x + 1e-3 * torch.randn_like(x))}, "two answers differ"),
    "batch": ({"solve": _with(lambda x, y: x - 0.1 * x.mean())}, "together and one by one"),
    "evaluations": ({"evaluations": lambda steps: 2 * steps}, "20 evaluations in 20 steps, stated: 40"),
}


@pytest.mark.parametrize("name", BROKEN_SOLVERS)
def test_a_broken_solver_is_named(name: str) -> None:
    changes, message = BROKEN_SOLVERS[name]
    with pytest.raises(AssertionError, match=f"solver pigdm.*{message}"):
        check_solver(dataclasses.replace(GOOD, **changes))


def test_a_good_solver_passes() -> None:
    check_solver(GOOD)
    check_solver(dataclasses.replace(GOOD, needs=("gradients", "noise-free")))


def test_the_posterior_mean_of_a_gaussian_prior() -> None:
    """Seen pixels are weighted means of y and the prior's mean; hidden ones are the prior's mean."""
    prior, known = GaussianPrior(0.2, 0.5), torch.rand(1, 1, 4, 5) > 0.5
    y = Masking(known).forward(ImageNoise([0]).like(torch.empty(1, 3, 4, 5)))
    wanted = torch.where(known, (0.25 * y + 0.01 * 0.2) / 0.26, 0.2)
    torch.testing.assert_close(prior.posterior_mean(Masking(known), y, 0.1), wanted)


def test_the_photo_is_a_photo() -> None:
    x = photo(40, 50, 1)
    assert x.shape == (1, 1, 40, 50)
    assert -1 <= float(x.min()) < -0.5 < 0.5 < float(x.max()) <= 1


def test_notes_of_a_recipe_are_no_warnings_of_a_check() -> None:
    def noting(y, prior, noise):
        warnings.warn(rk.RestorekitWarning("noted"), stacklevel=2)
        return y

    check_recipe(made(noting))
