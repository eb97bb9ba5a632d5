"""The commands `restorekit plugins` and `restorekit run`."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.main

from restorekit.commands import in_words, typer_command
from restorekit.core.recipe import Recipe
from restorekit.doctor import TIMEOUT, examine
from restorekit.errors import RestorekitError
from restorekit.foreign import ForeignError, attempt
from restorekit.plugins import Plugin, plugin_named, plugins
from restorekit.scaffold import new_package
from restorekit.single import recipe_in, said

NAME = Annotated[str, typer.Argument(help="Name of a plugin, or of a distribution with one.")]
# Every option of `run` but --recipe is the recipe's own, --help too.
RUN_SETTINGS = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}


def plugins_app() -> typer.Typer:
    """`restorekit plugins`, which lists, and its commands."""
    app = typer.Typer(help="List plugins, tell of one, make a new one, check them.")
    app.callback(invoke_without_command=True)(list_plugins)
    app.command("info")(info)
    app.command("new")(new)
    app.command("doctor")(doctor)
    return app


def list_plugins(
    context: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False
) -> None:
    """List the plugins: name, distribution and version, state, what each brings."""
    if context.invoked_subcommand is not None:
        return
    if as_json:
        print(json.dumps({"plugins": [_record(plugin) for plugin in plugins()]}, indent=2))
        return
    for plugin in plugins():
        print(f"{plugin.name}  {plugin.distribution} {plugin.version}  {_state(plugin)}")


def _state(plugin: Plugin) -> str:
    if plugin.state == "failed":
        return f"failed: {plugin.error}"
    record = _record(plugin)
    brought = [f"{kind} {', '.join(record[kind])}" for kind in ("recipes", "priors", "solvers") if record[kind]]
    return "  ".join([plugin.state, *brought])


def _record(plugin: Plugin) -> dict[str, Any]:
    """What `plugins --json` says of a plugin."""
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "module": plugin.module,
        "state": plugin.state,
        "error": plugin.error,
        "recipes": [recipe.name for recipe in plugin.recipes],
        "priors": [family.name for family in plugin.priors],
        "solvers": [solver.name for solver in plugin.solvers],
    }


def info(name: NAME) -> None:
    """Tell all of one plugin: where it comes from, recipes with their options, priors, solvers, its error."""
    plugin = plugin_named(name)
    print(f"{plugin.name} of {plugin.distribution} {plugin.version}: {plugin.state}")
    for title, text in _facts(plugin).items():
        print(f"  {title:<9} {text}")
    for recipe in plugin.recipes:
        print(f"  recipe    {recipe.name}: {recipe.doc.partition(chr(10))[0]}")
        for parameter in recipe.parameters:
            flag = parameter.name.replace("_", "-")
            print(f"    --{flag} {in_words(parameter).partition(' ')[2]} {parameter.spec.help}")
    for family in plugin.priors:
        print(f"  priors    {family.name}:TEXT  {family.help}")
    for solver in plugin.solvers:
        print(f"  solver    {solver.name}: {solver.summary} ({solver.paper})")
    if plugin.error:
        print(f"  error     {plugin.error}\n{plugin.trace}")


def _facts(plugin: Plugin) -> dict[str, str]:
    """What its distribution says of itself, and where its module is."""

    def said_by(field: str) -> list[str]:
        return [] if plugin.entry.dist is None else plugin.entry.dist.metadata.get_all(field) or []

    pages = [*said_by("Home-page"), *(url.partition(",")[2].strip() for url in said_by("Project-URL"))]
    module = f"{plugin.module} ({_location(plugin)})"
    facts = {"summary": " ".join(said_by("Summary")), "home": ", ".join(pages), "module": module}
    return {title: text for title, text in facts.items() if text}


def _location(plugin: Plugin) -> str:
    """File of the module; of one that cannot be imported, that of its topmost package."""
    module = sys.modules.get(plugin.module)
    if module is not None and module.__file__:
        return module.__file__
    spec = importlib.util.find_spec(plugin.module.partition(".")[0])
    return spec.origin if spec is not None and spec.origin else "not found"


def new(
    name: Annotated[str, typer.Argument(help="Of the recipe and the folder; the package is restorekit-NAME.")],
) -> None:
    """Write a complete package with a recipe, tests, a README and a CI file, into a new folder."""
    files = new_package(name, Path())
    for file in files:
        print(file)
    print(f"next: pip install './{name}[test]', restorekit {name} photo.png, pytest {name}")


def doctor(
    name: Annotated[str | None, typer.Argument(help="One plugin; by default all that are selected.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds that a plugin may take.", min=1)] = TIMEOUT,
) -> None:
    """Import and try every plugin in a process of its own; exit code 1 when a check fails."""
    chosen = [plugin_named(name)] if name is not None else [p for p in plugins() if p.state != "not selected"]
    failed = 0
    for plugin in chosen:
        for finding in examine(plugin, timeout):
            failed += finding.error is not None
            verdict = "ok    " if finding.error is None else "failed"
            print(f"{verdict}  {plugin.name}  {finding.check}{'' if finding.error is None else ': ' + finding.error}")
    print(f"doctor: {len(chosen)} plugins, {failed} checks failed", flush=True)
    if failed:
        raise typer.Exit(1)


def run_file(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="Python file with a recipe.", show_default=False)] = None,
    recipe: Annotated[str | None, typer.Option(help="Which one, of a file with several.")] = None,
) -> None:
    """Run a recipe in a single file: restorekit run FILE.py photo.png [options]; FILE.py --help lists the options."""
    if file is None or str(file) == "--help":
        print(context.get_help())
        return
    chosen = recipe_in(file, recipe)
    raise typer.Exit(_run(chosen, file, context.args or ["--help"]))


def _run(recipe: Recipe, file: Path, arguments: list[str]) -> int:
    """The recipe as a command; what the file itself raises is one line, anything else goes on."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(typer_command(recipe))
    command, name = typer.main.get_command(app), f"restorekit run {file}"
    try:
        code = attempt(lambda: command.main(arguments, prog_name=name, standalone_mode=False), file.resolve())
    except ForeignError as error:
        cause = error.__cause__
        if error.line and not isinstance(cause, RestorekitError):
            raise RestorekitError(said(error, file)) from error
        raise cause from None  # type: ignore[misc]
    return code if isinstance(code, int) else 0
