"""Options of a recipe without `Annotated`, described in its docstring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import pytest
import torch

from restorekit.core.options import ImageOption, Option, Parameter
from restorekit.core.recipe import recipe
from restorekit.errors import OptionError

if TYPE_CHECKING:
    from torch import Tensor


@recipe("plain")
def plain(
    y,
    prior,
    noise,
    *,
    mask: Tensor,
    hint: torch.Tensor | None = None,
    rounds: int = 3,
    strength: Annotated[float, Option(min=0, max=1)] = 0.5,
    mode: Literal["fast", "exact"] = "fast",
    level: float | Literal["auto"] = "auto",
    noise_: bool = False,
    other: Annotated[int, Option("Help of the option.")] = 1,
):
    """Do something.

    A second paragraph.

    Args:
        mask: White marks the pixels.
        hint (Tensor): Another image.
        rounds: Number of rounds.
        strength (float): How much of it.
        noise_: Whether to add noise.
        other: Help of the docstring.

    Returns:
        An image.
    """


def test_the_help_of_an_option_is_that_of_the_docstring() -> None:
    assert {p.name: p.spec.help for p in plain.parameters} == {
        "mask": "White marks the pixels.",
        "hint": "Another image.",
        "rounds": "Number of rounds.",
        "strength": "How much of it.",
        "mode": "",
        "level": "",
        "noise": "Whether to add noise.",
        "other": "Help of the option.",
    }


def test_the_help_of_the_recipe_does_not_contain_its_options() -> None:
    assert plain.doc == "Do something.\n\nA second paragraph."


def test_plain_types_are_options() -> None:
    found = {p.name: (p.kind, p.words, p.default) for p in plain.options}
    assert found == {
        "rounds": (int, (), 3),
        "strength": (float, (), 0.5),
        "mode": (str, ("fast", "exact"), "fast"),
        "level": (float, ("auto",), "auto"),
        "noise": (bool, (), False),
        "other": (int, (), 1),
    }
    assert plain.validate({"mask": 1, "rounds": "5"}).options["rounds"] == 5
    with pytest.raises(OptionError, match="plain strength: found 2, allowed: a number from 0 to 1"):
        plain.validate({"mask": 1, "strength": 2})


def test_plain_tensors_are_side_images_with_one_channel() -> None:
    assert [(p.name, p.required) for p in plain.side_images] == [("mask", True), ("hint", False)]
    assert plain.side_images[0].spec == ImageOption("White marks the pixels.", channels=1)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [(Option(min=0), ">= 0"), (Option(max=5), "<= 5"), (Option(min=0, max=0.5), "from 0 to 0.5"), (Option(), "")],
)
def test_ranges_are_described(spec: Option, expected: str) -> None:
    parameter = Parameter("a", spec)
    assert (parameter.range, parameter.allowed) == (expected, f"a number {expected}".strip())


def test_options_are_described_with_help_range_and_default() -> None:
    assert plain.describe_options().splitlines() == [
        "mask: White marks the pixels. Allowed: an image with 1 channel.",
        "hint: Another image. Allowed: an image with 1 channel.",
        "rounds: Number of rounds. Allowed: an integer. Default: 3.",
        "strength: How much of it. Allowed: a number from 0 to 1. Default: 0.5.",
        "mode: Allowed: fast, exact. Default: fast.",
        "level: Allowed: a number, or auto. Default: auto.",
        "noise: Whether to add noise. Allowed: true or false. Default: False.",
        "other: Help of the option. Allowed: an integer. Default: 1.",
    ]


def test_a_decorator_without_a_name_is_refused() -> None:
    with pytest.raises(
        TypeError, match=r'recipe plain_function: the decorator has no name, allowed: @rk.recipe\("name"'
    ):

        @recipe
        def plain_function(y, prior, noise):
            """Doc."""


def untyped(y, prior, noise, *, a=2):
    """Doc."""


def required(y, prior, noise, *, a):
    """Doc."""


def wrong_type(y, prior, noise, *, a: list = ()):
    """Doc."""


def no_option(y, prior, noise, *, a: Annotated[int, Option] = 1):
    """Doc."""


def below(y, prior, noise, *, a: Annotated[float, Option(min=0, max=1)] = 2):
    """Doc."""


def fraction(y, prior, noise, *, a: int = 2.5):
    """Doc."""


def other_word(y, prior, noise, *, a: Literal["b", "c"] = "d"):
    """Doc."""


def other_number(y, prior, noise, *, a: Literal[2, 4] = 3):
    """Doc."""


def word_or_number(y, prior, noise, *, a: float | Literal["auto"] = "best"):
    """Doc."""


def flag(y, prior, noise, *, a: bool = 1):
    """Doc."""


def any_option(y, prior, noise, **kwargs: int):
    """Doc."""


def any_value(y, prior, noise, *args, a: int = 1):
    """Doc."""


def unknown_name(y, prior, noise, *, a: Nowhere = 1):  # noqa: F821
    """Doc."""


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (untyped, "recipe 'a': parameter 'a' has no type; allowed: an annotation, such as a: int$"),
        (required, "recipe 'a': parameter 'a' has no type; allowed: an annotation, such as a: float$"),
        (wrong_type, "recipe 'a': parameter 'a': allowed types: int, float, .* Tensor"),
        (no_option, "recipe 'a': parameter 'a' has no option; allowed: a plain type, or Annotated"),
        (below, "recipe 'a': parameter 'a': default 2, allowed: a number from 0 to 1$"),
        (fraction, "recipe 'a': parameter 'a': default 2.5, allowed: an integer$"),
        (other_word, "recipe 'a': parameter 'a': default 'd', allowed: b, c$"),
        (other_number, "recipe 'a': parameter 'a': default 3, allowed: 2, 4$"),
        (word_or_number, "recipe 'a': parameter 'a': default 'best', allowed: a number, or auto$"),
        (flag, "recipe 'a': parameter 'a': default 1, allowed: true or false$"),
        (
            any_option,
            r"recipe 'a': found \*\*kwargs, allowed: one keyword-only parameter with a type for every option$",
        ),
        (any_value, r"recipe 'a': found \*args, allowed: one keyword-only parameter"),
        (unknown_name, "recipe 'a': an annotation contains 'Nowhere', which is not defined; allowed: a name that the"),
    ],
)
def test_wrong_annotations_are_refused_in_one_sentence(function, message: str) -> None:
    with pytest.raises(TypeError, match=message) as found:
        recipe("a")(function)
    assert len(str(found.value).splitlines()) == 1
