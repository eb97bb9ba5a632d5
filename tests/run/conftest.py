"""Stores of remote files."""

from __future__ import annotations

import tempfile
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem


@pytest.fixture
def shared(tmp_path: Path, monkeypatch) -> Path:
    """The folder that is `shared://`."""
    from tests.run.remote import SharedFolder

    (tmp_path / "shared").mkdir()
    monkeypatch.setattr(SharedFolder, "root", tmp_path / "shared")
    fsspec.register_implementation("shared", SharedFolder, clobber=True)
    return tmp_path / "shared"


@pytest.fixture
def stores(tmp_path_factory, monkeypatch):
    """Empty the memory of `memory://`, and use an empty folder for mirrors."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("temporary")))
    yield
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]
