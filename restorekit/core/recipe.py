"""Recipes: functions from a degraded image, a prior and noise to a restored image, and what their options are.

This module is imported by `restorekit --help` and therefore knows no torch.
"""

from __future__ import annotations

import inspect
import math
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias, TypeVar, get_args, get_origin

from restorekit.errors import OptionError, unknown

F = TypeVar("F", bound=Callable[..., Any])
Size = Callable[[int, int, Mapping[str, Any]], tuple[int, int]]
Check = Callable[[Mapping[str, Any]], None]
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
# Positional parameters that every recipe has, in this order.
FIRST = ("y", "prior", "noise")


@dataclass(frozen=True)
class Option:
    """An option of a recipe: a number, a choice of words or of whole numbers (typing.Literal), a switch (bool), or a
    number or word (a union).

    Arguments:
        help: one sentence for the command line and the docs.
        min, max: allowed range of a number, ends included.
    """

    help: str
    min: float | None = None
    max: float | None = None


@dataclass(frozen=True)
class SideImage:
    """A further image that a recipe needs beside the photo, such as a mask.

    The recipe gets (N or 1, channels, H, W) in [0, 1], transparent pixels as black; with a default of None (and the
    type `Tensor | None`) it may be left out.

    Arguments:
        help: one sentence for the command line and the docs.
        channels: 1 or 3.
        invertible: offers `--invert-NAME`, which turns white into black.
        same_size: it must have the photo's height and width; False: any, as a blur kernel has.
    """

    help: str
    channels: Literal[1, 3] = 1
    invertible: bool = True
    same_size: bool = True


@dataclass(frozen=True)
class ClassLabel:
    """A class of the prior, by its name. The recipe gets its number, an int64 tensor of shape (1,).

    Arguments:
        help: one sentence for the command line and the docs.
    """

    help: str


@dataclass(frozen=True)
class OtherModel:
    """A prior or classifier beside the recipe's own. The recipe gets it ready to use, a prior for images of any size.

    Arguments:
        help: one sentence for the command line and the docs.
        model: its name when none is given, as `load_prior` takes it.
        kind: what it must be.
    """

    help: str
    model: str
    kind: Literal["prior", "classifier"] = "prior"


@dataclass(frozen=True)
class ChosenSolver:
    """How a recipe solves its problem. The recipe gets the `Solver` of that name.

    Arguments:
        help: one sentence for the command line and the docs.
        solver: its name when none is given; `restorekit.plugins.solvers()` has all of them.
    """

    help: str
    solver: str


Spec: TypeAlias = Option | SideImage | ClassLabel | OtherModel | ChosenSolver


@dataclass(frozen=True)
class Parameter:
    """One checked option, side image, class, further model or solver of a recipe."""

    name: str
    spec: Spec
    kind: type = float
    """int, float, bool or str, of options."""
    words: tuple[str, ...] = ()
    """Words that are allowed: all there are for str, beside a number otherwise."""
    default: Any = inspect.Parameter.empty
    choices: tuple[int, ...] = ()
    """All whole numbers that are allowed, of an int; empty: those that the Option's range allows."""

    @property
    def required(self) -> bool:
        """True when there is no default."""
        return self.default is inspect.Parameter.empty

    def checked(self, value: Any, where: str) -> Any:
        """The value of an option, converted from text if need be; OptionError says what is allowed."""
        if isinstance(self.spec, SideImage | OtherModel | ChosenSolver) or value == self.default or value in self.words:
            return value
        if isinstance(self.spec, ClassLabel):
            if not isinstance(value, str) or not value:
                raise OptionError(f"{where} {self.name}: found {value!r}, allowed: {self.allowed}")
            return value
        if self.kind is str:
            raise OptionError(unknown("value", str(value), self.words, f"{where} {self.name}"))
        try:
            if self.kind is bool and not isinstance(value, bool):
                raise ValueError
            number = self.kind(value)
        except (TypeError, ValueError, OverflowError):
            raise OptionError(f"{where} {self.name}: found {value!r}, allowed: {self.allowed}") from None
        low = -math.inf if self.spec.min is None else self.spec.min
        high = math.inf if self.spec.max is None else self.spec.max
        # NaN is in no range; 2.5 is no whole number.
        wrong = not low <= number <= high or (bool(self.choices) and number not in self.choices)
        if wrong or (not isinstance(value, str) and number != value):
            raise OptionError(f"{where} {self.name}: found {value}, allowed: {self.allowed}")
        return number

    @property
    def allowed(self) -> str:
        """What values are allowed, in words."""
        if isinstance(self.spec, SideImage):
            return f"an image of {self.spec.channels} channel{'s' * (self.spec.channels > 1)}"
        if isinstance(self.spec, ClassLabel):
            return "the name of a class of the prior"
        if isinstance(self.spec, OtherModel):
            return f"a {self.spec.kind}: a name, a folder, hf://org/name@revision, or FAMILY:TEXT of a plugin"
        if isinstance(self.spec, ChosenSolver):
            return "the name of a solver"
        if self.kind is str or self.choices:
            return ", ".join(self.words or map(str, self.choices))
        kind = {int: "a whole number", float: "a number", bool: "true or false"}[self.kind]
        low = "" if self.spec.min is None else f" from {self.spec.min:g}"
        high = "" if self.spec.max is None else f" to {self.spec.max:g}"
        return kind + low + high + "".join(f", or {word}" for word in self.words)


