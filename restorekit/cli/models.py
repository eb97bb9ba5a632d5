"""The commands `restorekit models`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from restorekit.cli.terminal import print_table


def models_app() -> typer.Typer:
    """Return the group `restorekit models`, which lists the models if no command is given."""
    app = typer.Typer(help="List the bundled priors and classifiers, or upload a model to the Hugging Face Hub.")
    app.callback(invoke_without_command=True)(list_models)
    app.command("push")(push)
    return app


def list_models(
    context: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """List the bundled priors and classifiers."""
    if context.invoked_subcommand is not None:
        return
    from restorekit.models.files import read_config
    from restorekit.models.registry import bundled_models

    models = [(model, read_config(model.path)) for model in bundled_models()]
    if as_json:
        facts = [
            {
                "name": model.name,
                "family": config.family,
                "channels": config.channels,
                "size": config.size,
                "bytes": model.bytes,
                "classes": list(config.classes or ()),
            }
            for model, config in models
        ]
        print(json.dumps(facts, indent=2))
        return
    rows = [
        [
            m.name,
            c.family,
            str(c.channels),
            f"{c.size} px",
            f"{m.bytes / 1e6:.1f} MB",
            ", ".join(c.classes or ()) or "-",
        ]
        for m, c in models
    ]
    print_table(["name", "family", "channels", "trained at", "file", "classes"], rows)


def push(
    folder: Annotated[Path, typer.Argument(help="Folder that `restorekit train` wrote.")],
    name: Annotated[str, typer.Argument(help="org/name on the Hugging Face Hub.")],
) -> None:
    """Upload a model folder to the Hugging Face Hub."""
    from restorekit.models.registry import push_model

    print(push_model(folder, name))
