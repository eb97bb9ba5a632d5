"""The commands of docs/plugins.md, as printed, in a separate environment."""

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

from restorekit.checks import doctor
from restorekit.plugins import discovery
from tests.run.test_folder import save

PAGE = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An empty environment with access to the packages of this one, in which `pip install` uses no index and `pip`,
    `pytest` and `restorekit` are commands."""
    pytest.importorskip("hatchling", reason="hatchling is not installed: pip install 'restorekit[dev]'")
    folder = tmp_path / "venv"
    venv.create(folder, with_pip=False)
    for name in ("pip", "pytest", "restorekit"):
        script = folder / "bin" / name
        script.write_text(f'#!/bin/sh\nexec "{folder}/bin/python" -m {name} "$@"\n')
        script.chmod(0o755)
    paths = [path for path in sys.path if path and Path(path).exists()]
    return {
        **os.environ,
        "PATH": f"{folder}/bin:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *paths]),
        "PIP_NO_DEPS": "1",
        "PIP_NO_INDEX": "1",
        # 0 means --no-build-isolation.
        "PIP_NO_BUILD_ISOLATION": "0",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


@pytest.mark.skipif(os.name == "nt", reason="the commands are those of a POSIX shell")
def test_the_tutorial_works_as_printed(
    environment: dict[str, str], install, restorekit, tmp_path: Path, monkeypatch
) -> None:
    """Other processes install, run and test the package; `restorekit run` and `plugins` run in this process."""
    (tmp_path / "my_recipe.py").write_text(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0])
    save(tmp_path / "img.png", 40, 48, 3)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("restorekit.cli.plugin_commands.examine", _examine_here)
    monkeypatch.delenv(discovery.SELECTION, raising=False)
    outputs = {}
    for command in COMMANDS:
        if re.match(r"restorekit (run|plugins)\b", command):
            code, outputs[command], problem = restorekit(*shlex.split(command)[1:])
            assert code == 0, f"{command}\n{outputs[command]}{problem}"
            continue
        done = subprocess.run(command, shell=True, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        outputs[command] = done.stdout
        if command.startswith("pip install"):
            monkeypatch.syspath_prepend(str(next((tmp_path / "venv").glob("lib/*/site-packages"))))
            install()
    assert "--sigma" in outputs["restorekit run my_recipe.py --help"]
    assert (tmp_path / "img-soften.png").exists()
    assert (tmp_path / "img-demo.png").exists()
    assert "3 passed" in outputs["pytest demo"]
    assert re.search("demo +restorekit-demo 0.1.0 +ok +recipes demo\n", outputs["restorekit plugins"])
    assert "--width" in outputs["restorekit plugins info demo"]
    assert "operator Blur" in outputs["restorekit plugins doctor demo"]
    assert outputs["restorekit plugins doctor demo"].endswith("doctor: 1 plugins, 0 failed checks\n")


def _examine_here(plugin: discovery.Plugin, timeout: float) -> list[doctor.Finding]:
    out = io.StringIO()
    # A new context imports plugins, like a separate process.
    contextvars.Context().run(doctor.main, plugin.name, plugin.distribution, out)
    return doctor.read_findings(out.getvalue(), "ended")
