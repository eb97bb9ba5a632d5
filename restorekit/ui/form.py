"""The fields of the form of a recipe, generated from its parameters as the command line is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from restorekit.core.options import (
    ClassOption,
    ImageOption,
    JpegTables,
    MaskChannel,
    ModelOption,
    NetworkOption,
    Parameter,
    SolverOption,
)
from restorekit.core.recipe import Recipe
from restorekit.errors import ModelError, OptionError, RestorekitError, unknown
from restorekit.models.files import read_config
from restorekit.models.hub import HUB
from restorekit.models.listing import ListedModel
from restorekit.models.registry import find_weights
from restorekit.plugins.discovery import solvers
from restorekit.run.side_images import reading_parameters

# number: a number with a default; text: any text; slider: a number in a short range; flag: yes or no; choice: one of
# several words or numbers; entry: one of several words or numbers, or any other text; file: an uploaded file;
# path: a file or folder of this machine.
Kind = Literal["number", "text", "slider", "flag", "choice", "entry", "file", "path"]
# What selects the prior in the values of a form.
MODEL = "model"
# A number with a longer range has no slider.
SLIDER_RANGE, SLIDER_STEPS = 20.0, 100
CHANNEL_HELP = "What marks the pixels in a mask file; auto recognises it."
RESIZE_HELP = "Resize a mask file that has another size than the photo, but its aspect ratio."
PATH_HELP = "A file for all photos, or a folder of files with the names of the photos."
INVERT_HELP = "Swap black and white."


@dataclass(frozen=True)
class Field:
    """A field of a form.

    Attributes:
        name: name of the option.
        label: what the page shows.
        help: one or two sentences.
        kind: see `Kind`.
        default: its value at first; None for an empty field.
        choices: what it offers.
        low, high: range of a slider.
        is_required: whether it must not be empty.
    """

    name: str
    label: str
    help: str
    kind: Kind
    default: Any = None
    choices: tuple[str | int, ...] = ()
    low: float = 0.0
    high: float = 1.0
    is_required: bool = field(default=False)


def form_fields(recipe: Recipe, models: Sequence[ListedModel], *, paths: bool = False) -> tuple[Field, ...]:
    """Return the fields of a recipe: the prior, then its parameters in the order of its signature.

    models: the models to offer. paths: whether files are named, instead of uploaded.
    """
    fields = []
    if recipe.model is not None:
        priors = model_names(models, "prior")
        fields.append(Field(MODEL, "Model", "Prior of natural images.", "entry", recipe.model, priors))
    for parameter in recipe.parameters:
        fields += _fields(parameter, recipe, models, "path" if paths else "file")
    return tuple(fields)


def _fields(parameter: Parameter, recipe: Recipe, models: Sequence[ListedModel], file: Kind) -> list[Field]:
    """Return the field of a parameter, and those of how its image is read."""
    spec, default = parameter.spec, None if parameter.required else parameter.default
    name, label, text = parameter.name, label_of(parameter.name), field_help(parameter)

    def made(kind: Kind, choices: Iterable[str | int] = (), **values: Any) -> list[Field]:
        value = values.pop("default", default)
        return [Field(name, label, text, kind, value, tuple(choices), is_required=parameter.required, **values)]

    if isinstance(spec, ImageOption):
        text = f"{text} {PATH_HELP}" if file == "path" else text
        return [*made(file), *_reading_fields(parameter)]
    if isinstance(spec, ClassOption):
        return made("entry", class_names(recipe.model, models))
    if isinstance(spec, ModelOption):
        return made("entry", model_names(models, spec.kind))
    if isinstance(spec, SolverOption):
        return made("choice", sorted(solvers()))
    if isinstance(spec, NetworkOption):
        return made(file)
    if parameter.kind is bool:
        return made("flag")
    if parameter.kind is str or parameter.choices:
        return made("choice", parameter.choices or parameter.words)
    if parameter.words or isinstance(spec, JpegTables):
        shown = f"{default:g}" if isinstance(default, int | float) else default
        return made("entry", parameter.words, default=shown)
    if _has_slider(parameter):
        return made("slider", low=spec.min, high=spec.max)
    # An empty number field would be 0.
    return made("text" if default is None else "number")


def _has_slider(parameter: Parameter) -> bool:
    """Return whether a number has a slider: it is not an integer, and its range and default are known."""
    low, high = getattr(parameter.spec, "min", None), getattr(parameter.spec, "max", None)
    if low is None or high is None or parameter.required or parameter.default is None:
        return False
    return parameter.kind is float and 0 < high - low <= SLIDER_RANGE


def _reading_fields(parameter: Parameter) -> list[Field]:
    """Return the fields that state how a side image is read; see `reading_parameters`."""
    label, found = label_of(parameter.name), reading_parameters(parameter)
    texts: dict[str, tuple[str, str]] = {
        f"invert_{parameter.name}": (f"Invert {label.lower()}", INVERT_HELP),
        f"{parameter.name}_channel": (f"{label} channel", CHANNEL_HELP),
        f"resize_{parameter.name}": (f"Resize {label.lower()}", RESIZE_HELP),
    }
    fields = []
    for name, (default, annotation) in found.items():
        choices = get_args(MaskChannel) if annotation is MaskChannel else ()
        fields.append(Field(name, *texts[name], "choice" if choices else "flag", default, choices))
    return fields


def label_of(name: str) -> str:
    """Return the name of an option in words."""
    return name.replace("_", " ").capitalize()


def field_help(parameter: Parameter) -> str:
    """Return the help of an option; the allowed values of a number, which the page does not show otherwise."""
    text = parameter.spec.help.strip()
    if parameter.range:
        text = f"{text} Allowed: {parameter.range}{''.join(f', or {word}' for word in parameter.words)}."
    return text.strip()


def model_names(models: Sequence[ListedModel], kind: str) -> tuple[str, ...]:
    """Return the names of the priors or classifiers."""
    return tuple(model.name for model in models if (model.family == "classifier") == (kind == "classifier"))


def class_names(model: str | None, models: Sequence[ListedModel], *, listed_only: bool = False) -> tuple[str, ...]:
    """Return the classes of a prior; empty if it has none or is not known yet.

    models: the models that are listed. listed_only: whether others are not looked up.
    """
    for listed in models:
        if listed.name == model:
            return listed.classes
    if model is None or listed_only or model.startswith(HUB):  # nothing is downloaded before the run
        return ()
    try:
        return tuple(read_config(find_weights(model)).classes or ())
    except (RestorekitError, OSError):  # the run reports it
        return ()


def check_listed(recipe: Recipe, values: Mapping[str, Any], models: Sequence[ListedModel]) -> None:
    """Raise ModelError if a model is not listed.

    A visitor of another machine must not name files of the server, or let it download models.
    """
    names = [MODEL, *(p.name for p in recipe.parameters if isinstance(p.spec, ModelOption))]
    for name in names:
        value, listed = values.get(name), [model.name for model in models]
        if value and value not in (*listed, recipe.model):
            raise ModelError(unknown("model", str(value), listed, f"{recipe.name} {name}"))


def given_values(fields: Sequence[Field], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of the fields that are not empty, without spaces around text.

    The recipe validates them; see `Recipe.validate`.
    """
    found = {}
    for item in fields:
        value = values.get(item.name)
        value = value.strip() if isinstance(value, str) else value
        if value is not None and value != "":
            found[item.name] = value
    return found


def check_number(value: Any, where: str, low: int, high: int | None, default: int | None) -> int | None:
    """Return an integer of the form, or the default for an empty field; OptionError outside the range."""
    if value is None or value == "":
        return default
    try:
        number = float(value)
        is_allowed = number.is_integer() and number >= low and (high is None or number <= high)
    except (ValueError, OverflowError):
        is_allowed = False
    if not is_allowed:
        allowed = f"an integer >= {low}" if high is None else f"an integer from {low} to {high}"
        raise OptionError(f"{where}: found {value}, allowed: {allowed}")
    return int(number)
