"""What a person sees of a run: progress, what failed, and an exit code that tells the truth."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from restorekit.core.recipe import Recipe
from restorekit.errors import OptionError, unknown


def run_recipe(recipe: Recipe, values: dict[str, Any]) -> None:
    """Restore what the command line names; exits with 1 when a photo failed."""
    from restorekit.models.registry import load_prior
    from restorekit.run.engine import make_engine
    from restorekit.run.folder import Account, Settings, plan_jobs, run_jobs

    side_names = [p.name for p in recipe.side_images]
    sides = {name: values[name] for name in side_names if values[name] is not None}
    inverted = frozenset(name for name in sides if values.get(f"invert_{name}"))
    checked = recipe.checked({p.name: values[p.name] for p in recipe.parameters}, f"restorekit {recipe.name}")
    options = {p.name: checked[p.name] for p in recipe.options}
    samples = values.get("samples", 1)
    jobs = plan_jobs(
        values["inputs"], values["output"], recipe, sides, samples=samples, suffix=_suffix(values["format"])
    )
    engine = make_engine(values["device"], values["precision"], values["tile"])
    prior = load_prior(values["model"] or recipe.model)
    settings = Settings(values["seed"], values["batch"], values["overwrite"], inverted)
    with progress(recipe.name) as bar:
        task = bar.add_task("", total=len(jobs))
        account: Account = run_jobs(jobs, recipe, prior, engine, options, settings, lambda job: bar.advance(task))
    if recipe.side_images and any(t.suffix.lower() in (".jpg", ".jpeg") for job in jobs for t in job.targets):
        account.notes.append("JPEG changes pixels a little when it is written; --format png keeps them bit for bit")
    for note in account.notes:
        print(f"note: {note}", file=sys.stderr)
    for source, message in account.failed:
        print(f"failed: {message if str(source) in message else f'{source}: {message}'}", file=sys.stderr)
    targets = {job.source: job.targets for job in jobs}
    where = _place([target for source in account.restored for target in targets[source]])
    skipped = f", {len(account.skipped)} already there (--overwrite redoes them)" if account.skipped else ""
    failed = f", {len(account.failed)} failed" if account.failed else ""
    print(f"{recipe.name}: {len(account.restored)} restored{where}{skipped}{failed}")
    if account.failed:
        raise typer.Exit(1)


def _suffix(name: str | None) -> str | None:
    from restorekit.run.images import SUFFIXES

    if name is None:
        return None
    suffix = "." + name.lower().lstrip(".")
    if suffix not in SUFFIXES:
        raise OptionError(unknown("format", name, [s[1:] for s in SUFFIXES], "--format"))
    return suffix


def _place(targets: list[Path]) -> str:
    if not targets:
        return ""
    if len(targets) == 1:
        return f" to {targets[0]}"
    folders = {target.parent for target in targets}
    common = next(iter(folders)) if len(folders) == 1 else Path(*_shared_parts(sorted(folders)))
    return f" to {common}"


def _shared_parts(folders: list[Path]) -> tuple[str, ...]:
    first, last = folders[0].parts, folders[-1].parts
    count = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return first[:count] or (".",)


def progress(name: str) -> Progress:
    """A progress bar on standard error with the time left; silent where that is no terminal."""
    console = Console(stderr=True)
    columns = TextColumn(name), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    return Progress(*columns, console=console, disable=not console.is_terminal)
