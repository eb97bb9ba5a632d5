"""The application: global options, commands, errors and exit codes."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
import traceback
from collections.abc import Callable
from typing import Annotated

import typer

from restorekit import __version__
from restorekit.cli.commands import typer_command
from restorekit.cli.compare import compare
from restorekit.cli.completion import is_completing
from restorekit.cli.evaluate import evaluate_app, repeat_flags
from restorekit.cli.listings import list_solvers
from restorekit.cli.models import models_app
from restorekit.cli.plugin_commands import RUN_SETTINGS, plugins_app, run_file
from restorekit.cli.records import replay_result, verify_results
from restorekit.cli.sample import sample
from restorekit.cli.terminal import click_command
from restorekit.cli.training import train
from restorekit.cli.ui import ui
from restorekit.core.signals import Terminated
from restorekit.errors import OptionError, RestorekitError
from restorekit.plugins.discovery import (
    SELECTION,
    plugin_error,
    recipes,
    warn_about_broken_plugins,
    without_imports,
)
from restorekit.plugins.plugin_errors import is_debugging

HELP = "Restore folders of real photos with generative priors."
FUNCTIONS: dict[str, Callable[..., None]] = {
    "train": train,
    "sample": sample,
    "run": run_file,
    "solvers": list_solvers,
    "replay": replay_result,
    "verify": verify_results,
    "compare": compare,
    "ui": ui,
}
# Options before the command that set a variable.
VARIABLES = {"--no-plugins": (SELECTION, ""), "--offline": ("HF_HUB_OFFLINE", "1")}
GROUPS = {"plugins": plugins_app, "models": models_app, "evaluate": evaluate_app}

# Base class of typer's usage errors; typer 0.29 bundles click, earlier versions import it.
UsageError: type[Exception] = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")


def build_app(command: str | None = None) -> typer.Typer:
    """Return the application with restorekit's commands and one command per recipe.

    command: build only this command, if it exists; None for all.
    """
    app = typer.Typer(help=HELP, no_args_is_help=True, pretty_exceptions_enable=False)
    app.callback()(_global_options)
    found = recipes()
    names = (*found, *FUNCTIONS, *GROUPS)
    for name in [command] if command in names else names:
        if name in found:
            app.command(name, rich_help_panel="Recipes")(typer_command(found[name]))
        elif name in GROUPS:
            app.add_typer(GROUPS[name](), name=name)
        else:
            app.command(name, context_settings=RUN_SETTINGS if name == "run" else None)(FUNCTIONS[name])
    return app


def _print_version(value: bool) -> None:
    if value:
        print(f"restorekit {__version__}")
        raise typer.Exit


def _global_options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    no_plugins: Annotated[bool, typer.Option("--no-plugins", help="Load only the built-in plugins.")] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Use only models of the Hugging Face Hub that are in the cache.")
    ] = False,
) -> None: ...


def _apply_variables(arguments: list[str]) -> list[str]:
    """Apply the options before the command that set environment variables, and return the other arguments.

    The variables take effect before the commands are built and libraries are imported, and in child processes.
    """
    leading = list(itertools.takewhile(lambda word: word.startswith("-"), arguments))
    os.environ.update(VARIABLES[word] for word in leading if word in VARIABLES)
    return [word for word in leading if word not in VARIABLES] + arguments[len(leading) :]


def main() -> None:
    """Run the command line.

    A `RestorekitError` is printed as one line on standard error. The exit code is 2 for wrong usage and 1 for any other
    failure.
    """
    arguments = repeat_flags(_apply_variables(sys.argv[1:])) or ["--help"]
    # The doctor imports third-party plugins in separate processes.
    is_doctor = arguments[:2] == ["plugins", "doctor"]
    with without_imports() if is_doctor else contextlib.nullcontext():
        sys.exit(_run(arguments))


def _run(arguments: list[str]) -> int:
    """Run the command and return the exit code."""
    try:
        if not is_completing():
            warn_about_broken_plugins()
        command = click_command(build_app(arguments[0]))
        code = command.main(arguments, prog_name="restorekit", standalone_mode=False)
    except KeyboardInterrupt as interrupt:
        print(str(interrupt) or "interrupted", file=sys.stderr)
        code = 143 if isinstance(interrupt, Terminated) else 130
    except (RestorekitError, UsageError) as error:
        text = str(error) if isinstance(error, RestorekitError) else getattr(error, "format_message")()  # noqa: B009
        # typer prints the kind of exception that rejected a word.
        print(f"error: {text.replace(': Value error, ', ': ')}", file=sys.stderr)
        if is_debugging():
            traceback.print_exc()
        code = 2 if isinstance(error, OptionError | UsageError) else 1
    except Exception as error:
        found = plugin_error(error)
        if found is None or is_debugging():
            raise
        print(f"error: {found}; RESTOREKIT_DEBUG=1 shows the traceback", file=sys.stderr)
        code = 1
    return code if isinstance(code, int) else 0
