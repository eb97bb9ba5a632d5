from __future__ import annotations

import os
import sys
import textwrap
from pathlib import Path

import pytest

from restorekit import plugins
from restorekit.testing import run_command


@pytest.fixture
def install(tmp_path: Path, monkeypatch):
    """Put distributions with one plugin each on the path, as an installer would; returns all plugins."""
    monkeypatch.setenv(plugins.SELECTION, "")
    monkeypatch.delenv(plugins.SELECTION)

    def call(**modules: str) -> tuple[plugins.Plugin, ...]:
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *filter(None, sys.path)]))
        for name, source in modules.items():
            monkeypatch.delitem(sys.modules, f"{name}_module", raising=False)
            (tmp_path / f"{name}_module.py").write_text(textwrap.dedent(source))
            info = tmp_path / f"dist_{name}-1.2.dist-info"
            info.mkdir()
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: dist-{name}\nVersion: 1.2\n")
            (info / "entry_points.txt").write_text(f"[restorekit]\n{name} = {name}_module\n")
        plugins.forget()
        return plugins.plugins()

    yield call
    plugins.forget()


@pytest.fixture
def restorekit():
    """Run the command line in this process: (exit code, standard output, standard error)."""
    return run_command
