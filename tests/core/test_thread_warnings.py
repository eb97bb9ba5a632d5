"""Warnings of one thread do not reach another."""

from __future__ import annotations

import threading
import warnings

import pytest

from restorekit.core.thread_warnings import record_warnings, warnings_by_thread
from restorekit.errors import RestorekitWarning


def test_every_thread_records_its_own_warnings() -> None:
    found: dict[str, list[str]] = {}
    barrier = threading.Barrier(2)

    def work(name: str) -> None:
        with record_warnings(RestorekitWarning) as messages:
            barrier.wait()
            for _ in range(3):
                warnings.warn(RestorekitWarning(name), stacklevel=1)
            barrier.wait()
        found[name] = [str(message) for message in messages]

    threads = [threading.Thread(target=work, args=(name,)) for name in ("a", "b")]
    with warnings_by_thread():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == {"a": ["a"] * 3, "b": ["b"] * 3}


def test_filters_and_display_are_restored_after_the_last_thread() -> None:
    before = warnings.showwarning, list(warnings.filters)
    with warnings_by_thread(), record_warnings(Warning):
        assert warnings.showwarning is not before[0]
    assert (warnings.showwarning, list(warnings.filters)) == before


def test_other_warnings_are_not_recorded() -> None:
    def warn() -> list[Warning]:
        with record_warnings(RestorekitWarning) as messages:
            warnings.simplefilter("always")
            warnings.warn("another", UserWarning, stacklevel=1)
            warnings.warn(RestorekitWarning("ours"), stacklevel=1)
        return messages

    with pytest.warns(UserWarning, match="another"):
        messages = warn()
    assert [str(message) for message in messages] == ["ours"]


def test_warnings_of_image_libraries_are_recorded() -> None:
    code = "import warnings; warnings.warn('corrupt', UserWarning)"
    with record_warnings(Warning) as messages:
        exec(code, {"__name__": "PIL.Example"})
        exec(code, {"__name__": "PIL.Example"})
    assert [str(message) for message in messages] == ["corrupt", "corrupt"]
