"""The command `ui` without a server."""

from __future__ import annotations

import importlib.util
import socket
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command changes settings of the process."""
    monkeypatch.setattr("restorekit.cli.ui.reuse_large_buffers", lambda: None)
    monkeypatch.delenv("RESTOREKIT_TOKEN", raising=False)


def test_without_gradio(restorekit, monkeypatch: pytest.MonkeyPatch) -> None:
    find: Any = importlib.util.find_spec
    monkeypatch.setattr("restorekit.cli.ui.find_spec", lambda name: None if name == "gradio" else find(name))
    code, _, err = restorekit("ui")
    assert (code, err) == (2, "error: ui: requires the extra 'ui': pip install 'restorekit[ui]'\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--token", "short"], "error: --token: found 5 characters, allowed: 16 or more printable ASCII characters\n"),
        (["--folders", "/nowhere"], "error: --folders: /nowhere is not a folder\n"),
        (["--host", "203.0.113.1", "--port", "0"], "error: --host 203.0.113.1 --port 0: "),
    ],
)
def test_wrong_options(restorekit, words: list[str], message: str) -> None:
    pytest.importorskip("gradio", reason="Gradio is not installed (extra ui)")
    code, out, err = restorekit("ui", "--device", "cpu", *words)
    assert (code, out) == (2, "")
    assert err.startswith(message)
    assert len(err.splitlines()) == 1


def test_a_token_of_the_environment(restorekit, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gradio", reason="Gradio is not installed (extra ui)")
    monkeypatch.setenv("RESTOREKIT_TOKEN", "0123456789")
    code, _, err = restorekit("ui", "--device", "cpu")
    assert code == 2
    assert err.startswith("error: --token: found 10 characters")


def test_a_port_that_is_used(restorekit) -> None:
    pytest.importorskip("gradio", reason="Gradio is not installed (extra ui)")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, _, err = restorekit("ui", "--device", "cpu", "--port", port)
    assert code == 2
    assert err.startswith(f"error: --host 127.0.0.1 --port {port}: Address already in use; allowed:")
