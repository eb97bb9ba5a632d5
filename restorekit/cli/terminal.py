"""Terminal output: help texts, tables and progress bars."""

from __future__ import annotations

import inspect
import json
import math
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import typer
import typer.main
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from restorekit.errors import printable
from restorekit.run.observer import Observer

if TYPE_CHECKING:
    from restorekit.run.plan import Job

HELP_OPTIONS = ["--help", "-h"]
# Width of tables that are written to a file or a pipe, so that no cell is wrapped or truncated.
UNLIMITED = 100_000
# Seconds between two lines of progress if standard error is not a terminal.
SECONDS_BETWEEN_LINES = 30.0


def click_command(app: typer.Typer) -> Any:
    """Return the application as a click command whose help texts are printed literally, by --help and -h.

    typer parses help texts as rich markup, which removes expressions in brackets.
    """
    command = typer.main.get_command(app)
    command.context_settings.setdefault("help_option_names", HELP_OPTIONS)
    _escape_help(command)
    return command


def _escape_help(command: Any) -> None:
    """Escape the help of a command, of its parameters and of its subcommands."""
    for item in (command, *command.params):
        if item.help and command.rich_markup_mode == "rich":
            item.help = escape("\n\n".join(map(_joined, inspect.cleandoc(item.help).split("\n\n"))))
    for subcommand in getattr(command, "commands", {}).values():
        _escape_help(subcommand)


def _joined(paragraph: str) -> str:
    """Join the lines of a paragraph, which the terminal wraps; indented lines and list items are kept."""
    lines = paragraph.splitlines()
    keep = any(line.startswith((" ", "- ")) for line in lines)
    return paragraph if keep else " ".join(lines)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table, without a header if `columns` are empty strings.

    Long cells are wrapped on a terminal, and printed in full if standard output is a file or a pipe. A cell may have
    several lines; other characters that are not printable become escapes.
    """
    table = Table(*columns, box=None, pad_edge=False, show_header=any(columns))
    for row in rows:
        table.add_row(*(Text("\n".join(map(printable, cell.split("\n")))) for cell in row))
    console = Console(width=None if sys.stdout.isatty() else UNLIMITED, highlight=False)
    with console.capture() as output:
        console.print(table)
    print("\n".join(line.rstrip() for line in output.get().splitlines()))


class TableOutput:
    """A Markdown table on standard output, line by line, or as JSON at the end: a list of objects by column.

    Arguments:
        as_json: whether to print JSON.

    Attributes:
        lines: the lines so far.
    """

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self.lines: list[str] = []

    def write(self, text: str) -> None:
        """Print lines of the table, without buffering, so that they appear in files and pipes at once."""
        self.lines += text.splitlines()
        if not self._as_json:
            print(text, flush=True)

    def rows(self) -> list[dict[str, str | float]]:
        """Return the cells of every row by column; those that are finite numbers as numbers."""
        lines = (line for line in self.lines if line.startswith("|") and not line.startswith(("|--", "|:-")))
        header, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
        return [dict(zip(header, map(_number, row), strict=True)) for row in rows]

    def finish(self) -> None:
        """Print the JSON."""
        if self._as_json:
            print(json.dumps(self.rows(), indent=2))


def _number(text: str) -> str | float:
    """Return the number in a cell; infinite values stay text, because JSON has none."""
    try:
        value = float(text)
    except ValueError:
        return text
    return value if math.isfinite(value) else text


@dataclass
class _PhotoProgress:
    """The progress of a sample of a photo.

    Attributes:
        number, samples: number of the sample, from 0, and number of samples.
        step: number of evaluations of the prior that are done.
        fraction: what fraction of the sample is done; 0 if it is unknown.
    """

    number: int
    samples: int
    step: int = 0
    fraction: float = 0.0


class RunProgress:
    """The progress of a run on standard error: a bar on a terminal, elsewhere a line every 30 seconds.

    Arguments:
        name: name of the recipe.
        photos: number of photos.

    Attributes:
        steps: number of evaluations of the prior per result; None if it is unknown. After a photo, it is that of its
            last result.
    """

    def __init__(self, name: str, photos: int) -> None:
        console = Console(stderr=True)
        columns = TextColumn(name), BarColumn(), TextColumn("{task.fields[count]}"), TimeElapsedColumn()
        self._bar = Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal)
        self.steps: int | None = None
        self._name, self._photos = name, photos
        self._done = 0
        self._running: dict[Job, _PhotoProgress] = {}
        self._lock = threading.Lock()
        self._task = self._bar.add_task("", total=photos, count=f"0/{photos}")
        self._started = self._printed = time.monotonic()

    def __enter__(self) -> RunProgress:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def photo_done(self, job: Job) -> None:
        """Count a photo."""
        with self._lock:
            photo = self._running.pop(job, None)
            self.steps = self.steps if photo is None else photo.step or self.steps
            self._done += 1
            self._update("")

    def observe(self, job: Job, number: int) -> Observer:
        """Return the observer of a sample of a photo; several photos may be restored at the same time."""
        with self._lock:
            photo = self._running[job] = _PhotoProgress(number, len(job.targets))
            return Observer(partial(self.windows_done, photo))

    def windows_done(self, photo: _PhotoProgress, done: int, total: int) -> None:
        """Show the number of windows of a photo that are done in its current evaluation of the prior."""
        with self._lock:
            step, steps = photo.step + 1, self.steps
            known = steps is not None and step <= steps
            photo.fraction = (photo.step + done / total) / steps if known and steps else 0.0
            photo.step += done == total
            count = f", step {step}{f' of {steps}' if known else ''}, window {done} of {total}"
            self._update(count if len(self._running) == 1 else f", {len(self._running)} in progress")

    def _update(self, count: str) -> None:
        """Show the counts and what fraction of the photos is done."""
        fraction = sum((photo.number + photo.fraction) / photo.samples for photo in self._running.values())
        completed = min(self._photos, self._done + fraction)
        self._bar.update(self._task, completed=completed, count=f"{self._done}/{self._photos}{count}")
        now = time.monotonic()
        if not self._bar.disable or now - self._printed < SECONDS_BETWEEN_LINES:
            return
        self._printed = now
        seconds = (now - self._started) * (self._photos / completed - 1) if completed else None
        left = "" if seconds is None else f", about {timedelta(seconds=round(seconds))} left"
        print(f"{self._name}: {self._done} of {self._photos} photos{count}{left}", file=sys.stderr, flush=True)
