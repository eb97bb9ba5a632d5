from __future__ import annotations

import os
import signal
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from restorekit.plugins import discovery
from restorekit.testing import run_command
from tests.models.fake_hub import TOKEN, FakeHub, serve


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


@pytest.fixture
def hub(tmp_path: Path, monkeypatch) -> Iterator[FakeHub]:
    """A local fake of the Hugging Face Hub, which huggingface_hub uses with the right token and an empty cache."""
    from huggingface_hub import utils

    with serve() as fake:
        values = {
            "ENDPOINT": fake.url,
            "HUGGINGFACE_CO_URL_TEMPLATE": fake.url + "/{repo_id}/resolve/{revision}/{filename}",
        }
        values |= {"HF_HUB_CACHE": str(tmp_path / "hub"), "HF_TOKEN_PATH": str(tmp_path / "token")}
        values |= {"AGENT_HARNESSES_PATH": str(tmp_path / "agents.json")}
        flags = {"HF_HUB_OFFLINE": False, "HF_HUB_DISABLE_XET": True}
        for name, value in (values | flags).items():
            monkeypatch.setattr(f"huggingface_hub.constants.{name}", value, raising=False)
        # Versions before 1.0 copy it.
        template = "huggingface_hub.file_download.HUGGINGFACE_CO_URL_TEMPLATE"
        monkeypatch.setattr(template, values["HUGGINGFACE_CO_URL_TEMPLATE"], raising=False)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        # The client waits between its attempts.
        monkeypatch.setattr("time.sleep", lambda seconds: None)
        yield fake
        if hasattr(utils, "close_session"):
            utils.close_session()
