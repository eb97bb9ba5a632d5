"""The commands `restorekit replay` and `restorekit verify`."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from restorekit.errors import OptionError, printable
from restorekit.run.mirror import is_url, local_path

JSON = typer.Option("--json", help="Print JSON.")


def replay_result(
    result: Annotated[str, typer.Argument(help="Result to reproduce; the file itself may be missing.")],
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", help="File to write, in the format of the result. Default: NAME-replay.", metavar="PATH"
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="Device: auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Reproduce a result from its record in the manifest of its folder.

    The photo, the side images and the models must be unchanged. The exit code is 1 if the reproduced file differs from
    the recorded one.
    """
    from restorekit.run.replay import replay

    target = None if output is None else local_file(output)
    found = replay(local_file(result), target, device=device, overwrite=overwrite)
    if as_json:
        record = {"result": str(result), "output": str(found.target), "identical": found.identical}
        print(json.dumps(record, indent=2))
    else:
        text = "identical to" if found.identical else "different from"
        print(printable(f"replay: {found.target} is {text} the recorded result"))
    if not found.identical:
        raise typer.Exit(1)


def verify_results(
    paths: Annotated[list[str], typer.Argument(help="Results, and folders with results.")],
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Compare results with the digests in their manifests.

    The exit code is 1 if one is missing, changed or unreadable. Images in the folders that no record names are unknown.
    """
    from restorekit.run.verify import verify

    checked = verify([local_file(path) for path in paths])
    counts = Counter(condition for _, condition in checked)
    if as_json:
        results = [{"output": str(path), "condition": condition} for path, condition in checked]
        print(json.dumps({"results": results, "counts": counts}, indent=2))
    else:
        for path, condition in checked:
            if condition != "ok":
                print(printable(f"{condition}: {path}"), file=sys.stderr)
        print(f"verify: {', '.join(f'{count} {condition}' for condition, count in sorted(counts.items()))}")
    if counts["ok"] + counts["unknown"] < len(checked):
        raise typer.Exit(1)


def local_file(text: str) -> Path:
    """Return the path that a text names; OptionError for the URL of a remote file."""
    if is_url(text):
        raise OptionError(f"{text}: found a URL, allowed: a file or folder of this machine")
    return local_path(text)
