"""Running a recipe on files and folders: from the parsed command line to the printed report."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import typer

from restorekit.cli.process import one_thread, paused_collection
from restorekit.cli.report import plan_json, plan_text, print_report, report_json
from restorekit.cli.terminal import RunProgress
from restorekit.core.memory import limit_caches, reuse_large_buffers
from restorekit.core.recipe import Recipe
from restorekit.core.signals import sigterm_raises
from restorekit.errors import OptionError, unknown

if TYPE_CHECKING:
    from restorekit.run.plan import Job, Plan
    from restorekit.run.remote import RemoteRun
    from restorekit.run.runner import Runner
    from restorekit.run.settings import RunReport, Settings
    from restorekit.run.transfer import Transfer

EXIT_CODES = {"interrupted": 130, "terminated": 143}


def run_recipe(recipe: Recipe, values: dict[str, Any]) -> None:
    """Restore the photos that the command line names; exit with code 1 if one of them failed.

    values: the parameters of the command, by name.
    """
    limit_caches()
    reuse_large_buffers()
    with paused_collection():
        from restorekit.run.results import planned

    with sigterm_raises(), _remote_files(recipe, values) as remote, _standard_streams(values) as out:
        plan, settings = _plan(recipe, values), _settings(recipe, values)
        transfer = None if remote is None else remote.transfer(plan)
        with RunProgress(recipe.name, len(plan.jobs)) as progress:
            with one_thread():
                runner = _runner(recipe, values)
            if recipe.evaluations is not None:
                progress.steps = recipe.evaluations(runner.options.options)
            if not values["dry_run"]:
                report = _run_jobs(recipe, values, plan, runner, settings, transfer, progress)
        if values["dry_run"]:
            states = planned(plan.jobs, runner, settings, transfer)
            print(plan_json(runner, plan, states) if values["json"] else plan_text(runner, plan, states), file=out)
            if plan.failed or any(state.startswith("failed") for state in states):
                raise typer.Exit(1)
            return
        if remote is not None:
            report.failed += remote.finish(plan)
        if values["json"]:
            print(report_json(recipe, plan, report), file=out)
        else:
            print_report(recipe, plan, report, debug=values["debug"], out=out)
    if report.stopped or report.failed:
        raise typer.Exit(EXIT_CODES.get(report.stopped, 1))


def _run_jobs(
    recipe: Recipe,
    values: dict[str, Any],
    plan: Plan,
    runner: Runner,
    settings: Settings,
    transfer: Transfer | None,
    progress: RunProgress,
) -> RunReport:
    """Restore the photos on this machine or on a Ray cluster."""

    def photo_done(job: Job) -> None:
        progress.photo_done()

    if values["engine"] == "local":
        from restorekit.run.folder import run_jobs

        return run_jobs(plan, runner, settings, photo_done, transfer, progress.windows_done)
    from restorekit.run.ray_engine import run_jobs_on_ray
    from restorekit.run.ray_worker import describe

    options = {p.name: values[p.name] for p in recipe.parameters}
    engine = {name: values[name] for name in ("device", "precision", "tile", "compile")}
    description = describe(recipe, values["model"], options, **engine)
    return run_jobs_on_ray(plan, description, settings, photo_done, transfer, workers=values["workers"])


@contextlib.contextmanager
def _remote_files(recipe: Recipe, values: dict[str, Any]) -> Iterator[RemoteRun | None]:
    """Replace the texts of the inputs, the output and the side images by paths; yield the run if one is remote."""
    from restorekit.run.mirror import is_url, local_path

    inputs, output = values["inputs"], values["output"]
    side_images = {p.name: values[p.name] for p in recipe.side_images if values[p.name] is not None}
    if not any(map(is_url, (*inputs, *side_images.values(), output or ""))):
        values["inputs"] = [local_path(text) for text in inputs]
        values["output"] = None if output is None else local_path(output)
        values.update({name: local_path(text) for name, text in side_images.items()})
        yield None
        return
    from restorekit.run.remote import RemoteRun

    with RemoteRun() as remote:
        paths = remote.paths(inputs, output, side_images)
        values.update(paths.side_images, inputs=paths.inputs, output=paths.output)
        yield remote


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


def _runner(recipe: Recipe, values: dict[str, Any]) -> Runner:
    from restorekit.run.engine import make_engine
    from restorekit.run.runner import Runner

    if values["engine"] == "local" and values["workers"] is not None:
        raise OptionError("--workers requires --engine ray")
    if values["engine"] == "local" or values["dry_run"]:
        engine = make_engine(values["device"], values["precision"], values["tile"], values["compile"])
    else:  # the runner only validates the options; this machine may have no GPU
        engine = make_engine("cpu", values["precision"], values["tile"])
    options = {p.name: values[p.name] for p in recipe.parameters}
    return Runner(recipe, values["model"], options, engine)


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
