"""Running a recipe on files and folders: from the parsed command line to the printed report."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from restorekit.cli.process import one_thread, paused_collection
from restorekit.cli.report import plan_json, plan_text, print_report, problems_text, report_json
from restorekit.cli.terminal import RunProgress
from restorekit.core.memory import limit_caches, reuse_large_buffers
from restorekit.core.recipe import Recipe
from restorekit.core.signals import sigterm_raises
from restorekit.errors import OptionError

if TYPE_CHECKING:
    from restorekit.run.session import Request

EXIT_CODES = {"interrupted": 130, "terminated": 143}


def run_recipe(recipe: Recipe, values: dict[str, Any]) -> None:
    """Restore the photos that the command line names; exit with code 1 if one of them failed.

    values: the parameters of the command, by name.
    """
    limit_caches()
    reuse_large_buffers()
    with paused_collection():
        from restorekit.run.session import open_session

    with sigterm_raises(), _standard_streams(values) as out, open_session(_request(recipe, values)) as session:
        plan = session.plan
        if problems := problems_text(plan):
            print(problems, file=sys.stderr, flush=True)
        with RunProgress(recipe.name, len(plan.jobs)) as progress:
            with one_thread():
                runner = session.runner(dry_run=values["dry_run"])
            if recipe.evaluations is not None:
                progress.steps = recipe.evaluations(runner.options.options)
            if not values["dry_run"]:
                report = session.restore(runner, progress.photo_done, progress.observe)
        if values["dry_run"]:
            states = session.states(runner)
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


def _request(recipe: Recipe, values: dict[str, Any]) -> Request:
    from restorekit.run.formats import Encoding
    from restorekit.run.session import Request
    from restorekit.run.settings import Settings, trace_of
    from restorekit.run.side_images import readings

    encoding = Encoding(values["output_quality"], values["lossless"])
    settings = {name: values[name] for name in ("seed", "batch", "overwrite", "on_change")}
    settings["trace"] = trace_of(values["trace"], values["trace_frames"])
    settings["uncertainty"] = values.get("uncertainty", False)  # only recipes with samples have it
    same = ("output", "format", "device", "precision", "tile", "compile", "engine", "workers", "report")
    return Request(
        recipe,
        tuple(values["inputs"]),
        options={p.name: values[p.name] for p in recipe.parameters},
        settings=Settings(**settings, readings=readings(recipe, values), encoding=encoding),
        samples=values.get("samples", 1),
        exclude=values["exclude"] or (),
        command=shlex.join(["restorekit", *sys.argv[1:]]),
        model=values.get("model"),  # a recipe without a prior has no --model
        **{name: values[name] for name in same},
    )


@contextlib.contextmanager
def _standard_streams(values: dict[str, Any]) -> Iterator[Any]:
    """Replace `-` among the inputs and the output by temporary files; yield the stream of the summary.

    The summary goes to standard error if the result goes to standard output.
    """
    from restorekit.run.session import suffix_of
    from restorekit.run.streams import STANDARD, standard_files

    inputs, output = values["inputs"], values["output"]
    if str(STANDARD) not in (*inputs, output):
        yield sys.stdout
        return
    for name in ("report", "trace"):
        if values[name]:
            raise OptionError(f"--{name}: found - (standard input or output), allowed: files and folders")
    if len(inputs) > 1 or values.get("samples", 1) > 1:
        raise OptionError("-: standard input and output are one image; allowed: one photo and --samples 1")
    suffix = None if values["format"] is None else suffix_of(values["format"])
    with standard_files(Path(inputs[0]), None if output is None else Path(output), suffix) as files:
        values["inputs"] = [files.source if inputs == [str(STANDARD)] else inputs[0]]
        values["output"] = files.target if files.to_output else output
        yield sys.stderr if files.to_output else sys.stdout
        if files.to_output:
            files.write_output()
