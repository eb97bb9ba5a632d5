"""Terminal output: help texts, tables and progress bars."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import typer
import typer.main
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

# Width of tables that are written to a file or a pipe, so that no cell is wrapped or truncated.
UNLIMITED = 100_000


def click_command(app: typer.Typer) -> Any:
    """Return the application as a click command whose help texts are printed literally.

    typer parses help texts as rich markup, which removes expressions in brackets.
    """
    command = typer.main.get_command(app)
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

    Long cells are wrapped on a terminal, and printed in full if standard output is a file or a pipe.
    """
    table = Table(*columns, box=None, pad_edge=False, show_header=any(columns))
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console(width=None if sys.stdout.isatty() else UNLIMITED, highlight=False)
    with console.capture() as output:
        console.print(table)
    print("\n".join(line.rstrip() for line in output.get().splitlines()))


def progress_bar(name: str) -> Progress:
    """Return a progress bar with the remaining time on standard error; hidden if that is not a terminal."""
    console = Console(stderr=True)
    columns = TextColumn(name), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    return Progress(*columns, console=console, disable=not console.is_terminal)
