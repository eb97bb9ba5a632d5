from __future__ import annotations

import os
import signal
import sys
import textwrap
from pathlib import Path

import pytest

from restorekit.plugins import discovery
from restorekit.testing import run_command


@pytest.fixture(autouse=True)
def interrupts():
    """Handle SIGINT, which a background job of a shell ignores."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


@pytest.fixture
def install(tmp_path: Path, monkeypatch):
    """Put distributions with one plugin each on the path, like an installer, and return all plugins."""
    monkeypatch.setenv(discovery.SELECTION, "")
    monkeypatch.delenv(discovery.SELECTION)

    def call(**modules: str) -> tuple[discovery.Plugin, ...]:
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *filter(None, sys.path)]))
        for name, source in modules.items():
            monkeypatch.delitem(sys.modules, f"{name}_module", raising=False)
            (tmp_path / f"{name}_module.py").write_text(textwrap.dedent(source))
            info = tmp_path / f"dist_{name}-1.2.dist-info"
            info.mkdir()
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: dist-{name}\nVersion: 1.2\n")
            (info / "entry_points.txt").write_text(f"[restorekit]\n{name} = {name}_module\n")
        discovery.clear_cache()
        return discovery.plugins()

    yield call
    discovery.clear_cache()


@pytest.fixture
def restorekit():
    """Run the command line in this process; returns (exit code, standard output, standard error)."""
    return run_command
