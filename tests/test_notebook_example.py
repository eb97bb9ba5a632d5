"""The notebook in `examples/` was executed with the cells of its script, which run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.test_examples import EXAMPLES, example

# Bytes of the notebook.
LIMIT = 1_000_000
NOTEBOOK = EXAMPLES / "restore.ipynb"


@pytest.fixture(scope="module")
def stored() -> dict[str, Any]:
    return json.loads(NOTEBOOK.read_text(encoding="utf-8"))


def kinds(cell: dict[str, Any]) -> list[Any]:
    """The kinds of the outputs of a cell: the names of its streams, and the types of its result."""
    return [output.get("name") or sorted(output["data"]) for output in cell.get("outputs", ())]


def test_the_cells_run_with_the_outputs_of_the_notebook(stored: dict[str, Any], tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_notebook = example("make_notebook")
    made = make_notebook.notebook(make_notebook.SOURCE.read_text(encoding="utf-8"))
    assert [cell["source"] for cell in stored["cells"]] == [cell["source"] for cell in made["cells"]]
    assert [kinds(cell) for cell in stored["cells"]] == [kinds(cell) for cell in made["cells"]]
    assert (tmp_path / "restored" / "report.html").is_file()


def test_the_notebook_is_executed_and_small(stored: dict[str, Any]) -> None:
    assert NOTEBOOK.stat().st_size < LIMIT
    assert (stored["nbformat"], stored["nbformat_minor"]) == (4, 5)
    code = [cell for cell in stored["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert len({cell["id"] for cell in stored["cells"]}) == len(stored["cells"])
    shown = [kinds(cell) for cell in code]
    assert sum(["text/html", "text/plain"] in outputs for outputs in shown) == 4
    assert not any(cell.get("outputs") for cell in stored["cells"] if cell["cell_type"] != "code")


def test_the_notebook_contains_no_path_of_a_machine_and_no_address(stored: dict[str, Any]) -> None:
    text = re.sub(r"base64,[\w+/=]+", "", json.dumps(stored))
    assert not re.findall(r"[\"' (]/\w+/|[A-Z]:\\\\|\w+://| at 0x", text)