@dataclass(frozen=True)
class Recipe:
    """A named, checked recipe; calling it calls the function.

    Attributes:
        name: the command and, with underscores, the Python function.
        function: (y, prior, noise, *, options and side images) -> restored, like y but for `channels` and `size`.
        parameters: its options and side images.
        model: the prior that is used when none is named.
        samples: True when several answers of one image can differ, so that `--samples` makes sense.
        channels: of its results, and so of the prior that it gets; None: as many as the photo has.
        size: (height, width, options) -> height and width of its results; None: the photo's.
        check: gets all parameters, a side image as it was given or None, and raises OptionError where they do not go
            together.
    """

    name: str
    function: Callable[..., Any]
    parameters: tuple[Parameter, ...]
    model: str
    samples: bool
    channels: int | None = None
    size: Size | None = None
    check: Check | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    @property
    def doc(self) -> str:
        """The docstring, cleaned."""
        return inspect.getdoc(self.function) or ""

    @property
    def options(self) -> tuple[Parameter, ...]:
        """Parameters that are no images."""
        return tuple(p for p in self.parameters if not isinstance(p.spec, SideImage))

    @property
    def side_images(self) -> tuple[Parameter, ...]:
        """Parameters that are images."""
        return tuple(p for p in self.parameters if isinstance(p.spec, SideImage))

    def checked(self, values: Mapping[str, Any], where: str = "") -> dict[str, Any]:
        """All parameters with their values checked and defaults filled in; OptionError otherwise."""
        where = where or self.name
        known = {parameter.name: parameter for parameter in self.parameters}
        for name in values:
            if name not in known:
                raise OptionError(unknown("option", name, known, where))
        for name, parameter in known.items():
            if parameter.required and values.get(name) is None:
                raise OptionError(f"{where}: {name} is missing ({parameter.allowed})")
        checked = {n: p.checked(values.get(n, p.default), where) for n, p in known.items()}
        if self.check is not None:
            self.check(checked)
        return checked

    def result_shape(self, shape: tuple[int, ...], options: Mapping[str, Any]) -> tuple[int, ...]:
        """What the result for images of shape (N, C, H, W) must be: (N, C', H', W')."""
        count, channels, height, width = shape
        if self.size is not None:
            height, width = self.size(height, width, {p.name: p.default for p in self.parameters} | dict(options))
        return count, self.channels or channels, height, width


def recipe(
    name: str,
    *,
    model: str = "ddpm-photo",
    samples: bool = False,
    channels: int | None = None,
    size: Size | None = None,
    check: Check | None = None,
) -> Callable[[F], Recipe]:
    """Make a recipe of a function (y, prior, noise, *, options); a wrong signature is a TypeError at once.

    See `Recipe` for the arguments.
    """
    if not NAME.fullmatch(name):
        raise TypeError(f"recipe {name!r}: allowed: lower-case words joined by hyphens")

    def wrap(function: F) -> Recipe:
        signature = inspect.signature(function).parameters
        if tuple(signature)[: len(FIRST)] != FIRST:
            raise TypeError(f"recipe {name!r}: the first parameters are {FIRST}, found {tuple(signature)}")
        if not function.__doc__:
            raise TypeError(f"recipe {name!r}: needs a docstring; its first line is the command's help")
        hints = _hints(function)
        parameters = tuple(_parameter(name, p, hints[p.name]) for p in list(signature.values())[len(FIRST) :])
        return Recipe(name, function, parameters, model, samples, channels, size, check)

    return wrap


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Type hints; names that are only imported for type checkers (Tensor) become object, so that nothing is loaded."""
    names = ("Tensor", "Denoiser", "Noise", "ImageNoise", "NoisyClassifier", "Solver")
    missing = {name: object for name in names if name not in getattr(function, "__globals__", {})}
    return typing.get_type_hints(function, localns=missing, include_extras=True)


def _parameter(recipe_name: str, parameter: inspect.Parameter, hint: Any) -> Parameter:
    where = f"recipe {recipe_name!r}: parameter {parameter.name!r}"
    if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
        raise TypeError(f"{where} must follow a bare *")
    spec = next((m for m in getattr(hint, "__metadata__", ()) if isinstance(m, Spec)), None)
    if get_origin(hint) is not Annotated or spec is None:
        others = "SideImage, ClassLabel, OtherModel or ChosenSolver"
        raise TypeError(f"{where} needs Annotated[type, Option(...)], or {others} there")
    if isinstance(spec, OtherModel | ChosenSolver):
        if parameter.default is not inspect.Parameter.empty:
            raise TypeError(f"{where} has a default; allowed: OtherModel(help, model), ChosenSolver(help, solver)")
        return Parameter(parameter.name, spec, default=spec.model if isinstance(spec, OtherModel) else spec.solver)
    if not isinstance(spec, Option):
        return Parameter(parameter.name, spec, default=parameter.default)
    kind, words = _kind(get_args(hint)[0])
    if kind is None or (parameter.default is inspect.Parameter.empty and kind is bool):
        raise TypeError(
            f"{where}: allowed types: int, float, bool with a default, Literal of words or of ints, number | Literal"
        )
    choices = get_args(get_args(hint)[0]) if kind is int and get_origin(get_args(hint)[0]) is Literal else ()
    return Parameter(parameter.name, spec, kind, words, parameter.default, choices)


def _kind(hint: Any) -> tuple[type | None, tuple[str, ...]]:
    if hint in (int, float, bool):
        return hint, ()
    if get_origin(hint) is Literal:
        words = get_args(hint)
        if all(type(word) is int for word in words):
            return int, ()
        return (str, words) if all(isinstance(word, str) for word in words) else (None, ())
    if get_origin(hint) in (typing.Union, types.UnionType):
        parts = [_kind(part) for part in get_args(hint) if part is not type(None)]
        kinds = {kind for kind, _ in parts if kind not in (str, None)}
        if len(kinds) == 1:
            return kinds.pop(), tuple(word for _, words in parts for word in words)
    return None, ()
