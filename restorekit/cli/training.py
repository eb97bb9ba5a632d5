"""The command `restorekit train`."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Annotated

import typer

from restorekit.cli.terminal import print_table
from restorekit.errors import OptionError


def train(
    plan: Annotated[
        str | None, typer.Argument(help="Training plan in TOML, or the name of a shipped plan.", show_default=False)
    ] = None,
    new: Annotated[
        Path | None, typer.Option(help="Write a commented plan to start from to this file and exit.")
    ] = None,
    list_: Annotated[
        bool, typer.Option("--list", help="List the shipped plans: what they train, data, result and hardware.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --list: print JSON.")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Output folder. Default: runs/PLAN.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Override a key of the plan: a.b=value.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the plan, print it with all keys, and exit.")
    ] = False,
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
    others = (output, set_, dry_run or None, resume or None, init_from, max_minutes)
    is_alone = plan is None and all(other is None for other in others)
    if list_ and is_alone and new is None:
        list_plans(as_json)
        return
    if list_ or as_json:
        raise OptionError("train: --list lists the shipped plans; allowed with it: only --json")
    # Below the list, which needs no torch.
    from restorekit.training.plan_file import new_plan, read_plan
    from restorekit.training.plan_library import find_plan

    if new is not None and is_alone:
        new_plan(new)
        print(f"train: {new} written; set data.folder in it, then: {shlex.join(['restorekit', 'train', str(new)])}")
        return
    if plan is None or new is not None:
        raise OptionError("train: allowed: a training plan, or only --new FILE.toml, which writes one to start from")
    path = find_plan(plan)
    resolved = read_plan(path, set_ or ())
    if dry_run:
        print(resolved.model_dump_json(indent=2))
        return
    folder = output or Path("runs") / path.stem
    with quiet_libraries():
        try:
            from restorekit.training.checkpoint import CHECKPOINT
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
            done = f"stopped after {result.step} of {result.steps} steps ({100 * result.step / result.steps:.3g}%)"
            command = _resume_command(plan, output, set_ or (), max_minutes)
            print(f"train: {done}; checkpoint: {folder / CHECKPOINT}; to resume: {command}", file=sys.stderr)
        raise typer.Exit(result.exit_code)


def list_plans(as_json: bool) -> None:
    """Print the shipped plans as a table or as JSON."""
    from restorekit.training.plan_library import plan_headers

    headers = plan_headers()
    if as_json:
        print(json.dumps([asdict(header) for header in headers], indent=2))
        return
    print_table([field.name for field in fields(headers[0])], [list(asdict(header).values()) for header in headers])


def _resume_command(plan: str, output: Path | None, overrides: Sequence[str], max_minutes: float | None) -> str:
    """Return the command that resumes a training; the checkpoint replaces --init-from."""
    if "LOCAL_RANK" in os.environ:  # accelerate launch, whose own options are not known here
        return "the same command with --resume"
    words = ["restorekit", "train", plan]
    words += [] if output is None else ["--output", str(output)]
    words += [word for override in overrides for word in ("--set", override)]
    words += [] if max_minutes is None else ["--max-minutes", f"{max_minutes:g}"]
    return shlex.join([*words, "--resume"])


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
