"""Visitors with photos, and the recipe with every kind of option."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from torch import Tensor

import restorekit as rk

pytest.importorskip("gradio", reason="Gradio is not installed (extra ui)")

from restorekit.ui.jobs import JobQueue
from restorekit.ui.visitor import Visitors


@rk.recipe("everything", samples=True)
def everything(
    y: Tensor,
    prior: rk.Denoiser,
    noise: rk.ImageNoise,
    *,
    count: Annotated[int, rk.Option("An integer.", min=1, max=1000)] = 5,
    scale: Annotated[Literal[2, 4], rk.Option("An integer of two.")] = 2,
    amount: Annotated[float, rk.Option("A number in a short range.", min=0, max=1)] = 0.5,
    sigma: Annotated[float | Literal["auto"], rk.Option("A number or a word.", min=0, max=50)] = "auto",
    size: Annotated[float | None, rk.Option("A number without default.", min=0)] = None,
    mode: Annotated[Literal["mean", "sample"], rk.Option("A word.")] = "mean",
    fast: Annotated[bool, rk.Option("A flag.")] = False,
    label: Annotated[Tensor | None, rk.ClassOption("A class.")] = None,
    classifier: Annotated[Any, rk.ModelOption("A classifier.", "classifier-patches", kind="classifier")],
    refiner: Annotated[Any, rk.ModelOption("A prior.", "ddpm-fill")],
    solver: Annotated[Any, rk.SolverOption("A solver.", "dpir")],
    network: Annotated[Any, rk.NetworkOption("A network.", lambda path: None)],
    tables: Annotated[Tensor | None, rk.JpegTables("JPEG quality.")],
    mask: Annotated[Tensor, rk.ImageOption("A mask.")],
    second: Annotated[Tensor | None, rk.ImageOption("Another mask.")] = None,
    kernel: Annotated[Tensor | None, rk.ImageOption("A kernel.", invertible=False, same_size=False)] = None,
) -> Tensor:
    """Do everything.

    The second paragraph.
    """
    return y


@pytest.fixture
def visitors() -> Iterator[Visitors]:
    found = Visitors(JobQueue())
    yield found
    found.close()
    assert not found.root.exists()


@pytest.fixture
def every_option() -> rk.Recipe:
    return everything


def upload_of(file: Path, folder: Path) -> Path:
    """A copy of a file where Gradio stores an upload."""
    target = folder / "0123" / file.name
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(file.read_bytes())
    return target
