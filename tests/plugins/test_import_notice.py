from __future__ import annotations

import io
import threading

import pytest

from restorekit.plugins import discovery, import_notice
from restorekit.plugins.discovery import clear_cache
from tests.plugins.test_discovery import GOOD

WAITING = "from tests.plugins.test_import_notice import PRINTED\nassert PRINTED.wait(60)\n"
INTERRUPTED = "raise KeyboardInterrupt\n"
PRINTED = threading.Event()


class Terminal(io.StringIO):
    """Standard error, which announces a complete line."""

    def write(self, text: str) -> int:
        count = super().write(text)
        if "\n" in self.getvalue():
            PRINTED.set()
        return count


def test_a_plugin_that_takes_long_to_import_is_named(install, monkeypatch) -> None:
    PRINTED.clear()
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr(import_notice, "DELAY", 0.0)
    with discovery.without_imports():
        install(waiting=WAITING + GOOD)
    plugin = discovery.plugin_named("waiting")
    assert (plugin.error, [recipe.name for recipe in plugin.recipes]) == (None, ["lighten"])
    line = next(line for line in terminal.getvalue().splitlines() if "waiting" in line)
    assert line == (
        "warning: plugin waiting of dist-waiting is still being imported after 0 seconds; "
        "`restorekit plugins doctor waiting` checks it, `restorekit --no-plugins` leaves it out"
    )


def test_a_plugin_that_is_imported_in_time_is_not_named(install, capsys) -> None:
    install(light=GOOD)
    assert capsys.readouterr().err == ""
    timers = [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
    assert all(timer.finished.is_set() for timer in timers)


def test_an_interrupt_during_an_import_ends_the_command_in_one_line(install, restorekit) -> None:
    with discovery.without_imports():
        install(stuck=INTERRUPTED)
    clear_cache()
    code, out, err = restorekit("--version")
    assert (code, out) == (130, "")
    assert err == (
        "interrupted while plugin stuck of dist-stuck was imported; "
        "`restorekit plugins doctor stuck` checks it, `restorekit --no-plugins` leaves it out\n"
    )


def test_an_interrupt_during_an_import_is_not_hidden_in_python(install) -> None:
    with pytest.raises(KeyboardInterrupt, match="interrupted while plugin stuck of dist-stuck was imported"):
        install(stuck=INTERRUPTED)
