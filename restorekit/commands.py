"""A recipe as a command line and as a Python function."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from restorekit.core.recipe import ChosenSolver, ClassLabel, OtherModel, Parameter, Recipe, SideImage
from restorekit.core.reserved import check_names
from restorekit.errors import OptionError

MODEL = "Prior: a name, a folder, hf://org/name@revision, or FAMILY:TEXT of a plugin."
# Of every recipe's command: name, type, default.
COMMON: tuple[tuple[str, Any, Any], ...] = (
    ("model", Annotated[str | None, typer.Option(help=MODEL)], None),
    ("output", Annotated[Path | None, typer.Option("--output", "-o", help="File or folder to write.")], None),
    ("format", Annotated[str | None, typer.Option(help="Format to write, such as png; by default the photo's.")], None),
    ("overwrite", Annotated[bool, typer.Option("--overwrite", help="Redo what is already there.")], False),
    ("seed", Annotated[int, typer.Option(help="Seed of the run; every photo gets its own from it.", min=0)], 0),
    ("batch", Annotated[int, typer.Option(help="Photos of one size evaluated together.", min=1)], 1),
    ("device", Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")], "auto"),
    ("precision", Annotated[str, typer.Option(help="auto, float32 or bfloat16.")], "auto"),
    ("tile", Annotated[int | None, typer.Option(help="Side of the windows; by default the prior's.")], None),
)
LABELS = "List the classes of the priors that ship with restorekit."
METAVARS: dict[type, str] = {ClassLabel: "CLASS", OtherModel: "MODEL", ChosenSolver: "SOLVER"}
SAMPLES = ("samples", Annotated[int, typer.Option(help="Answers per photo.", min=1, max=1000)], 1)


def python_function(recipe: Recipe) -> Callable[..., Any]:
    """The recipe as a function on tensors, PIL images and paths; see `restorekit.run.api.restore`."""

    def function(image: Any, prior: Any = None, **options: Any) -> Any:
        from restorekit.run.api import restore

        return restore(recipe, image, prior, **options)

    function.__name__ = function.__qualname__ = recipe.name.replace("-", "_")
    function.__doc__ = f"{recipe.doc}\n\nOptions: {', '.join(in_words(p) for p in recipe.parameters)}."
    return function


def in_words(parameter: Parameter) -> str:
    """An option with what is allowed and its default."""
    default = "" if parameter.required else f", default {parameter.default}"
    return f"{parameter.name} ({parameter.allowed}{default})"


def typer_command(recipe: Recipe) -> Callable[..., None]:
    """The recipe as a function whose signature typer turns into a command."""
    check_names(recipe)
    parameters = [_keyword("inputs", Annotated[list[Path], typer.Argument(help="Photos and folders.")], ...)]
    for parameter in recipe.parameters:
        parameters += _options(parameter)
    parameters += [_keyword(*entry) for entry in (*COMMON, *([SAMPLES] if recipe.samples else []))]

    def command(**values: Any) -> None:
        from restorekit.terminal import run_recipe

        run_recipe(recipe, values)

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    command.__doc__ = recipe.doc
    return command


def _list_labels(wanted: bool) -> None:
    if not wanted:
        return
    from restorekit.models.registry import bundled_classes

    for model, names in bundled_classes().items():
        print(f"{model}: {', '.join(names)}")
    raise typer.Exit


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    value = inspect.Parameter.empty if default is ... else default
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=value)


def _options(parameter: Parameter) -> list[inspect.Parameter]:
    flag = "--" + parameter.name.replace("_", "-")
    default = ... if parameter.required else parameter.default
    if isinstance(parameter.spec, SideImage):
        text = f"{parameter.spec.help} A file for all photos, or a folder of files with the photos' names."
        kind: Any = Annotated[Path if parameter.required else Path | None, typer.Option(flag, help=text)]
        inverted = Annotated[bool, typer.Option(f"--invert-{flag[2:]}", help="Black and white change places.")]
        more = [_keyword(f"invert_{parameter.name}", inverted, False)] if parameter.spec.invertible else []
        return [_keyword(parameter.name, kind, default), *more]
    if parameter.kind is bool:
        return [_keyword(parameter.name, Annotated[bool, typer.Option(help=parameter.spec.help)], default)]

    def parse(text: Any) -> Any:
        try:
            return parameter.checked(text, "")
        except OptionError as error:
            raise typer.BadParameter(str(error).split(":", 1)[1].strip()) from None

    if isinstance(parameter.spec, ClassLabel | OtherModel | ChosenSolver):
        metavar = METAVARS[type(parameter.spec)]
        option = typer.Option(flag, help=parameter.spec.help, parser=parse, metavar=metavar)
        listed = Annotated[bool, typer.Option("--labels", help=LABELS, is_eager=True, callback=_list_labels)]
        more = [_keyword("labels", listed, False)] if isinstance(parameter.spec, ClassLabel) else []
        return [_keyword(parameter.name, Annotated[Any, option], default), *more]
    numbers = parameter.choices or {int: ["INTEGER"], float: ["NUMBER"]}.get(parameter.kind, [])
    metavar = "|".join(map(str, (*numbers, *parameter.words)))
    option = typer.Option(flag, help=parameter.spec.help, parser=parse, metavar=metavar)
    return [_keyword(parameter.name, Annotated[Any, option], default)]
