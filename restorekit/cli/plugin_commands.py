"""The commands `restorekit plugins` and `restorekit run`."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from restorekit.checks.doctor import TIMEOUT, TOGETHER, Finding, examine, examine_together
from restorekit.cli.commands import typer_command
from restorekit.cli.terminal import HELP_OPTIONS, click_command, print_table
from restorekit.core.recipe import Recipe
from restorekit.errors import RestorekitError
from restorekit.plugins.discovery import Plugin, plugin_named, plugins
from restorekit.plugins.plugin_errors import PluginError, call_plugin
from restorekit.plugins.recipe_file import error_line, load_recipe
from restorekit.plugins.scaffold import new_package

Name = Annotated[str, typer.Argument(help="Name of a plugin, or of a distribution with one plugin.")]
# All options of `run` except --recipe are passed to the recipe, including --help.
RUN_SETTINGS = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}


def plugins_app() -> typer.Typer:
    """Return the group `restorekit plugins`, which lists the plugins if no command is given."""
    app = typer.Typer(help="List, create and check plugins.")
    app.callback(invoke_without_command=True)(list_plugins)
    app.command("info")(info)
    app.command("new")(new)
    app.command("doctor")(doctor)
    return app


def list_plugins(
    context: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """List the plugins: name, distribution, version, state, and what each plugin registers."""
    if context.invoked_subcommand is not None:
        return
    if as_json:
        print(json.dumps({"plugins": [_record(plugin) for plugin in plugins()]}, indent=2))
        return
    rows = [[p.name, f"{p.distribution} {p.version}", p.state, p.error or p.note or _contents(p)] for p in plugins()]
    print_table(["name", "distribution", "state", "contents"], rows)


def _contents(plugin: Plugin) -> str:
    """Return what a plugin registers, such as "recipes a, b; priors c"."""
    record = _record(plugin)
    return "; ".join(f"{kind} {', '.join(record[kind])}" for kind in ("recipes", "priors", "solvers") if record[kind])


def _record(plugin: Plugin) -> dict[str, Any]:
    """Return the properties of a plugin as `plugins --json` prints them."""
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


def info(name: Name) -> None:
    """Print the details of a plugin: distribution, recipes with their options, priors, solvers and error."""
    plugin = plugin_named(name)
    print(f"{plugin.name} of {plugin.distribution} {plugin.version}: {plugin.state}")
    print_table(["", ""], [*_metadata(plugin).items(), *_objects(plugin)])
    if plugin.note:
        print(plugin.note)
    if plugin.error:
        print(f"error: {plugin.error}\n{plugin.trace}".rstrip())


def _metadata(plugin: Plugin) -> dict[str, str]:
    """Return the metadata of the distribution and the location of the module."""

    def values(field: str) -> list[str]:
        return [] if plugin.entry.dist is None else plugin.entry.dist.metadata.get_all(field) or []

    pages = [*values("Home-page"), *(url.partition(",")[2].strip() for url in values("Project-URL"))]
    module = f"{plugin.module} ({_location(plugin)})"
    facts = {"summary": " ".join(values("Summary")), "home": ", ".join(pages), "module": module}
    return {title: text for title, text in facts.items() if text}


def _objects(plugin: Plugin) -> Iterator[tuple[str, str]]:
    """Yield name and description of everything that a plugin registers."""
    for recipe in plugin.recipes:
        yield f"recipe {recipe.name}", recipe.doc.partition("\n")[0]
        for parameter in recipe.parameters:
            flag = parameter.name.replace("_", "-")
            yield f"  --{flag}", f"{parameter.spec.help} {parameter.description.partition(' ')[2]}"
    for family in plugin.priors:
        yield f"prior {family.name}:TEXT", family.help
    for solver in plugin.solvers:
        yield f"solver {solver.name}", f"{solver.summary} ({solver.paper})"


def _location(plugin: Plugin) -> str:
    """Return the file of the module; if it cannot be imported, the file of its top-level package."""
    module = sys.modules.get(plugin.module)
    if module is not None and module.__file__:
        return module.__file__
    top_level = plugin.module.partition(".")[0]
    spec = importlib.util.find_spec(top_level) if top_level else None
    return spec.origin if spec is not None and spec.origin else "not found"


def new(
    name: Annotated[str, typer.Argument(help="Name of the recipe and the folder; the package is restorekit-NAME.")],
) -> None:
    """Create a complete package with a recipe, tests, a README and a CI workflow in a new folder."""
    files = new_package(name, Path())
    for file in files:
        print(file)
    print(f"next: pip install './{name}[test]', restorekit {name} photo.png, pytest {name}")


def doctor(
    name: Annotated[str | None, typer.Argument(help="Plugin to check. Default: all selected plugins.")] = None,
    timeout: Annotated[float, typer.Option(help="Time limit per plugin in seconds.", min=1)] = TIMEOUT,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Import and check every plugin in a separate process; the exit code is 1 if a check fails."""
    selected = [plugin_named(name)] if name is not None else [p for p in plugins() if p.state != "not selected"]
    found: list[dict[str, Any]] = []
    try:
        for plugin, finding in _findings(selected, timeout, only=name is not None):
            found.append({"plugin": plugin.name, **asdict(finding)})
            if not as_json:
                print(_finding_line(plugin, finding))
    except KeyboardInterrupt as interrupt:  # typer ends a command without a message
        print(str(interrupt) or "interrupted", file=sys.stderr)
        raise typer.Exit(130) from None
    failed = sum(record["error"] is not None for record in found)
    print(json.dumps(found, indent=2) if as_json else f"doctor: {len(selected)} plugins, {failed} failed checks")
    if failed:
        raise typer.Exit(1)


