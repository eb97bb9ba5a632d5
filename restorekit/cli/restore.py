"""Running a recipe on files and folders: from the parsed command line to the printed report."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import typer

from restorekit.cli.report import plan_json, plan_text, print_report, report_json
from restorekit.cli.terminal import RunProgress
from restorekit.core.recipe import Recipe
from restorekit.core.signals import sigterm_raises
from restorekit.errors import OptionError, unknown

if TYPE_CHECKING:
    from restorekit.run.plan import Plan
    from restorekit.run.runner import Runner
    from restorekit.run.settings import Settings

EXIT_CODES = {"interrupted": 130, "terminated": 143}


def run_recipe(recipe: Recipe, values: dict[str, Any]) -> None:
    """Restore the photos that the command line names; exit with code 1 if one of them failed.

    values: the parameters of the command, by name.
    """
    from restorekit.run.folder import run_jobs
    from restorekit.run.results import planned

    with sigterm_raises(), _standard_streams(values) as out:
        plan, settings = _plan(recipe, values), _settings(recipe, values)
        with RunProgress(recipe.name, len(plan.jobs)) as progress:
            runner = _runner(recipe, values, progress)
            if recipe.evaluations is not None:
                progress.steps = recipe.evaluations(runner.options.options)
            if not values["dry_run"]:
                report = run_jobs(plan, runner, settings, lambda job: progress.photo_done())
        if values["dry_run"]:
            states = planned(plan.jobs, runner, settings)
            print(plan_json(runner, plan, states) if values["json"] else plan_text(runner, plan, states), file=out)
            if plan.failed or any(state.startswith("failed") for state in states):
                raise typer.Exit(1)
            return
        if values["json"]:
            print(report_json(recipe, plan, report), file=out)
        else:
            print_report(recipe, plan, report, debug=values["debug"], out=out)
    if report.stopped or report.failed:
        raise typer.Exit(EXIT_CODES.get(report.stopped, 1))


def _plan(recipe: Recipe, values: dict[str, Any]) -> Plan:
    from restorekit.run.plan import plan_jobs

    return plan_jobs(
        values["inputs"],
        values["output"],
        recipe,
        {p.name: values[p.name] for p in recipe.side_images if values[p.name] is not None},
        samples=values.get("samples", 1),
        suffix=None if values["format"] is None else _suffix(values["format"]),
        exclude=values["exclude"] or (),
    )


def _runner(recipe: Recipe, values: dict[str, Any], progress: RunProgress) -> Runner:
    from restorekit.run.engine import make_engine
    from restorekit.run.runner import Runner

    engine = make_engine(values["device"], values["precision"], values["tile"])
    options = {p.name: values[p.name] for p in recipe.parameters}
    return Runner(recipe, values["model"], options, engine, progress.windows_done)


def _settings(recipe: Recipe, values: dict[str, Any]) -> Settings:
    from restorekit.run.formats import Encoding
    from restorekit.run.settings import Settings

    return Settings(
        values["seed"],
        values["batch"],
        values["overwrite"],
        values["on_change"],
        frozenset(p.name for p in recipe.side_images if values.get(f"invert_{p.name}")),
        Encoding(values["output_quality"], values["lossless"]),
    )


def _suffix(name: str) -> str:
    """Return the file suffix of a format."""
    from restorekit.core.files import IMAGE_SUFFIXES

    suffix = "." + name.lower().lstrip(".")
    if suffix not in IMAGE_SUFFIXES:
        raise OptionError(unknown("format", name, [s[1:] for s in IMAGE_SUFFIXES], "--format"))
    return suffix


@contextlib.contextmanager
def _standard_streams(values: dict[str, Any]) -> Iterator[Any]:
    """Replace `-` among the inputs and the output by temporary files; yield the stream of the summary.

    The summary goes to standard error if the result goes to standard output.
    """
    from restorekit.run.streams import STANDARD, standard_files

    if STANDARD not in values["inputs"] and values["output"] != STANDARD:
        yield sys.stdout
        return
    if len(values["inputs"]) > 1 or values.get("samples", 1) > 1:
        raise OptionError("-: standard input and output are one image; allowed: one photo and --samples 1")
    suffix = None if values["format"] is None else _suffix(values["format"])
    with standard_files(values["inputs"][0], values["output"], suffix) as files:
        values["inputs"], values["output"] = [files.source], files.target
        yield sys.stderr if files.to_output else sys.stdout
        if files.to_output:
            files.write_output()
