"""The commands `restorekit evaluate`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from restorekit.cli import completion
from restorekit.cli.commands import DEVICE, MODEL, PRECISION, SEED
from restorekit.cli.terminal import TableOutput
from restorekit.errors import OptionError

if TYPE_CHECKING:
    from restorekit.run.engine import Engine

Folder = Annotated[Path, typer.Argument(help="Folder of clean photos.")]
Prior = Annotated[str, typer.Option(help=MODEL, autocompletion=completion.models)]
Every = Annotated[int, typer.Option(help="Use every Nth photo.", min=1)]
Baselines = Annotated[bool, typer.Option("--baselines/--no-baselines", help="Also evaluate classical methods.")]
Options = Annotated[list[str] | None, typer.Option("--set", help="Set an option of the recipe: name=value.")]
Seed = Annotated[int, typer.Option(help="Seed of the degradations and of the recipe.", min=0)]
Device = Annotated[str, typer.Option(help=DEVICE, autocompletion=completion.devices)]
Precision = Annotated[str, typer.Option(help=PRECISION, autocompletion=completion.precisions)]
Json = Annotated[bool, typer.Option("--json", help="Print the rows as JSON at the end.")]
OUTPUT = "Folder for results.md, results.json and plot.png, which must not exist yet."
Output = Annotated[Path | None, typer.Option("--output", "-o", help=OUTPUT)]

# Options that accept several values after one flag: `--sigma 15 25 50`.
LIST_FLAGS = ("--sigma", "--mask", "--mode")
# Largest number of rows in a plot of pairs; of more, it shows only the means.
MAX_PLOTTED = 60


def evaluate_app() -> typer.Typer:
    """Return the group `restorekit evaluate`."""
    app = typer.Typer(help="Compare priors with classical baselines.")
    app.command("denoise")(evaluate_denoise)
    app.command("inpaint")(evaluate_inpaint)
    app.command("pairs")(evaluate_pairs)
    app.command("bpd")(evaluate_bpd)
    app.command("classify")(evaluate_classify)
    return app


def evaluate_denoise(
    folder: Folder,
    sigma: Annotated[list[str], typer.Option(help="Noise levels in 8-bit grey levels: 15 25 50.")],
    set_: Options = None,
    model: Prior = "ddpm-photo",
    every: Every = 1,
    baselines: Baselines = True,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    as_json: Json = False,
    output: Output = None,
) -> None:
    """Report PSNR and SSIM of denoising, compared with NLM, wavelets, TV and, if installed, BM3D."""
    from restorekit.evaluation.denoising import evaluate
    from restorekit.run.engine import make_engine

    engine = make_engine(device, precision)  # type: ignore[arg-type]
    sigmas, options = _numbers(sigma), _pairs(set_ or [])
    table = _Table(as_json, output)
    evaluate(
        folder,
        sigmas,
        model,
        engine,
        options=options,
        every=every,
        baselines=baselines,
        seed=seed,
        write_line=table.write,
    )
    table.finish("denoise", engine, ("sigma", "method", "PSNR (dB)"))


def evaluate_inpaint(
    folder: Folder,
    mask: Annotated[
        list[Path],
        typer.Option(help="Mask files or folders; white is filled. KIND-WxH.png is for photos of that size."),
    ],
    mode: Annotated[list[str] | None, typer.Option(help="Modes to evaluate: mean or sample. Default: mean.")] = None,
    set_: Options = None,
    model: Prior = "ddpm-fill",
    every: Every = 1,
    baselines: Baselines = True,
    samples: Annotated[
        int, typer.Option(help="Number of samples of --mode sample, of which the mean is measured.", min=1)
    ] = 1,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    as_json: Json = False,
    output: Output = None,
) -> None:
    """Report hole PSNR and SSIM of inpainting, compared with biharmonic and, if installed, Telea and Navier-Stokes."""
    from restorekit.evaluation.inpainting import evaluate
    from restorekit.run.engine import make_engine

    engine = make_engine(device, precision)  # type: ignore[arg-type]
    modes, options = mode or ["mean"], _pairs(set_ or [])
    table = _Table(as_json, output)
    evaluate(
        folder,
        mask,
        modes,
        model,
        engine,
        options=options,
        every=every,
        baselines=baselines,
        samples=samples,
        seed=seed,
        write_line=table.write,
    )
    table.finish("inpaint", engine, ("mask", "method", "PSNR (dB)"))


def evaluate_pairs(
    folder: Annotated[Path, typer.Argument(help="Folder of degraded photos, or of degraded and true photos.")],
    true_folder: Annotated[
        Path | None,
        typer.Argument(help="Folder of true photos with the same relative paths. Default: they are in FOLDER."),
    ] = None,
    recipe: Annotated[str, typer.Option(help="Recipe to evaluate.")] = "denoise",
    set_: Options = None,
    model: Annotated[str | None, typer.Option(help=f"{MODEL} Default: that of the recipe.")] = None,
    suffixes: Annotated[
        tuple[str, str] | None,
        typer.Option(help="With one folder: ends of the names of degraded and of true photos. Default: _real _mean."),
    ] = None,
    every: Annotated[int, typer.Option(help="Use every Nth pair.", min=1)] = 1,
    baselines: Annotated[
        bool, typer.Option("--baselines/--no-baselines", help="Also evaluate BM3D or NLM at its best strength.")
    ] = True,
    seed: Annotated[int, typer.Option(help=SEED, min=0)] = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    as_json: Json = False,
    output: Output = None,
) -> None:
    """Report PSNR and SSIM before and after a recipe on pairs of degraded and true photos, compared with BM3D or NLM.

    In one folder, photo_real.jpg and photo_mean.png are a pair; in two folders, files with the same relative path and
    name. Results are rounded to the bit depth of the photo, like the files that the recipe's command writes.
    """
    from restorekit.evaluation.pairs import evaluate, find_recipe
    from restorekit.run.engine import make_engine

    engine = make_engine(device, precision)  # type: ignore[arg-type]
    table = _Table(as_json, output)
    report = evaluate(
        folder,
        find_recipe(recipe),
        engine,
        true_folder=true_folder,
        suffixes=suffixes,
        model=model,
        options=_pairs(set_ or []),
        every=every,
        baselines=baselines,
        seed=seed,
        write_line=table.write,
    )
    # A plot of many photos would be too high.
    shown = None if len(report.rows) <= MAX_PLOTTED else -len(report.totals)
    table.finish("pairs", engine, ("photo", "method", "gain (dB)"), report.notes, shown)
    for note in report.notes:
        print(f"note: {note}", file=sys.stderr)


def evaluate_bpd(
    folder: Folder,
    model: Prior = "ddpm-photo",
    steps: Annotated[
        int | None,
        typer.Option(help="Number of steps, a subset of the trained steps. Default: all trained steps.", min=1),
    ] = None,
    crop: Annotated[
        int | None,
        typer.Option(help="Side of the center crop in pixels. Default: the prior's training size.", min=8),
    ] = None,
    every: Every = 1,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "float32",
    as_json: Json = False,
    output: Output = None,
) -> None:
    """Report the variational bound of a DDPM-type prior in bits per dimension."""
    from restorekit.evaluation.likelihood import evaluate
    from restorekit.run.engine import make_engine

    engine = make_engine(device, precision)  # type: ignore[arg-type]
    table = _Table(as_json, output)
    evaluate(folder, model, engine, steps=steps, crop=crop, every=every, seed=seed, write_line=table.write)
    table.finish("bpd", engine, ("crop", "model", "bits per dimension"))


def evaluate_classify(
    folder: Annotated[Path, typer.Argument(help="Folder with one subfolder of photos per class.")],
    sigma: Annotated[list[str], typer.Option(help="Noise levels in 8-bit grey levels: 0 32 128 512.")],
    model: Annotated[str, typer.Option(help="Classifier: a name, a folder, or hf://org/name@revision.")],
    every: Every = 1,
    seed: Seed = 0,
    device: Device = "auto",
    as_json: Json = False,
    output: Output = None,
) -> None:
    """Report the accuracy of a classifier of noisy images at each noise level, on center crops of photos."""
    from restorekit.evaluation.classification import evaluate
    from restorekit.run.engine import make_engine

    engine = make_engine(device, "float32")
    table = _Table(as_json, output)
    evaluate(folder, _numbers(sigma), model, engine, every=every, seed=seed, write_line=table.write)
    table.finish("classify", engine, ("sigma", "model", "accuracy"))


class _Table:
    """The table of an evaluation: on standard output and, if there is a folder, in files.

    Arguments:
        as_json: whether to print JSON.
        folder: folder of the files; None for none.
    """

    def __init__(self, as_json: bool, folder: Path | None) -> None:
        self._output, self._folder = TableOutput(as_json), folder
        self.write = self._output.write
        if folder is not None:
            from restorekit.evaluation.result_files import check_folder

            check_folder(folder)

    def finish(
        self,
        name: str,
        engine: Engine,
        chart: tuple[str, str, str],
        notes: Sequence[str] = (),
        first: int | None = None,
    ) -> None:
        """Print the JSON and write the files.

        name: name of the evaluation. chart: see `Chart`. first: number of the first row of the plot.
        """
        self._output.finish()
        if self._folder is None:
            return
        from restorekit.evaluation.result_files import Chart, Evaluation, write_evaluation

        command, rows = shlex.join(["restorekit", *sys.argv[1:]]), self._output.rows()
        evaluation = Evaluation(name, command, engine, self._output.lines, rows, notes)
        write_evaluation(evaluation, self._folder, Chart(*chart), rows[first:])


def _pairs(texts: list[str]) -> dict[str, str]:
    """Parse options of a recipe: name=value."""
    for text in texts:
        if "=" not in text:
            raise OptionError(f"--set: found {text!r}, allowed: name=value")
    return {name.strip().replace("-", "_"): value for name, _, value in (text.partition("=") for text in texts)}


def _numbers(texts: list[str]) -> list[float]:
    """Parse numbers that are separated by commas or spaces."""
    try:
        return [float(word) for text in texts for word in text.replace(",", " ").split()]
    except ValueError:
        raise OptionError(f"--sigma: found {' '.join(texts)}, allowed: numbers, 0 or greater") from None


def repeat_flags(arguments: list[str]) -> list[str]:
    """Rewrite `evaluate ... --sigma 15 25 50` as `evaluate ... --sigma 15 --sigma 25 --sigma 50`."""
    if arguments[:1] != ["evaluate"]:
        return arguments
    result: list[str] = []
    flag, needs_flag = None, False
    for word in arguments:
        if word.startswith("--"):
            flag, needs_flag = (word if word in LIST_FLAGS else None), False
        elif flag is not None:
            if needs_flag:
                result.append(flag)
            needs_flag = True
        result.append(word)
    return result
