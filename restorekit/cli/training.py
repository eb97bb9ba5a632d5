"""The command `restorekit train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from restorekit.errors import OptionError


def train(
    plan: Annotated[Path, typer.Argument(help="Training plan in TOML.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Output folder. Default: runs/PLAN.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Override a key of the plan: a.b=value.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the resolved plan and exit.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Resume from the checkpoint in --output.")] = False,
    init_from: Annotated[
        str | None,
        typer.Option(help="Initial weights: a name, a folder or hf://org/name@revision."),
    ] = None,
    max_minutes: Annotated[
        float | None, typer.Option(help="Save a checkpoint and stop after this many minutes.", min=0)
    ] = None,
) -> None:
    """Train a prior according to a plan."""
    from restorekit.training.plan_file import read_plan

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
    print(f"train: weights, model card and checkpoint are in {folder}")
