"""The command line."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
import typer.main

from restorekit import __version__
from restorekit.commands import MODEL as MODEL_HELP
from restorekit.commands import typer_command
from restorekit.errors import OptionError, RestorekitError
from restorekit.listings import list_solvers
from restorekit.plugin_commands import RUN_SETTINGS, plugins_app, run_file
from restorekit.plugins import SELECTION, recipes, unimported, warn_of_broken_plugins

HELP = "Restore folders of real photos with generative priors."


def _version(wanted: bool) -> None:
    if wanted:
        print(f"restorekit {__version__}")
        raise typer.Exit


def build_app() -> typer.Typer:
    """The application: restorekit's own commands, and one for every recipe."""
    app = typer.Typer(help=HELP, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

    @app.callback()
    def options(
        version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say it.")] = False,
        no_plugins: Annotated[bool, typer.Option("--no-plugins", help="Load no plugin but restorekit's own.")] = False,
    ) -> None: ...

    for name, recipe in recipes().items():
        app.command(name, rich_help_panel="Recipes")(typer_command(recipe))
    app.command("train")(train)
    app.command("sample")(sample)
    app.command("run", context_settings=RUN_SETTINGS)(run_file)
    app.add_typer(plugins_app(), name="plugins")
    app.command("solvers")(list_solvers)
    models = typer.Typer(help="List the priors that ship with restorekit, or push one to the Hub.")
    models.callback(invoke_without_command=True)(list_models)
    models.command("push")(push)
    app.add_typer(models, name="models")
    evaluate = typer.Typer(help="Measure priors beside classical baselines.")
    evaluate.command("denoise")(evaluate_denoise)
    evaluate.command("inpaint")(evaluate_inpaint)
    evaluate.command("bpd")(evaluate_bpd)
    evaluate.command("classify")(evaluate_classify)
    app.add_typer(evaluate, name="evaluate")
    return app


def train(
    plan: Annotated[Path, typer.Argument(help="Training plan in TOML.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder; by default runs/PLAN.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Override a key: a.b=value.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the resolved plan and stop.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in the output.")] = False,
    init_from: Annotated[str | None, typer.Option(help="Prior to start from, as --model takes it.")] = None,
    max_minutes: Annotated[float | None, typer.Option(help="Stop, saved, after this long.", min=0)] = None,
) -> None:
    """Train a prior from a plan."""
    from restorekit.training.plan import read_plan

    resolved = read_plan(plan, set_ or ())
    if dry_run:
        print(resolved.model_dump_json(indent=2))
        return
    try:
        from restorekit.training.loop import train as run
    except ModuleNotFoundError as error:
        raise OptionError(f"train: {error.name} is not installed; pip install 'restorekit[train]'") from error
    from restorekit.models.registry import find_weights

    folder = output or Path("runs") / plan.stem
    start = None if init_from is None else find_weights(init_from)
    run(resolved, folder, resume=resume, init_from=start, max_minutes=max_minutes)
    print(f"train: weights, card and checkpoint are in {folder}")


def sample(
    model: Annotated[str, typer.Option(help=MODEL_HELP)] = "ddpm-photo",
    count: Annotated[int, typer.Option("-n", "--count", help="Number of images.", min=1, max=10_000)] = 16,
    output: Annotated[Path, typer.Option("--output", "-o", help="The grid.")] = Path("samples.png"),
    size: Annotated[int | None, typer.Option(help="Side of an image; by default the prior's.", min=8)] = None,
    sampler: Annotated[
        str, typer.Option(help="auto, ancestral, ddim, euler, heun, dpmpp-2m or langevin (auto for NCSN).")
    ] = "auto",
    steps: Annotated[int, typer.Option(help="Noise levels visited.", min=1, max=1000)] = 100,
    inner_steps: Annotated[int, typer.Option(help="Updates at every level by langevin.", min=1, max=10_000)] = 100,
    label: Annotated[str | None, typer.Option(help="Class of the images, of a prior that has some.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the run.", min=0)] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
) -> None:
    """Draw images from a prior into one picture."""
    from restorekit.models.registry import load_prior
    from restorekit.run.engine import make_engine
    from restorekit.run.images import SUFFIXES
    from restorekit.run.sample import draw, write_grid

    if output.suffix.lower() not in SUFFIXES:
        raise OptionError(f"--output: found {output}, allowed: a file of {', '.join(sorted(SUFFIXES))}")
    engine = make_engine(device, precision)  # type: ignore[arg-type]
    options = {"size": size, "steps": steps, "inner_steps": inner_steps, "sampler": sampler, "seed": seed}
    images = draw(load_prior(model), engine, count, label=label, **options)  # type: ignore[arg-type]
    write_grid(images, output)
    print(f"sample: {count} images in {output}")


def list_models(context: typer.Context) -> None:
    """List the priors that ship with restorekit."""
    if context.invoked_subcommand is not None:
        return
    from restorekit.models.files import read_config
    from restorekit.models.registry import bundled_models

    for model in bundled_models():
        config = read_config(model.path)
        classes = f", classes {', '.join(config.classes)}" if config.classes else ""
        kind = f"{config.family}, {config.channels} channels, trained at {config.size} px{classes}"
        print(f"{model.name}  {kind}, {model.bytes / 1e6:.1f} MB")


def push(
    folder: Annotated[Path, typer.Argument(help="Folder that `restorekit train` wrote.")],
    name: Annotated[str, typer.Argument(help="org/name on the Hugging Face Hub.")],
) -> None:
    """Send a model folder to the Hugging Face Hub."""
    from restorekit.models.registry import push_model

    print(push_model(folder, name))


EVALUATED = Annotated[Path, typer.Argument(help="Folder of clean photos.")]
MODEL = Annotated[str, typer.Option(help=MODEL_HELP)]
EVERY = Annotated[int, typer.Option(help="Take every Nth photo.", min=1)]
BASELINES = Annotated[bool, typer.Option("--baselines/--no-baselines", help="Measure classical methods as well.")]


OPTIONS = Annotated[list[str] | None, typer.Option("--set", help="Option of the recipe: name=value.")]


def evaluate_denoise(
    folder: EVALUATED,
    sigma: Annotated[list[str], typer.Option(help="Noise levels in 8-bit units: 15 25 50.")],
    set_: OPTIONS = None,
    model: MODEL = "ddpm-photo",
    every: EVERY = 1,
    baselines: BASELINES = True,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
) -> None:
    """PSNR and SSIM of denoising, beside NLM, wavelets, TV and, where installed, BM3D."""
    from restorekit.evaluation.denoising import evaluate
    from restorekit.run.engine import make_engine

    engine = make_engine(device, precision)  # type: ignore[arg-type]
    options = _pairs(set_ or [])
    evaluate(
        folder, _numbers(sigma), model, engine, options=options, every=every, baselines=baselines, seed=seed, say=_say
    )


def evaluate_inpaint(
    folder: EVALUATED,
    mask: Annotated[list[Path], typer.Option(help="Masks; KIND-WxH.png serves photos of that size. White is filled.")],
    mode: Annotated[list[str] | None, typer.Option(help="Modes to measure: mean, sample.")] = None,
    set_: OPTIONS = None,
    model: MODEL = "ddpm-fill",
    every: EVERY = 1,
    baselines: BASELINES = True,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
) -> None:
    """PSNR and SSIM of inpainting, inside the hole, beside biharmonic and, where installed, Telea and Navier-Stokes."""
    from restorekit.evaluation.inpainting import evaluate
    from restorekit.run.engine import make_engine

    engine = make_engine(device, precision)  # type: ignore[arg-type]
    modes, options = mode or ["mean"], _pairs(set_ or [])
    evaluate(folder, mask, modes, model, engine, options=options, every=every, baselines=baselines, seed=seed, say=_say)


def _say(line: str) -> None:
    """Print at once, also into a file or a pipe."""
    print(line, flush=True)


def evaluate_bpd(
    folder: EVALUATED,
    model: MODEL = "ddpm-photo",
    steps: Annotated[int, typer.Option(help="Steps of the process, spread over the trained ones.", min=1)] = 100,
    crop: Annotated[int | None, typer.Option(help="Side of the middle that is measured.", min=8)] = None,
    every: EVERY = 1,
    seed: int = 0,
    device: str = "auto",
    precision: str = "float32",
) -> None:
    """Bits per dimension: the variational bound of a DDPM-type prior."""
    from restorekit.evaluation.likelihood import evaluate
    from restorekit.run.engine import make_engine

    engine = make_engine(device, precision)  # type: ignore[arg-type]
    evaluate(folder, model, engine, steps=steps, crop=crop, every=every, seed=seed, say=_say)


def evaluate_classify(
    folder: Annotated[Path, typer.Argument(help="Folder with a sub-folder of photos for each class.")],
    sigma: Annotated[list[str], typer.Option(help="Noise levels in 8-bit units: 0 32 128 512.")],
    model: Annotated[str, typer.Option(help="Classifier: a name, a folder, or hf://org/name@revision.")],
    every: EVERY = 1,
    seed: int = 0,
    device: str = "auto",
) -> None:
    """Accuracy of a classifier of noisy images, by noise level, on the middles of photos."""
    from restorekit.evaluation.classification import evaluate
    from restorekit.run.engine import make_engine

    evaluate(folder, _numbers(sigma), model, make_engine(device, "float32"), every=every, seed=seed, say=_say)


def _pairs(texts: list[str]) -> dict[str, str]:
    """Options of a recipe from name=value."""
    for text in texts:
        if "=" not in text:
            raise OptionError(f"--set: found {text!r}, allowed: name=value")
    return {name.strip().replace("-", "_"): value for name, _, value in (text.partition("=") for text in texts)}


def _numbers(texts: list[str]) -> list[float]:
    """Numbers of repeated options, each possibly several in one word."""
    try:
        return [float(word) for text in texts for word in text.replace(",", " ").split()]
    except ValueError:
        raise OptionError(f"--sigma: found {' '.join(texts)}, allowed: numbers from 0 to 255") from None


# Options that take several words after one flag: `--sigma 15 25 50`.
SEVERAL = ("--sigma", "--mask", "--mode")


def _spread(arguments: list[str]) -> list[str]:
    """`evaluate ... --sigma 15 25 50` as `--sigma 15 --sigma 25 --sigma 50`."""
    if arguments[:1] != ["evaluate"]:
        return arguments
    result: list[str] = []
    flag = None
    for word in arguments:
        if word.startswith("--"):
            flag, fresh = (word, True) if word in SEVERAL else (None, False)
        elif flag is not None:
            result += [word] if fresh else [flag, word]
            fresh = False
            continue
        result.append(word)
    return result


# typer's own errors of usage; typer 0.29 carries its own click, earlier ones import it.
UsageProblem: type[Exception] = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")


def _without_plugins(arguments: list[str]) -> list[str]:
    """`--no-plugins` before the command holds before there are any commands, and for processes that this one starts."""
    leading = list(itertools.takewhile(lambda word: word.startswith("-"), arguments))
    if "--no-plugins" not in leading:
        return arguments
    os.environ[SELECTION] = ""
    return [word for word in leading if word != "--no-plugins"] + arguments[len(leading) :]


def main() -> None:
    """Entry point: errors of the input are one line on standard error; 2 is wrong usage, 1 is all that failed."""
    arguments = _spread(_without_plugins(sys.argv[1:])) or ["--help"]
    # The doctor imports plugins in processes of their own.
    with unimported() if arguments[:2] == ["plugins", "doctor"] else contextlib.nullcontext():
        sys.exit(_called(arguments))


def _called(arguments: list[str]) -> int:
    warn_of_broken_plugins()
    try:
        code = typer.main.get_command(build_app()).main(arguments, prog_name="restorekit", standalone_mode=False)
    except KeyboardInterrupt:
        code = 130
    except (RestorekitError, UsageProblem) as error:
        text = str(error) if isinstance(error, RestorekitError) else getattr(error, "format_message")()  # noqa: B009
        print(f"error: {text}", file=sys.stderr)
        code = 2 if isinstance(error, OptionError | UsageProblem) else 1
    return code if isinstance(code, int) else 0
