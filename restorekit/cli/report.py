"""The printed report of a run over photos, as text or JSON."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from restorekit.core.recipe import Recipe
from restorekit.errors import printable
from restorekit.plugins.plugin_errors import is_debugging
from restorekit.run.mirror import url_of, with_urls

if TYPE_CHECKING:
    from restorekit.run.plan import Job, Plan
    from restorekit.run.runner import Runner
    from restorekit.run.settings import RunReport

# Number of names in a line about photos.
NAMES = 5


def problems_text(plan: Plan) -> str:
    """Return a line about the photos of a run that cannot be restored, such as those without a mask; "" for none."""
    found = [job for job in plan.jobs if job.problem]
    if not found or len(found) == len(plan.jobs):
        return ""
    names = ", ".join(str(job.source) for job in found[:NAMES])
    more = f" and {len(found) - NAMES} more" if len(found) > NAMES else ""
    count = f"{len(found)} of {len(plan.jobs)} photos cannot be restored"
    return _shown(f"note: {count}: {names}{more} ({found[0].problem})")


def print_report(recipe: Recipe, plan: Plan, report: RunReport, *, debug: bool, out: Any) -> None:
    """Print notes and failures to standard error and a summary to `out`.

    debug: whether to print the traceback of every failure, as the environment variable RESTOREKIT_DEBUG also does.
    """
    if plan.skipped:
        print(f"skipped: {_shown(plan.skipped_text)}", file=sys.stderr)
    for note in notes(recipe, report):
        print(f"note: {_shown(note)}", file=sys.stderr)
    for source, message in report.failed:
        place, message = _shown(str(source)), _shown(message)
        print(f"failed: {message if place in message else f'{place}: {message}'}", file=sys.stderr)
        if (debug or is_debugging()) and source in report.traces:
            print(report.traces[source], file=sys.stderr, end="")
    summary = [f"{len(report.restored)} restored{_shown(_location(_targets(report)))}"]
    if report.skipped:
        summary.append(f"{len(report.skipped)} skipped because results exist (--overwrite restores them again)")
    if report.kept:
        summary.append(
            f"{len(report.kept)} kept (made from another photo or with other settings, or not by restorekit)"
        )
    if report.failed:
        summary.append(f"{len(report.failed)} failed")
    print(f"{recipe.name}: {', '.join(summary)}", file=out)
    if report.page is not None:
        print(f"report: {_shown(str(report.page))}", file=out)
    if report.stopped:
        count = len(report.restored) + len(report.skipped) + len(report.kept)
        print(
            f"{recipe.name}: {report.stopped}; {count} of {len(plan.jobs)} done; the same command resumes",
            file=sys.stderr,
        )


def report_json(recipe: Recipe, plan: Plan, report: RunReport) -> str:
    """Return the report as JSON."""
    record = {
        "recipe": recipe.name,
        "restored": _outputs(report.restored_jobs),
        "skipped": _outputs(report.skipped_jobs),
        "kept": _outputs(report.kept_jobs),
        "failed": [{"source": str(source), "error": message} for source, message in report.failed],
        "left_out": [{"path": str(path), "kind": kind} for path, kind in plan.skipped],
        "notes": notes(recipe, report),
        "stopped": report.stopped or None,
        "photos": len(plan.jobs),
        "report": None if report.page is None else str(report.page),
    }
    return with_urls(json.dumps(record, indent=2))


def plan_text(runner: Runner, plan: Plan, states: Sequence[str]) -> str:
    """Return the settings of a run and what it would do with every photo, one line each; see `planned`."""
    name, engine, count = runner.recipe.name, runner.engine, len(plan.jobs)
    models = ", ".join(f"{option} {model}" for option, model in runner.models.items())
    options = ", ".join(f"{option} {value}" for option, value in _options(runner).items())
    lines = [f"{name}: {options or 'no options'}; {models}; {engine.device}, {engine.precision}"]
    for job, state in zip(plan.jobs, states, strict=True):
        sides = "".join(f" ({side} {path})" for side, path in job.side_images.items())
        lines.append(f"{state}  {job.source}{sides} -> {', '.join(map(str, job.targets))}")
    lines += [f"failed: {reason}  {path}" for path, reason in plan.failed]
    if plan.skipped:
        lines.append(f"skipped: {plan.skipped_text}")
    return "\n".join(map(_shown, [*lines, f"{name}: {count} photo{'s' if count > 1 else ''}, nothing was written"]))


def plan_json(runner: Runner, plan: Plan, states: Sequence[str]) -> str:
    """Return the settings of a run and what it would do with every photo as JSON."""
    photos = [
        {
            "source": str(job.source),
            "outputs": [str(target) for target in job.targets],
            "side_images": {name: str(path) for name, path in job.side_images.items()},
            "state": state,
        }
        for job, state in zip(plan.jobs, states, strict=True)
    ]
    engine = {"device": str(runner.engine.device), "precision": runner.engine.precision, "tile": runner.engine.tile}
    models = {name: str(model) for name, model in runner.models.items()}
    settings = {"recipe": runner.recipe.name, "options": _options(runner), "models": models, "engine": engine}
    left_out = [{"path": str(path), "kind": kind} for path, kind in plan.skipped]
    failed = [{"source": str(path), "error": reason} for path, reason in plan.failed]
    record = {**settings, "photos": photos, "left_out": left_out, "failed": failed}
    return with_urls(json.dumps(record, indent=2, default=str))


def _shown(text: str) -> str:
    """Return a text for the terminal, in which URLs replace the paths of copies of remote files."""
    return printable(with_urls(text))


def _options(runner: Runner) -> dict[str, Any]:
    return {name: value for name, value in runner.options.options.items() if name not in runner.models}


def notes(recipe: Recipe, report: RunReport) -> list[str]:
    """Return the notes on a run; see `all_notes`."""
    from restorekit.run.settings import all_notes

    return all_notes(recipe, report)


def _outputs(jobs: Sequence[Job]) -> list[dict[str, Any]]:
    return [{"source": str(job.source), "outputs": [str(target) for target in job.targets]} for job in jobs]


def _targets(report: RunReport) -> list[Path]:
    return [target for job in report.restored_jobs for target in job.targets]


def _location(targets: list[Path]) -> str:
    """Return " to PATH" with the target, or with the common folder of several; "" if there is none."""
    if len({url_of(target) is None for target in targets}) > 1:
        return ""
    if len(targets) < 2:
        return "".join(f" to {target}" for target in targets)
    try:
        return f" to {os.path.commonpath([target.parent for target in targets]) or '.'}"
    except ValueError:  # a mixture of absolute and relative paths
        return ""
