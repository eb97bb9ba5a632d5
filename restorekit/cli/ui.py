"""`restorekit ui`: the page that restores photos and folders in a browser."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from restorekit.cli import completion
from restorekit.cli.commands import DEVICE
from restorekit.cli.process import paused_collection
from restorekit.core.memory import limit_caches, reuse_large_buffers
from restorekit.core.signals import sigterm_raises
from restorekit.errors import OptionError

HOST = "Address on which the server listens. Other than 127.0.0.1, a token is required."
TOKEN = (
    "Token of 16 characters or more that visitors must enter. Default: generated for other addresses than 127.0.0.1."
)
PORT = "Port; 0 for a free one."
MAX_UPLOAD = "Largest size of an uploaded file in MiB."
FOLDERS = "Folder that the folder tab may read and write. Can be repeated. Default: all on 127.0.0.1, none on others."


def ui(
    host: Annotated[str, typer.Option(help=HOST)] = "127.0.0.1",
    port: Annotated[int, typer.Option(help=PORT, min=0, max=65535)] = 7860,
    token: Annotated[str | None, typer.Option(help=TOKEN, envvar="RESTOREKIT_TOKEN", show_envvar=True)] = None,
    device: Annotated[str, typer.Option(help=DEVICE, autocompletion=completion.devices)] = "auto",
    max_upload: Annotated[int, typer.Option(help=MAX_UPLOAD, min=1)] = 200,
    folders: Annotated[list[Path] | None, typer.Option(help=FOLDERS)] = None,
) -> None:
    """Restore photos and folders in a browser.

    The page runs on this machine: nothing is sent to other servers. It offers all installed recipes, a brush for masks,
    the progress with the estimate of the image, a comparison with the photo, and folders.
    """
    if find_spec("gradio") is None:
        raise OptionError("ui: requires the extra 'ui': pip install 'restorekit[ui]'")
    limit_caches()
    reuse_large_buffers()
    with paused_collection():
        from restorekit.run.engine import make_engine
        from restorekit.ui.access import make_access, page_url
        from restorekit.ui.server import serve

    access = make_access(host, token, folders or ())
    make_engine(device)

    def started(actual_port: int) -> None:
        print(f"restorekit ui: {page_url(access, actual_port)}", flush=True)
        print("Ctrl-C stops the server.", file=sys.stderr, flush=True)

    with sigterm_raises():
        serve(access, port, device, max_upload * 2**20, started)
