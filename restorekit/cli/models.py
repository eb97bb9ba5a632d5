"""The commands `restorekit models`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from restorekit.cli.terminal import print_table


def models_app() -> typer.Typer:
    """Return the group `restorekit models`, which lists the models if no command is given."""
    app = typer.Typer(help="List the bundled priors and classifiers, import a published model, or upload one.")
    app.callback(invoke_without_command=True)(list_models)
    app.command("import")(import_command)
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


def import_command(
    source: Annotated[
        str,
        typer.Argument(metavar="SOURCE", help="Checkpoint, folder of diffusers, or hf://org/name@revision."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="New folder for the weights and the model card.")],
    preset: Annotated[
        str | None, typer.Option(help="Name of a published model; found by the name of the file by default.")
    ] = None,
    flags: Annotated[str | None, typer.Option(help="Flags of guided-diffusion, such as those of its README.")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file with the settings of a score network.")] = None,
    classes: Annotated[Path | None, typer.Option(help="Text file with the name of one class per line.")] = None,
) -> None:
    """Convert a published model to a folder with weights and a model card."""
    from restorekit.models.importers.imports import import_model

    found = import_model(source, output, preset=preset, flags=flags, config=config, classes=classes)
    count = sum(value.numel() for value in found.weights.values())
    size = f"{found.config.size} px" if found.config.size else "any size"
    print(f"import: {output}: {found.origin.project}, {count / 1e6:.1f} million parameters, {size}")


def push(
    folder: Annotated[Path, typer.Argument(help="Folder that `restorekit train` wrote.")],
    name: Annotated[str, typer.Argument(help="org/name on the Hugging Face Hub.")],
) -> None:
    """Upload a model folder to the Hugging Face Hub."""
    from restorekit.models.registry import push_model

    print(push_model(folder, name))
