"""Running a recipe on files and folders: from the parsed command line to the printed report."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from restorekit.cli.terminal import progress_bar
from restorekit.core.recipe import Recipe
from restorekit.errors import OptionError, unknown

if TYPE_CHECKING:
    from restorekit.run.folder import RunReport
    from restorekit.run.plan import Job

LOSSY = (".jpg", ".jpeg")


def run_recipe(recipe: Recipe, values: dict[str, Any]) -> None:
    """Restore the photos that the command line names; exit with code 1 if one of them failed.

    values: the parameters of the command, by name.
    """
    from restorekit.run.engine import make_engine
    from restorekit.run.folder import Settings, run_jobs
    from restorekit.run.plan import plan_jobs
    from restorekit.run.runner import Runner

    side_images = {p.name: values[p.name] for p in recipe.side_images if values[p.name] is not None}
    inverted = frozenset(name for name in side_images if values.get(f"invert_{name}"))
    suffix = None if values["format"] is None else _suffix(values["format"])
    samples = values.get("samples", 1)
    jobs = plan_jobs(values["inputs"], values["output"], recipe, side_images, samples=samples, suffix=suffix)
    engine = make_engine(values["device"], values["precision"], values["tile"])
    runner = Runner(recipe, values["model"], {p.name: values[p.name] for p in recipe.parameters}, engine)
    settings = Settings(values["seed"], values["batch"], values["overwrite"], inverted)
    with progress_bar(recipe.name) as bar:
        task = bar.add_task("", total=len(jobs))
        report = run_jobs(jobs, runner, settings, lambda job: bar.advance(task))
    _print_report(recipe, jobs, report)
    if report.failed:
        raise typer.Exit(1)


def _suffix(name: str) -> str:
    """Return the file suffix of a format."""
    from restorekit.core.files import IMAGE_SUFFIXES

    suffix = "." + name.lower().lstrip(".")
    if suffix not in IMAGE_SUFFIXES:
        raise OptionError(unknown("format", name, [s[1:] for s in IMAGE_SUFFIXES], "--format"))
    return suffix


def _print_report(recipe: Recipe, jobs: list[Job], report: RunReport) -> None:
    """Print notes and failures to standard error and a summary to standard output."""
    restored = set(report.restored)
    targets = [target for job in jobs if job.source in restored for target in job.targets]
    notes = list(report.notes)
    if recipe.keeps_pixels and any(target.suffix.lower() in LOSSY for target in targets):
        notes.append("JPEG is lossy: all pixels change slightly; --format png keeps known pixels bit-identical")
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    for source, message in report.failed:
        print(f"failed: {message if str(source) in message else f'{source}: {message}'}", file=sys.stderr)
    summary = [f"{len(report.restored)} restored{_location(targets)}"]
    if report.skipped:
        summary.append(f"{len(report.skipped)} skipped because results exist (--overwrite restores them again)")
    if report.failed:
        summary.append(f"{len(report.failed)} failed")
    print(f"{recipe.name}: {', '.join(summary)}")


def _location(targets: list[Path]) -> str:
    """Return " to PATH" with the target, or with the common folder of several; "" if there is none."""
    if len(targets) < 2:
        return "".join(f" to {target}" for target in targets)
    try:
        return f" to {os.path.commonpath([target.parent for target in targets]) or '.'}"
    except ValueError:  # a mixture of absolute and relative paths
        return ""
