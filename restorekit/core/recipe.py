"""Recipes: functions from a degraded image, a prior and noise to a restored image, with validated options.

`restorekit --help` imports this module, which therefore does not import torch.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from restorekit.core.docstrings import split_docstring
from restorekit.core.options import ImageOption, Parameter
from restorekit.core.parameters import POSITIONAL, parameters_of
from restorekit.errors import OptionError, unknown

F = TypeVar("F", bound=Callable[..., Any])
Size = Callable[[int, int, Mapping[str, Any]], tuple[int, int]]
Check = Callable[[Mapping[str, Any]], None]
Evaluations = Callable[[Mapping[str, Any]], int | None]
Strips = Callable[[Any, Any, Mapping[str, Any]], Mapping[str, Any] | None]
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@dataclass(frozen=True)
class OptionValues:
    """Validated parameters of a recipe.

    Attributes:
        options: the value of every option by name, including defaults.
        side_images: the given side images by name, as the caller passed them.
    """

    options: Mapping[str, Any]
    side_images: Mapping[str, Any]


@dataclass(frozen=True)
class Recipe:
    """A recipe with a name and validated parameters; calling it calls the function.

    Attributes:
        name: name of the command; with underscores, name of the Python function.
        function: (y, prior, noise, *, options and side images) -> restored, like y except for `channels` and `size`.
        parameters: options and side images.
        model: default prior; None for a recipe without a prior, which receives None; its command has no `--model`.
        samples: whether several results for one image can differ; adds the option `--samples`.
        channels: number of channels of the result and of the prior; None for those of the photo.
        size: (height, width, options) -> height and width of the result; None for those of the photo. The options are
            those that the recipe receives, such as a `TiledNetwork`, whose `info` states its scale.
        check: receives all parameters (an omitted side image as None) and raises OptionError if they are inconsistent.
        keeps_pixels: whether the recipe returns some pixels bit-identical, such as those outside a mask. The command
            line then prints a note if the output format is lossy.
        evaluations: (options) -> number of evaluations of the prior per image, for the progress bar; None if unknown.
        strips: for recipes whose result at a pixel depends on a neighbourhood of few pixels only, so that a large photo
            can be restored in strips: (sample (1, C, H, W) of the photo, `PriorInfo`, options) -> values of options for
            all strips, such as a noise level; or None if these options require the whole photo. The second argument is
            None for a recipe without a prior.
        region: name of the side image that marks which pixels change, such as a mask; of a large photo, only the
            surroundings of marked pixels are then restored.
    """

    name: str
    function: Callable[..., Any]
    parameters: tuple[Parameter, ...]
    model: str | None
    samples: bool
    channels: int | None = None
    size: Size | None = None
    check: Check | None = None
    keeps_pixels: bool = False
    evaluations: Evaluations | None = None
    strips: Strips | None = None
    region: str | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function; an option named like a positional parameter is passed with its trailing underscore."""
        renamed = {p.name: f"{p.name}_" for p in self.parameters if p.name in POSITIONAL}
        return self.function(*args, **{renamed.get(name, name): value for name, value in kwargs.items()})

    @property
    def doc(self) -> str:
        """The docstring of the function, without indentation and without the sections on parameters and results."""
        return split_docstring(inspect.getdoc(self.function) or "")[0]

    def describe_options(self) -> str:
        """Return one line per parameter, "name: help", with the allowed values and the default."""
        return "\n".join(f"{parameter.name}: {parameter.help}" for parameter in self.parameters)

    @property
    def position(self) -> tuple[Path, int] | None:
        """File and first line of the function; None if they are unknown."""
        function = inspect.unwrap(self.function)
        file = inspect.getsourcefile(function) if inspect.isfunction(function) else None
        return None if file is None else (Path(file), function.__code__.co_firstlineno)

    @property
    def options(self) -> tuple[Parameter, ...]:
        """Parameters that are not images."""
        return tuple(p for p in self.parameters if not isinstance(p.spec, ImageOption))

    @property
    def side_images(self) -> tuple[Parameter, ...]:
        """Parameters that are images."""
        return tuple(p for p in self.parameters if isinstance(p.spec, ImageOption))

    def validate(self, values: Mapping[str, Any]) -> OptionValues:
        """Return all parameters, validated and including defaults; raise OptionError if one is not allowed.

        values: options and side images by name. Side images may be of any type, such as a path or a tensor.
        """
        where = self.name
        known = {parameter.name: parameter for parameter in self.parameters}
        for name in values:
            if name not in known:
                raise OptionError(unknown("option", name, known, where))
        for name, parameter in known.items():
            if parameter.required and values.get(name) is None:
                raise OptionError(f"{where}: {name} is missing; allowed: {parameter.allowed}")
        valid = {n: p.validate(values.get(n, p.default), where) for n, p in known.items()}
        if self.check is not None:
            self.check(valid)
        images = {p.name for p in self.side_images}
        return OptionValues(
            {name: value for name, value in valid.items() if name not in images},
            {name: value for name, value in valid.items() if name in images and value is not None},
        )

    def result_shape(self, shape: tuple[int, ...], options: Mapping[str, Any]) -> tuple[int, ...]:
        """Return the shape (N, C', H', W') of the result for images of shape (N, C, H, W)."""
        count, channels, height, width = shape
        if self.size is not None:
            height, width = self.size(height, width, {p.name: p.default for p in self.parameters} | dict(options))
        return count, self.channels or channels, height, width


def recipe(
    name: str,
    *,
    model: str | None = "ddpm-photo",
    samples: bool = False,
    channels: int | None = None,
    size: Size | None = None,
    check: Check | None = None,
    keeps_pixels: bool = False,
    evaluations: Evaluations | None = None,
    strips: Strips | None = None,
    region: str | None = None,
) -> Callable[[F], Recipe]:
    """Turn a function (y, prior, noise, *, options) into a recipe; a decorator.

    An option may be named `noise_`, with a trailing underscore in the function only: it is `--noise` on the command
    line, and y, prior and noise are then passed by position. See `Recipe` for the arguments. Raises TypeError if the
    signature is not that of a recipe, or if the default of an option is not one of its allowed values.
    """
    if not isinstance(name, str):
        found = getattr(name, "__name__", repr(name))
        raise TypeError(f'recipe {found}: the decorator has no name, allowed: @rk.recipe("name")')
    if not NAME.fullmatch(name):
        raise TypeError(f"recipe {name!r}: allowed: lower-case words joined by hyphens")

    def wrap(function: F) -> Recipe:
        parameters = parameters_of(function, f"recipe {name!r}")
        if not function.__doc__:
            raise TypeError(f"recipe {name!r}: no docstring; its first line is the help of the command")
        return Recipe(
            name, function, parameters, model, samples, channels, size, check, keeps_pixels, evaluations, strips, region
        )

    return wrap
