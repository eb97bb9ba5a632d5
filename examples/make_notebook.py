"""Run the cells of `restore.py` and write them with their outputs to `restore.ipynb`.

    python examples/make_notebook.py

The cells run in a temporary folder, without Jupyter.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import re
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).with_name("restore.py")
NOTEBOOK = SOURCE.with_suffix(".ipynb")
MARKER = re.compile(r"^# %%( \[markdown\])?\n", re.MULTILINE)


def cells(text: str) -> list[tuple[bool, str]]:
    """Return the cells of a script: whether each is text (True) or code, and its source."""
    _, *parts = MARKER.split(text)
    found = []
    for kind, source in zip(parts[::2], parts[1::2], strict=True):
        lines = source.strip().splitlines()
        is_text = kind is not None
        found.append((is_text, "\n".join(re.sub(r"^# ?", "", line) for line in lines) if is_text else "\n".join(lines)))
    return found


def run_cell(source: str, name: str, names: dict[str, Any]) -> list[dict[str, Any]]:
    """Run the source of a cell; return its outputs in the format of notebooks, that of its last expression last."""
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed, value = io.StringIO(), None
    with contextlib.redirect_stdout(printed), warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("default")
        exec(compile(tree, name, "exec"), names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), name, "eval"), names)
    warned = "".join(f"{warning.category.__name__}: {warning.message}\n" for warning in found)
    streams = {"stdout": printed.getvalue(), "stderr": warned}
    outputs = [{"output_type": "stream", "name": name, "text": text} for name, text in streams.items() if text]
    if value is not None:
        shown = {"text/plain": re.sub(r" at 0x[0-9A-Fa-f]+", "", repr(value))}
        if hasattr(value, "_repr_html_"):
            shown["text/html"] = value._repr_html_()
        outputs.append({"output_type": "execute_result", "data": shown, "metadata": {}})
    return outputs


def notebook(text: str) -> dict[str, Any]:
    """Return the executed notebook of a script. The cells run in the current folder."""
    names: dict[str, Any] = {"__name__": "__main__"}
    made: list[dict[str, Any]] = []
    for index, (is_text, source) in enumerate(cells(text)):
        cell: dict[str, Any] = {"id": f"cell-{index}", "metadata": {}, "source": source}
        if is_text:
            cell["cell_type"] = "markdown"
        else:
            count = 1 + sum(other["cell_type"] == "code" for other in made)
            outputs = run_cell(source, f"cell {count}", names)
            for output in outputs:
                if output["output_type"] == "execute_result":
                    output["execution_count"] = count
            cell |= {"cell_type": "code", "execution_count": count, "outputs": outputs}
        made.append(cell)
    language = {"name": "python", "version": ".".join(map(str, sys.version_info[:2]))}
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {
        "cells": made,
        "metadata": {"kernelspec": kernel, "language_info": language},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def main() -> None:
    """Write the notebook."""
    text = SOURCE.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        made = notebook(text)
    NOTEBOOK.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{NOTEBOOK.name}: {NOTEBOOK.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
