"""Commands that are generated from recipes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any, Literal

import typer

from restorekit.cli import completion
from restorekit.cli.restore import run_recipe
from restorekit.core.options import (
    ClassOption,
    ImageOption,
    MaskChannel,
    ModelOption,
    NetworkOption,
    Parameter,
    SolverOption,
)
from restorekit.core.recipe import Recipe
from restorekit.core.reserved import check_names
from restorekit.errors import OptionError

MODEL = "Prior: a name, a folder, hf://org/name@revision, or FAMILY:TEXT of a plugin."
INPUTS = "Photos, folders, patterns and URLs such as s3://bucket/folder; - is standard input."
OUTPUT = "File, folder or URL to write."
FORMAT = "Output format, such as png. Default: the format of the photo."
QUALITY = "Quality of JPEG, lossy WebP, AVIF and HEIC, 1 to 100. Default: 95, or that of a JPEG photo if higher."
LOSSLESS = "Compress WebP and HEIC without loss. Default: WebP without, HEIC with loss."
EXCLUDE = "Photos to leave out: a pattern such as 'raw/*' or '*-old.jpg'. Can be repeated."
ON_CHANGE = "What happens to results made from another photo, or with other options or models: redo, keep or fail."
DEBUG = "Print the traceback of every failure, as RESTOREKIT_DEBUG=1 does for all commands."
OVERWRITE = "Replace existing files, whoever wrote them, whatever --on-change says."
REPORT = "Write report.html into the folder of the results: photos before and after, settings, times and failures."
TRACE = (
    "Write photo.jpg.trace.png (strip) or an animation, photo.jpg.trace.webp (webp), beside each result: the estimate "
    "of the clean image at increasing steps, and the result."
)
TRACE_FRAMES = "Number of frames of --trace, including the result."
UNCERTAINTY = (
    "Write the mean and the standard deviation of the samples of each photo beside them: photo.jpg.mean.jpg, "
    "photo.jpg.std.png (16 bits, in 1/256 grey levels) and a picture with a scale, photo.jpg.uncertainty.png."
)
DRY_RUN = "Print what would be done and exit."
SEED = "Seed of the run, from which the seed of every photo is derived."
BATCH = (
    "Number of photos that are restored at the same time on each device; their windows are evaluated together. "
    "Default: 4 on a GPU, otherwise 1."
)
DEVICE = "Device to run on: auto, cpu, cuda (all GPUs), cuda:1 or mps."
COMPILE = "Compile the networks, which takes a minute or more and pays in long runs."
PRECISION = "Precision of the networks: auto, float32 or bfloat16."
TILE = "Side of the tiles in pixels, 16 or more. Default: the prior's training size."
ENGINE = "Where photos are restored: local (this machine) or ray (a Ray cluster)."
WORKERS = "Number of workers with --engine ray. Default: one per GPU or, without GPUs, one per machine."
LABELS = "List the classes of the bundled priors and exit."
CHANNEL = (
    "What marks the pixels: luminance (white), colour (strokes of a colour), alpha (opaque pixels), transparency "
    "(transparent pixels), or the value of red, green or blue. auto: chosen for each mask, with a note."
)
RESIZE = "Resize a mask that has another size than the photo, but its aspect ratio."
OnChange = Literal["redo", "keep", "fail"]
Engine = Literal["local", "ray"]
Trace = Literal["strip", "webp"]
# Options of every recipe command: name, type, default.
COMMON: tuple[tuple[str, Any, Any], ...] = (
    ("model", Annotated[str | None, typer.Option(help=MODEL, autocompletion=completion.models)], None),
    ("output", Annotated[str | None, typer.Option("--output", "-o", help=OUTPUT, metavar="PATH")], None),
    ("format", Annotated[str | None, typer.Option(help=FORMAT)], None),
    ("output_quality", Annotated[int | None, typer.Option(help=QUALITY, min=1, max=100)], None),
    ("lossless", Annotated[bool | None, typer.Option(help=LOSSLESS)], None),
    ("exclude", Annotated[list[str] | None, typer.Option(help=EXCLUDE)], None),
    ("on_change", Annotated[OnChange, typer.Option(help=ON_CHANGE)], "redo"),
    ("overwrite", Annotated[bool, typer.Option("--overwrite", help=OVERWRITE)], False),
    ("report", Annotated[bool, typer.Option("--report", help=REPORT)], False),
    ("trace", Annotated[Trace | None, typer.Option(help=TRACE)], None),
    ("trace_frames", Annotated[int, typer.Option(help=TRACE_FRAMES, min=2, max=64)], 9),
    ("dry_run", Annotated[bool, typer.Option("--dry-run", help=DRY_RUN)], False),
    ("json", Annotated[bool, typer.Option("--json", help="Print the report as JSON.")], False),
    ("debug", Annotated[bool, typer.Option("--debug", help=DEBUG)], False),
    ("seed", Annotated[int, typer.Option(help=SEED, min=0)], 0),
    ("batch", Annotated[int | None, typer.Option(help=BATCH, min=1)], None),
    ("device", Annotated[str, typer.Option(help=DEVICE, autocompletion=completion.devices)], "auto"),
    ("precision", Annotated[str, typer.Option(help=PRECISION, autocompletion=completion.precisions)], "auto"),
    ("tile", Annotated[int | None, typer.Option(help=TILE)], None),
    ("compile", Annotated[bool, typer.Option("--compile", help=COMPILE)], False),
    ("engine", Annotated[Engine, typer.Option(help=ENGINE)], "local"),
    ("workers", Annotated[int | None, typer.Option(help=WORKERS, min=1)], None),
)
# Further options of recipes with samples.
SAMPLES: tuple[tuple[str, Any, Any], ...] = (
    ("samples", Annotated[int, typer.Option(help="Number of results per photo.", min=1, max=1000)], 1),
    ("uncertainty", Annotated[bool, typer.Option("--uncertainty", help=UNCERTAINTY)], False),
)
COMPLETIONS: dict[type, Callable[[str], list[str]]] = {
    ClassOption: completion.classes,
    ModelOption: completion.models,
    SolverOption: completion.solvers,
}
METAVARS: dict[type, str] = {ClassOption: "CLASS", ModelOption: "MODEL", NetworkOption: "FILE", SolverOption: "SOLVER"}


def typer_command(recipe: Recipe) -> Callable[..., None]:
    """Return a function from whose signature typer builds the command of a recipe."""
    check_names(recipe)
    parameters = [
        _keyword(
            "inputs",
            Annotated[list[str], typer.Argument(help=INPUTS)],
            ...,
        )
    ]
    for parameter in recipe.parameters:
        parameters += _options(parameter)
    for name, annotation, default in (*COMMON, *(SAMPLES if recipe.samples else ())):
        if name == "model" and recipe.model is None:
            continue
        if name == "model":
            text = f"{MODEL} Default: {recipe.model}."
            annotation = Annotated[str | None, typer.Option(help=text, autocompletion=completion.models)]
        parameters.append(_keyword(name, annotation, default))

    def command(**values: Any) -> None:
        run_recipe(recipe, values)

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    command.__doc__ = recipe.doc
    return command


def _print_classes(value: bool) -> None:
    if not value:
        return
    from restorekit.models.registry import bundled_classes

    for model, names in bundled_classes().items():
        print(f"{model}: {', '.join(names)}")
    raise typer.Exit


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    value = inspect.Parameter.empty if default is ... else default
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=value)


def _options(parameter: Parameter) -> list[inspect.Parameter]:
    """Return the options of the command for a parameter of the recipe."""
    flag = "--" + parameter.name.replace("_", "-")
    default = ... if parameter.required else parameter.default
    text = _help(parameter)
    if isinstance(parameter.spec, ImageOption):
        text = f"{text} A file for all photos, or a folder of files with the names of the photos."
        kind: Any = Annotated[str if parameter.required else str | None, typer.Option(flag, help=text, metavar="PATH")]
        return [_keyword(parameter.name, kind, default), *_readings(parameter, parameter.spec)]
    if parameter.kind is bool:
        return [_keyword(parameter.name, Annotated[bool, typer.Option(help=text)], default)]

    def parse(value: Any) -> Any:
        try:
            return parameter.validate(value, "")
        except OptionError as error:
            raise typer.BadParameter(str(error).split(":", 1)[1].strip()) from None

    complete = COMPLETIONS.get(type(parameter.spec)) or completion.words(parameter)
    option = typer.Option(flag, help=text, parser=parse, metavar=_metavar(parameter), autocompletion=complete)
    labels = Annotated[bool, typer.Option("--labels", help=LABELS, is_eager=True, callback=_print_classes)]
    extra = [_keyword("labels", labels, False)] if isinstance(parameter.spec, ClassOption) else []
    return [_keyword(parameter.name, Annotated[Any, option], default), *extra]


def _readings(parameter: Parameter, spec: ImageOption) -> list[inspect.Parameter]:
    """Return the options that state how a side image is read."""
    flag = parameter.name.replace("_", "-")
    inverted = Annotated[bool, typer.Option(f"--invert-{flag}", help="Swap black and white.")]
    channel = Annotated[MaskChannel, typer.Option(f"--{flag}-channel", help=CHANNEL)]
    resized = Annotated[bool, typer.Option(f"--resize-{flag}", help=RESIZE)]
    options = [_keyword(f"invert_{parameter.name}", inverted, False)] if spec.invertible else []
    if spec.is_mask:
        options.append(_keyword(f"{parameter.name}_channel", channel, "auto"))
        options.append(_keyword(f"resize_{parameter.name}", resized, False))
    return options


def _help(parameter: Parameter) -> str:
    """Return the help of an option, with the allowed range of a number."""
    text = parameter.spec.help.strip()
    values = f"{parameter.range}{''.join(f' or {word}' for word in parameter.words)}"
    return f"{text} Allowed: {values}.".strip() if parameter.range else text


def _metavar(parameter: Parameter) -> str:
    """Return the placeholder of a value in the help."""
    if type(parameter.spec) in METAVARS:
        return METAVARS[type(parameter.spec)]
    numbers = parameter.choices or {int: ["INTEGER"], float: ["NUMBER"]}.get(parameter.kind, [])
    return "|".join(map(str, (*numbers, *parameter.words)))
