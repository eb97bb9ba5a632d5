"""The kinds of option that a recipe can have.

`restorekit --help` imports this module, which therefore does not import torch.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from restorekit.core.network import ImageNetwork, NetworkInfo
from restorekit.errors import OptionError, unknown


@dataclass(frozen=True)
class Option:
    """An option of a recipe: a number, one of several words or integers (typing.Literal), a flag (bool), or a union of
    a number and words.

    Arguments:
        help: one sentence for the command line and the docs; if empty, that of the docstring of the recipe.
        min, max: allowed range of a number, both ends included.
    """

    help: str = ""
    min: float | None = None
    max: float | None = None


# How a mask marks pixels: "auto" decides for each file; the others are the value of a channel (see
# `restorekit.run.masks`).
MaskChannel = Literal["auto", "luminance", "red", "green", "blue", "alpha", "transparency", "colour"]


@dataclass(frozen=True)
class ImageOption:
    """An additional image that a recipe requires, such as a mask.

    The recipe receives (N or 1, channels, H, W) in [0, 1]; transparent pixels are black. With a default of None (and
    the type `Tensor | None`) the image is optional.

    Arguments:
        help: one sentence for the command line and the docs; if empty, that of the docstring of the recipe.
        channels: 1 or 3.
        invertible: whether to add the flag `--invert-NAME`, which swaps black and white.
        same_size: whether it must have the height and width of the photo. False for a blur kernel, for instance.
    """

    help: str = ""
    channels: Literal[1, 3] = 1
    invertible: bool = True
    same_size: bool = True

    @property
    def is_mask(self) -> bool:
        """Whether it is a mask: one channel, invertible, of the size of the photo. Masks have the options
        `--NAME-channel` and `--resize-NAME`."""
        return self.channels == 1 and self.invertible and self.same_size


@dataclass(frozen=True)
class ClassOption:
    """A class of the prior, given by its name. The recipe receives its label, an int64 tensor of shape (1,).

    Arguments:
        help: one sentence for the command line and the docs.
    """

    help: str


@dataclass(frozen=True)
class ModelOption:
    """An additional prior or classifier. The recipe receives the loaded model; a prior accepts images of any size.

    Arguments:
        help: one sentence for the command line and the docs.
        model: default name, as `load_prior` accepts it.
        kind: whether it must be a prior or a classifier.
    """

    help: str
    model: str
    kind: Literal["prior", "classifier"] = "prior"


@dataclass(frozen=True)
class SolverOption:
    """A solver of linear inverse problems, given by its name. The recipe receives the `Solver`.

    Arguments:
        help: one sentence for the command line and the docs.
        solver: default name; `restorekit.solvers()` returns all solvers.
    """

    help: str
    solver: str


@dataclass(frozen=True)
class NetworkOption:
    """A network that maps images to images, given by the path of its weights file; in Python also an `ImageNetwork`.

    The recipe receives a `TiledNetwork`, which accepts images of any size. Results made with other weights are made
    again: the file counts by its content.

    Arguments:
        help: one sentence for the command line and the docs.
        load: takes the path and returns an `ImageNetwork`, float32 on the CPU; raises ModelError with a one-line
            message for a file that it cannot load.
    """

    help: str
    load: Callable[[Path], ImageNetwork]


@dataclass(frozen=True)
class JpegTables(Option):
    """The quantisation tables by which the photo was saved as JPEG, given as `auto`, the tables of its file (default);
    as an integer from 1 to 100, the standard tables of libjpeg at this quality; or in Python also as a tensor.

    The recipe receives the quantisation steps of Y, Cb and Cr in grey levels of 8 bits, float32 (N or 1, 3, 8, 8),
    indexed by vertical and horizontal frequency, or None if the photo has no tables. Zeros mark a plane whose steps are
    not known at full resolution: subsampled chroma, the chroma of a grey photo, and all chroma with a quality.

    Arguments:
        help: one sentence for the command line and the docs.
        min, max: range of the quality.
    """

    min: float | None = 1
    max: float | None = 100


Spec: TypeAlias = Option | ImageOption | ClassOption | ModelOption | NetworkOption | SolverOption


@dataclass(frozen=True)
class Parameter:
    """A keyword parameter of a recipe.

    Attributes:
        name: name of the parameter.
        spec: what it is: an option, a side image, a class, a model, a network, a solver or JPEG tables.
        kind: type of an option: int, float, bool or str.
        words: allowed words; for a str all allowed values, otherwise alternatives to a number.
        default: default value; `inspect.Parameter.empty` if the parameter is required.
        choices: allowed integers; empty if any integer in the range of the option is allowed.
        annotation: the type that the recipe declares.
    """

    name: str
    spec: Spec
    kind: type = float
    words: tuple[str, ...] = ()
    default: Any = inspect.Parameter.empty
    choices: tuple[int, ...] = ()
    annotation: Any = Any

    @property
    def required(self) -> bool:
        """True if there is no default."""
        return self.default is inspect.Parameter.empty

    @property
    def description(self) -> str:
        """The name, the allowed values and the default."""
        default = "" if self.required else f", default {self.default}"
        return f"{self.name} ({self.allowed}{default})"

    @property
    def help(self) -> str:
        """The help of its option, the allowed values and the default, as sentences in one line."""
        default = "" if self.required or self.default is None else f"Default: {self.default}."
        return " ".join(filter(None, (self.spec.help.strip(), f"Allowed: {self.allowed}.", default)))

    def check_default(self, where: str) -> None:
        """Raise TypeError if the default of a number, a word or a flag is not an allowed value.

        where: start of the error message.
        """
        if not isinstance(self.spec, Option) or self.required or self.default is None:
            return
        if not self._allows_default():
            raise TypeError(f"{where}: default {self.default!r}, allowed: {self.allowed}")

    def _allows_default(self) -> bool:
        if isinstance(self.default, bool) or self.kind is bool:
            return self.kind is bool and isinstance(self.default, bool)
        if isinstance(self.default, str):
            return self.default in self.words
        try:
            # As text, because `validate` returns the default itself unchecked.
            self.validate(f" {self.default} ", "")
        except OptionError:
            return False
        return True

    def validate(self, value: Any, where: str) -> Any:
        """Return the value of an option, converted from text if necessary; OptionError lists what is allowed."""
        if value is None and isinstance(self.spec, ModelOption | SolverOption):
            raise OptionError(f"{where} {self.name}: found None, allowed: {self.allowed}")
        if (
            isinstance(self.spec, ImageOption | ModelOption | SolverOption)
            or (isinstance(self.spec, JpegTables) and not isinstance(value, str | float | int))
            or value == self.default
            or value in self.words
        ):
            return value
        if isinstance(self.spec, NetworkOption):
            return self._validate_network(value, where)
        if isinstance(self.spec, ClassOption):
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
        # The comparison rejects NaN; the last condition rejects 2.5 as an integer.
        wrong = not low <= number <= high or (bool(self.choices) and number not in self.choices)
        if wrong or (not isinstance(value, str) and number != value):
            raise OptionError(f"{where} {self.name}: found {value}, allowed: {self.allowed}")
        return number

    def _validate_network(self, value: Any, where: str) -> Path | ImageNetwork:
        """Return the absolute path of a weights file, or a network as it is."""
        if isinstance(value, ImageNetwork) and isinstance(value.info, NetworkInfo):
            return value
        if not isinstance(value, str | Path) or not str(value):
            raise OptionError(f"{where} {self.name}: found {value!r:.60}, allowed: {self.allowed}")
        return Path(value).absolute()

    @property
    def allowed(self) -> str:
        """A description of the allowed values."""
        if isinstance(self.spec, NetworkOption):
            return "the path of a weights file"
        if isinstance(self.spec, ImageOption):
            return f"an image with {self.spec.channels} channel{'s' * (self.spec.channels > 1)}"
        if isinstance(self.spec, ClassOption):
            return "the name of a class of the prior"
        if isinstance(self.spec, ModelOption):
            return f"a {self.spec.kind}: a name, a folder, hf://org/name@revision, or FAMILY:TEXT of a plugin"
        if isinstance(self.spec, SolverOption):
            return "the name of a solver"
        if self.kind is str or self.choices:
            return ", ".join(self.words or map(str, self.choices))
        kind = {int: "an integer", float: "a number", bool: "true or false"}[self.kind]
        return f"{kind} {self.range}".strip() + "".join(f", or {word}" for word in self.words)

    @property
    def range(self) -> str:
        """The allowed range of a number, such as "from 0 to 1" or ">= 0"; "" if there is none."""
        if not isinstance(self.spec, Option):
            return ""
        low, high = self.spec.min, self.spec.max
        if low is not None and high is not None:
            return f"from {low:g} to {high:g}"
        if low is None and high is None:
            return ""
        return f">= {low:g}" if low is not None else f"<= {high:g}"
