"""The commands `restorekit models`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from restorekit.cli import completion
from restorekit.cli.commands import DEVICE
from restorekit.cli.terminal import print_table
from restorekit.errors import OptionError, printable

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Source = Annotated[str, typer.Argument(metavar="SOURCE", help="hf://org/name@revision.")]
# A name, a path, a repository or a prior of a plugin.
MODEL = "Bundled name, folder, file, hf://org/name@revision, or FAMILY:TEXT."


def models_app() -> typer.Typer:
    """Return the group `restorekit models`, which lists the models if no command is given."""
    app = typer.Typer(help="List and verify models, and exchange them with the Hugging Face Hub and other projects.")
    app.callback(invoke_without_command=True)(_list_by_default)
    app.command("list")(list_models)
    app.command("info")(info)
    app.command("pull")(pull)
    app.command("push")(push)
    app.command("import")(import_command)
    app.command("verify")(verify)
    return app


def _list_by_default(context: typer.Context, as_json: Json = False) -> None:
    """List and verify models, and exchange them with the Hugging Face Hub and other projects.

    Without a command, the models are listed.
    """
    if context.invoked_subcommand is None:
        list_models(as_json)
    elif as_json:
        raise OptionError(f"--json: allowed after the command: restorekit models {context.invoked_subcommand} --json")


def list_models(as_json: Json = False) -> None:
    """List the bundled priors and classifiers, and the models in the cache of huggingface_hub."""
    from restorekit.models.listing import listed_models

    models = listed_models()
    if as_json:
        print(json.dumps([asdict(model) for model in models], indent=2))
        return
    rows = [
        [
            model.name,
            model.family,
            str(model.channels),
            "any" if model.size is None else f"{model.size} px",
            f"{model.bytes / 1e6:.1f} MB",
            ", ".join(model.classes) or "-",
        ]
        for model in models
    ]
    print_table(["name", "family", "channels", "trained at", "file", "classes"], rows)


def info(
    model: Annotated[str, typer.Argument(metavar="NAME", help=MODEL, autocompletion=completion.models)],
    device: Annotated[
        str, typer.Option(help=f"{DEVICE} Its available memory is compared.", autocompletion=completion.devices)
    ] = "auto",
    as_json: Json = False,
) -> None:
    """Print what is known about a model: network, schedule, classes, data, licence, quality, digest and memory.

    The memory is that of the weights and of one evaluation of the network for one image of the training size, in
    float32. Larger windows and batches, and solvers with gradients, need more.
    """
    from restorekit.cli.model_info import info_rows
    from restorekit.models.facts import model_facts
    from restorekit.run.device_memory import available_bytes
    from restorekit.run.engine import make_engine

    found = make_engine(device, "float32").device
    facts, available = model_facts(model), available_bytes(found)
    if facts["memory"] is not None:
        needed = facts["memory"]["weights"] + (facts["memory"]["evaluation"] or 0)
        fits = None if available is None else needed <= available
        facts["memory"] |= {"device": str(found), "available": available, "fits": fits}
    if as_json:
        print(json.dumps(facts, indent=2))
    else:
        print_table(["", ""], info_rows(facts))


def pull(
    source: Source,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="New folder for a copy. Default: only the cache of huggingface_hub."),
    ] = None,
) -> None:
    """Download a model from the Hugging Face Hub, and compare it with the digests of the Hub."""
    from restorekit.models.pull import pull_model

    found = pull_model(source, output)
    print_table(["", ""], [["path", str(found.weights)], ["commit", found.commit], ["sha256", found.sha256]])


def push(
    folder: Annotated[Path, typer.Argument(help="Folder that `restorekit train` or `models import` wrote.")],
    name: Annotated[str, typer.Argument(help="org/name on the Hugging Face Hub.")],
    private: Annotated[
        bool, typer.Option("--private", help="Make a new repository private; an existing public one is refused.")
    ] = False,
    revision: Annotated[str | None, typer.Option(help="Branch, created if it does not exist. Default: main.")] = None,
    metrics: Annotated[
        Path | None,
        typer.Option(help="Measured values for the card: output of `restorekit evaluate --json` for FOLDER."),
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Name of the photos of --metrics, such as CBSD68.")] = None,
) -> None:
    """Upload a model folder to the Hugging Face Hub: weights, config.json, and the card with its metadata."""
    from restorekit.models.push import measured, push_model

    if (metrics is None) != (dataset is None):
        raise OptionError("--metrics and --dataset: found one of them, allowed: both or neither")
    results = () if metrics is None or dataset is None else measured(folder, metrics, dataset)
    print(push_model(folder, name, private=private, revision=revision, results=results).url)


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


def verify(
    models: Annotated[list[str], typer.Argument(metavar="NAME...", help=MODEL, autocompletion=completion.models)],
    as_json: Json = False,
) -> None:
    """Compare the SHA-256 digests of models with the recorded ones, and load the models. Nothing is downloaded.

    The exit code is 1 if a model is changed, damaged or missing. A model without a recorded digest is unknown.
    """
    from restorekit.models.digests import verify_model

    checked = [verify_model(model) for model in models]
    if as_json:
        print(json.dumps([asdict(found) for found in checked], indent=2))
    else:
        for found in checked:
            is_ok = found.condition == "ok"
            text = printable(f"{found.condition}: {found.model}: {f'sha256 {found.sha256}' if is_ok else found.detail}")
            print(text, file=sys.stdout if is_ok else sys.stderr)
    if any(found.condition not in ("ok", "unknown") for found in checked):
        raise typer.Exit(1)
