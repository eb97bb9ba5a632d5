"""A notice on standard error while a plugin takes long to import, so that a command does not hang silently."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator

# Seconds after which the notice is printed.
DELAY = 3.0


@contextlib.contextmanager
def import_notice(name: str, distribution: str) -> Iterator[None]:
    """Print one line if the block, which imports a plugin, takes longer than `DELAY` seconds.

    name, distribution: those of the plugin; a KeyboardInterrupt in the block gets a message with them, one line.
    """
    plugin = f"plugin {name} of {distribution}"
    remedy = f"`restorekit plugins doctor {name}` checks it, `restorekit --no-plugins` leaves it out"

    def notify() -> None:
        print(f"warning: {plugin} is still being imported after {DELAY:g} seconds; {remedy}", file=sys.stderr)

    timer = threading.Timer(DELAY, notify)
    timer.daemon = True
    timer.start()
    try:
        yield
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt(f"interrupted while {plugin} was imported; {remedy}") from interrupt
    finally:
        timer.cancel()