def _finding_line(plugin: Plugin, finding: Finding) -> str:
    """Return the line of a check."""
    status = "failed" if finding.error is not None else "ok" if finding.skipped is None else "skipped"
    text = finding.error or finding.skipped
    return f"{status:7} {plugin.name}  {finding.check}{'' if text is None else f': {text}'}"


def _findings(selected: Sequence[Plugin], timeout: float, *, only: bool) -> Iterator[tuple[Plugin, Finding]]:
    """Yield the findings on plugins: those on each alone, then whether they can be imported together.

    only: whether other plugins than these are selected too.
    """
    imported: list[Plugin] = []
    for plugin in selected:
        findings = examine(plugin, timeout)
        if findings[0].error is None and not plugin.is_builtin:
            imported.append(plugin)
        yield from ((plugin, finding) for finding in findings)
    if not imported:
        return
    together = examine_together(None if only else ",".join(plugin.name for plugin in imported), timeout)
    unknown = Finding(TOGETHER, None, "another plugin does not end; `restorekit plugins doctor` finds it")
    for plugin in imported:
        yield plugin, together.get((plugin.name, plugin.distribution), unknown)


def run_file(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="Python file with a recipe.", show_default=False)] = None,
    recipe: Annotated[str | None, typer.Option(help="Name of the recipe, if the file contains several.")] = None,
) -> None:
    """Run a recipe in a single file: restorekit run FILE.py photo.png [options].

    restorekit run FILE.py --help lists the options of the recipe.
    """
    if file is None or str(file) in HELP_OPTIONS:
        print(context.get_help())
        return
    loaded = load_recipe(file, recipe)
    raise typer.Exit(_run(loaded, file, context.args or ["--help"]))


def _run(recipe: Recipe, file: Path, arguments: list[str]) -> int:
    """Run the recipe as a command; an exception of the file's code becomes one line; others are raised unchanged."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(typer_command(recipe))
    command, name = click_command(app), f"restorekit run {file}"
    try:
        code = call_plugin(lambda: command.main(arguments, prog_name=name, standalone_mode=False), [file.resolve()])
    except PluginError as error:
        cause = error.__cause__
        if error.line and not isinstance(cause, RestorekitError):
            raise RestorekitError(error_line(error, file)) from error
        raise cause from None  # type: ignore[misc]
    return code if isinstance(code, int) else 0
