"""`restorekit.restore_folder`: what the command of a recipe does, from Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from restorekit.core.denoiser import Denoiser
from restorekit.core.noise import check_seed, new_seed
from restorekit.core.recipe import Recipe
from restorekit.errors import ModelError, OptionError, unknown
from restorekit.plugins.discovery import recipes
from restorekit.run.api import check_samples, take_readings
from restorekit.run.arguments import check_arguments, python_names, texts
from restorekit.run.engine import Precision
from restorekit.run.formats import Encoding
from restorekit.run.plan import Job
from restorekit.run.session import EngineName, Request, open_session
from restorekit.run.settings import FRAMES, OnChange, RunReport, Settings, TraceKind, trace_of
from restorekit.run.side_images import readings


@python_names()
def restore_folder(
    recipe: str | Recipe | Callable[..., Any],
    inputs: str | Path | Sequence[str | Path],
    output: str | Path | None = None,
    prior: Denoiser | str | Path | None = None,
    *,
    seed: int | None = 0,
    samples: int = 1,
    format: str | None = None,
    output_quality: int | None = None,
    lossless: bool | None = None,
    exclude: str | Sequence[str] = (),
    on_change: OnChange = "redo",
    overwrite: bool = False,
    batch: int | None = None,
    device: str = "auto",
    precision: Precision = "auto",
    tile: int | None = None,
    compile: bool = False,
    engine: EngineName = "local",
    workers: int | None = None,
    report: bool | str | Path = False,
    trace: TraceKind | None = None,
    trace_frames: int = FRAMES,
    uncertainty: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
    **options: Any,
) -> RunReport:
    """Restore photos and folders as the command of the recipe does: `restorekit RECIPE INPUTS -o OUTPUT`.

    Results that exist are kept, so that a run that was interrupted continues; a photo that fails is listed in the
    report, and the others are still restored.

    Arguments:
        recipe: name of a recipe, the recipe, or its function, such as `rk.denoise`.
        inputs: photos, folders, patterns and URLs: one or several.
        output: file, folder or URL to write; None for a folder beside the input.
        prior: a denoiser, or what `load_prior` accepts; None for the default of the recipe.
        seed: seed of the run, an integer >= 0; None for a new one, which the report contains.
        samples: number of results per photo, for recipes with samples.
        format: output format, such as "png"; None for that of each photo.
        output_quality, lossless: see `Encoding`.
        exclude: patterns of photos to leave out.
        on_change, overwrite, batch: see `Settings`.
        device, precision, tile, compile: see `restorekit.run.engine.make_engine`.
        engine, workers: "ray" restores the photos on a Ray cluster with that number of workers.
        report: whether to write an HTML report, `report.html` in the folder that all results share; or the file to
            write. `RunReport.page` is its path.
        trace, trace_frames: what is written beside each result to show how it was made; see `Trace`.
        uncertainty: whether the mean and the standard deviation of the samples of each photo are written beside them:
            photo.jpg.mean.jpg, photo.jpg.std.png (16 bits, in 1/256 grey levels) and photo.jpg.uncertainty.png.
        progress: called with the number of photos that are done and their total.
        options: options of the recipe. Side images are files, folders or URLs; `invert_NAME`, and for masks
            `NAME_channel` and `resize_NAME`, are those of the command.

    Returns the report: `restored`, `results`, `skipped`, `failed` with messages, `notes`, `seed`.

    Raises OptionError for an option that is not allowed, ImageError if no photo is found or the output cannot be used,
    ModelError for a prior, and KeyboardInterrupt after the photos in progress were stopped.
    """
    recipe = _recipe(recipe)
    where = "restore_folder"
    check_samples(recipe, samples)
    check_arguments(
        where, output=output, format=format, output_quality=output_quality, lossless=lossless, overwrite=overwrite,
        batch=batch, device=device, precision=precision, tile=tile, compile=compile, workers=workers, report=report,
        trace_frames=trace_frames, uncertainty=uncertainty, progress=progress,
    )  # fmt: skip
    seed = new_seed() if seed is None else check_seed(seed, recipe.name)
    reading = take_readings(recipe, options)
    encoding = Encoding(output_quality, lossless)
    traced = trace_of(trace, trace_frames)
    side_readings = readings(recipe, reading)
    request = Request(
        recipe,
        texts(inputs, "inputs", where),
        output,
        prior,
        options,
        Settings(seed, batch, overwrite, on_change, side_readings, encoding, traced, uncertainty),
        samples,
        format,
        texts(exclude, "exclude", where, (str,)),
        device,
        precision,
        tile,
        compile,
        engine,
        workers,
        report,
    )
    if engine == "ray" and isinstance(prior, Denoiser):
        found = f"a {type(prior).__name__}"
        raise ModelError(f"restore_folder: the prior is {found}, allowed with engine='ray': a name or a path")
    with open_session(request) as session:
        total, done = len(session.plan.jobs), 0

        def photo_done(job: Job) -> None:
            nonlocal done
            done += 1
            progress(done, total)

        outcome = session.restore(session.runner(), photo_done)
    if outcome.stopped == "interrupted":
        raise KeyboardInterrupt
    outcome.seed = seed
    return outcome


def _recipe(recipe: Any) -> Recipe:
    recipe = getattr(recipe, "recipe", recipe)  # of a function such as `rk.denoise`
    if isinstance(recipe, Recipe):
        return recipe
    found = recipes()
    if not isinstance(recipe, str):
        raise OptionError(f"restore_folder: found a {type(recipe).__name__}, allowed: a recipe, or its name")
    if recipe not in found:
        raise OptionError(unknown("recipe", str(recipe), found, "restore_folder"))
    return found[recipe]
