"""The commands of docs/plugins.md, as printed, in an environment of their own."""

from __future__ import annotations

import contextvars
import io
import os
import re
import shlex
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from restorekit import doctor, plugins
from tests.run.test_folder import save

PAGE = (Path(__file__).parents[1] / "docs" / "plugins.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An empty environment that sees what this one has, where `pip install` asks no index and `pip`, `pytest` and
    `restorekit` are commands."""
    pytest.importorskip("hatchling", reason="what builds the package is not installed: pip install 'restorekit[dev]'")
    folder = tmp_path / "venv"
    venv.create(folder, with_pip=False)
    for name in ("pip", "pytest", "restorekit"):
        script = folder / "bin" / name
        script.write_text(f'#!/bin/sh\nexec "{folder}/bin/python" -m {name} "$@"\n')
        script.chmod(0o755)
    seen = [path for path in sys.path if path and Path(path).exists()]
    return {
        **os.environ,
        "PATH": f"{folder}/bin:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *seen]),
        "PIP_NO_DEPS": "1",
        "PIP_NO_INDEX": "1",
        # pip's own words for --no-build-isolation.
        "PIP_NO_BUILD_ISOLATION": "0",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


@pytest.mark.skipif(os.name == "nt", reason="the commands are those of a POSIX shell")
def test_the_tutorial_works_as_printed(
    environment: dict[str, str], install, restorekit, tmp_path: Path, monkeypatch
) -> None:
    """The package is installed, run and tested by other processes; what else restorekit is asked, in this one."""
    (tmp_path / "my_recipe.py").write_text(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0])
    save(tmp_path / "img.png", 40, 48, 3)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("restorekit.plugin_commands.examine", _examine_here)
    monkeypatch.delenv(plugins.SELECTION, raising=False)
    said = {}
    for command in COMMANDS:
        if re.match(r"restorekit (run|plugins)\b", command):
            code, said[command], problem = restorekit(*shlex.split(command)[1:])
            assert code == 0, f"{command}\n{said[command]}{problem}"
            continue
        done = subprocess.run(command, shell=True, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        said[command] = done.stdout
        if command.startswith("pip install"):
            monkeypatch.syspath_prepend(str(next((tmp_path / "venv").glob("lib/*/site-packages"))))
            install()
    assert "--sigma" in said["restorekit run my_recipe.py --help"]
    assert (tmp_path / "img-soften.png").exists()
    assert (tmp_path / "img-demo.png").exists()
    assert "3 passed" in said["pytest demo"]
    assert "demo  restorekit-demo 0.1.0  ok  recipes demo" in said["restorekit plugins"]
    assert "--width" in said["restorekit plugins info demo"]
    assert "operator Blur" in said["restorekit plugins doctor demo"]
    assert said["restorekit plugins doctor demo"].endswith("doctor: 1 plugins, 0 checks failed\n")


def _examine_here(plugin: plugins.Plugin, timeout: float) -> list[doctor.Finding]:
    out = io.StringIO()
    # As in a process of its own, plugins are imported.
    contextvars.Context().run(doctor.main, plugin.name, plugin.distribution, out)
    return doctor.read_findings(out.getvalue(), "ended")
