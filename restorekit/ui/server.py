"""The server of the page: one process, stopped by SIGINT or SIGTERM, which leaves no files behind."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator

import uvicorn

from restorekit.errors import OptionError
from restorekit.ui.access import Access
from restorekit.ui.jobs import JobQueue
from restorekit.ui.visitor import Visitors

# Seconds that open connections, such as those which keep a page up to date, have to end when the server stops.
SHUTDOWN = 2


def serve(access: Access, port: int, device: str, max_upload: int, on_start: Callable[[int], None]) -> None:
    """Run the server until a signal arrives; then stop all jobs and delete all files of visitors.

    port: 0 for a free one. max_upload: largest size of an uploaded file in bytes. on_start: called with the port.
    Raises OptionError if the address cannot be used.
    """
    with _listening(access.host, port) as listener, _visitors() as visitors:
        _set_variables(visitors)
        from restorekit.ui.app import make_app

        app = make_app(visitors, access, device, max_upload)
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=SHUTDOWN, server_header=False)
        server = _Server(config, lambda: on_start(listener.getsockname()[1]), visitors.queue.stop_all)
        # uvicorn raises the signal again when it has stopped.
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listener])


class _Server(uvicorn.Server):
    """Reports that it has started, and stops the jobs before it waits for connections."""

    def __init__(self, config: uvicorn.Config, on_start: Callable[[], None], on_stop: Callable[[], None]) -> None:
        super().__init__(config)
        self.on_start, self.on_stop = on_start, on_stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start."""
        await super().startup(sockets)
        if not self.should_exit:
            self.on_start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop. Connections of open pages are cut, which uvicorn would report as errors."""
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        self.on_stop()
        await super().shutdown(sockets)


def _set_variables(visitors: Visitors) -> None:
    """Let Gradio report nothing, and write and serve files below the folder of the visitors only.

    Gradio reads the variables when it is imported and in every request.
    """
    root = str(visitors.root)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"], os.environ["GRADIO_EXAMPLES_CACHE"] = root, f"{root}/examples"


@contextlib.contextmanager
def _visitors() -> Iterator[Visitors]:
    visitors = Visitors(JobQueue())
    try:
        yield visitors
    finally:
        if not visitors.close():
            # A long computation does not check whether it is to stop, and ends the process with an error.
            print("ended while a job was running", file=sys.stderr, flush=True)
            os._exit(0)


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """Yield a socket that listens on an address."""
    try:
        family = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
        allowed = "allowed: an address of this machine and a free port"
        raise OptionError(f"--host {host} --port {port}: {reason}; {allowed}") from error
    with listener:
        yield listener
