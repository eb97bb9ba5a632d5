"""The command `restorekit train`."""

from __future__ import annotations

import contextlib
import sys
import threading
import warnings
from collections.abc import Iterator
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
    folder = output or Path("runs") / plan.stem
    with quiet_libraries():
        try:
            from restorekit.training.loop import train as run
        except ModuleNotFoundError as error:
            raise OptionError(f"train: {error.name} is not installed; pip install 'restorekit[train]'") from error
        from restorekit.models.registry import find_weights

        start = None if init_from is None else find_weights(init_from)
        result = run(resolved, folder, resume=resume, init_from=start, max_minutes=max_minutes)
    if result.is_main:
        print(f"train: weights, model card and checkpoint are in {folder}")
    if result.step < result.steps:
        if result.is_main:
            done = f"{result.step} of {result.steps} steps done"
            print(f"train: {done}; the same command with --resume resumes", file=sys.stderr)
        raise typer.Exit(result.exit_code)


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Suppress the warnings of libraries, and tracebacks of their threads, whose errors reach the main thread."""
    hook = threading.excepthook
    threading.excepthook = lambda args: None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        threading.excepthook = hook
