from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import pytest

from restorekit.core.options import ImageOption, JpegTables, ModelOption, Option, SolverOption
from restorekit.core.recipe import recipe
from restorekit.errors import OptionError

if TYPE_CHECKING:
    from torch import Tensor


@recipe("a-recipe", samples=True)
def a_recipe(
    y,
    prior,
    noise,
    *,
    mask: Annotated[Tensor, ImageOption("A mask.")],
    level: Annotated[float | Literal["auto"], Option("A level.", min=0, max=9)] = "auto",
    count: Annotated[int, Option("A count.", min=1)] = 3,
    mode: Annotated[Literal["a", "b"], Option("A mode.")] = "a",
    fast: Annotated[bool, Option("A switch.")] = False,
):
    """Do something.

    And more.
    """
    return level, count, mode, fast


def test_options_are_read_from_annotations_with_unimported_types() -> None:
    assert [p.name for p in a_recipe.side_images] == ["mask"]
    assert [(p.name, p.kind, p.words) for p in a_recipe.options] == [
        ("level", float, ("auto",)),
        ("count", int, ()),
        ("mode", str, ("a", "b")),
        ("fast", bool, ()),
    ]
    assert a_recipe.doc.splitlines()[0] == "Do something."


def test_values_are_validated_and_defaults_filled_in() -> None:
    values = a_recipe.validate({"mask": 1})
    assert values.options == {"level": "auto", "count": 3, "mode": "a", "fast": False}
    assert values.side_images == {"mask": 1}
    assert a_recipe.validate({"mask": 1, "level": "0", "count": "5"}).options["level"] == 0.0


def test_an_option_may_be_named_noise() -> None:
    @recipe("named")
    def named(y, prior, noise, *, noise_: Annotated[Literal["a", "b"], Option("A kind.")] = "a"):
        """Do something."""
        return y, prior, noise, noise_

    assert [p.name for p in named.parameters] == ["noise"]
    assert named(1, 2, 3, **named.validate({"noise": "b"}).options) == (1, 2, 3, "b")
    assert named.validate({}).options == {"noise": "a"}
    with pytest.raises(OptionError, match="unknown option 'noise_'"):
        named.validate({"noise_": "b"})


def test_recipes_without_such_an_option_accept_noise_by_keyword() -> None:
    assert a_recipe(1, prior=2, noise=3, mask=4, count=7) == ("auto", 7, "a", False)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "mask is missing"),
        ({"mask": 1, "levle": 3}, "unknown option 'levle'. Did you mean 'level'"),
        ({"mask": 1, "level": 10}, "level: found 10, allowed: a number from 0 to 9, or auto"),
        ({"mask": 1, "level": float("nan")}, "found nan"),
        ({"mask": 1, "level": "high"}, "found 'high', allowed: a number from 0 to 9, or auto"),
        ({"mask": 1, "count": 0}, "count: found 0, allowed: an integer >= 1"),
        ({"mask": 1, "count": 2.5}, "count: found 2.5, allowed: an integer"),
        ({"mask": 1, "mode": "c"}, "unknown value 'c'. Allowed: a, b"),
    ],
)
def test_errors_state_what_is_allowed(values, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        a_recipe.validate(values)


def doubled(height, width, options):
    return height * options["factor"], width * options["factor"]


def one_of(options):
    if (options["first"] is None) == (options["second"] is None):
        raise OptionError("grow: allowed: exactly one of first and second")


@recipe("grow", channels=3, size=doubled, check=one_of)
def grow(
    y,
    prior,
    noise,
    *,
    factor: Annotated[Literal[2, 4], Option("A factor.")] = 2,
    first: Annotated[float | None, Option("One way.")] = None,
    second: Annotated[Tensor | None, ImageOption("Another.", same_size=False)] = None,
):
    """Grow."""


def test_result_shape_follows_the_declared_size_and_channels() -> None:
    assert grow.result_shape((5, 1, 7, 8), {}) == (5, 3, 14, 16)
    assert grow.result_shape((1, 3, 1, 1), {"factor": 4}) == (1, 3, 4, 4)
    assert a_recipe.result_shape((1, 1, 7, 8), {}) == (1, 1, 7, 8)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"first": 1, "factor": 3}, "grow factor: found 3, allowed: 2, 4"),
        ({"first": 1, "factor": "3"}, "grow factor: found 3, allowed: 2, 4"),
        ({"first": 1, "factor": 2.5}, "grow factor: found 2.5, allowed: 2, 4"),
        ({"first": 1, "factor": "two"}, "grow factor: found 'two', allowed: 2, 4"),
        ({}, "exactly one"),
        ({"first": 1, "second": "kernel.png"}, "exactly one"),
    ],
)
def test_invalid_choices_and_inconsistent_options_are_refused(values, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        grow.validate(values)
    assert grow.validate({"second": "kernel.png", "factor": "4"}).options["factor"] == 4


def test_jpeg_tables_are_given_as_auto_a_quality_or_a_tensor() -> None:
    @recipe("tabled")
    def tabled(y, prior, noise, *, quality: Annotated[Tensor | None, JpegTables("A quality.")]):
        """Do something."""

    tables = object()
    assert tabled.validate({}).options == {"quality": "auto"}
    assert tabled.validate({"quality": " 30 "}).options == {"quality": 30}
    assert tabled.validate({"quality": tables}).options == {"quality": tables}
    for value in (0, 101, "101", 30.5, "high"):
        with pytest.raises(OptionError, match=f"tabled quality: found '?{value}'?, allowed: .* 1 to 100, or auto"):
            tabled.validate({"quality": value})


def test_invalid_signatures_are_refused() -> None:
    def without_doc(y, prior, noise): ...

    def other_order(prior, y, noise):
        """Doc."""

    def positional(y, prior, noise, a: Annotated[int, Option("A.")] = 1):
        """Doc."""

    def other_model(y, prior, noise, *, a: Annotated[int, ModelOption("A.", "b")] = 1):
        """Doc."""

    def other_solver(y, prior, noise, *, a: Annotated[int, SolverOption("A.", "b")] = 1):
        """Doc."""

    def other_tables(y, prior, noise, *, a: Annotated[int, JpegTables("A.")] = 1):
        """Doc."""

    def odd_type(y, prior, noise, *, a: Annotated[list, Option("A.")] = 1):
        """Doc."""

    for function, words in [
        (without_doc, "docstring"),
        (other_order, "found parameters .*first"),
        (positional, "not keyword-only"),
        (other_solver, "has a default"),
        (other_model, "has a default"),
        (other_tables, "has a default"),
        (odd_type, "allowed types"),
    ]:
        with pytest.raises(TypeError, match=words):
            recipe("name")(function)
    with pytest.raises(TypeError, match="lower-case"):
        recipe("No Name")
