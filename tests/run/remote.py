"""Runs on remote files in memory, and in a store that behaves like a file system."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem
from PIL import Image

from restorekit.core.recipe import Recipe
from restorekit.run.engine import make_engine
from restorekit.run.folder import run_jobs
from restorekit.run.plan import plan_jobs
from restorekit.run.remote import RemoteRun
from restorekit.run.runner import Runner
from restorekit.run.settings import RunReport, Settings
from restorekit.testing import GaussianPrior
from tests.run.test_folder import speckle
from tests.run.test_images import pixels

ENGINE = make_engine("cpu", "float32")
MEMORY = fsspec.filesystem("memory")


class SharedFolder(DirFileSystem):
    """The folder `root` as `shared://`."""

    protocol = "shared"
    cachable = False
    root = Path()

    def __init__(self, **options: Any) -> None:
        super().__init__(path=str(self.root), fs=LocalFileSystem(), **options)


def png(seed: int = 0, shape: tuple[int, int, int] = (6, 5, 3)) -> bytes:
    """Encoded photo."""
    file = io.BytesIO()
    Image.fromarray(pixels(*shape, seed=seed)).save(file, "PNG")
    return file.getvalue()


def white(shape: tuple[int, int] = (6, 5)) -> bytes:
    """Encoded mask."""
    file = io.BytesIO()
    Image.fromarray(np.full(shape, 255, np.uint8)).save(file, "PNG")
    return file.getvalue()


def put(**files: bytes) -> None:
    """Write files named like `bucket_in_a` for `memory://bucket/in/a.png`."""
    for name, data in files.items():
        MEMORY.pipe_file(f"/{name.replace('_', '/')}.png", data)


def find(folder: str) -> list[str]:
    """Relative paths of the files below a folder in memory."""
    return sorted(name.removeprefix(f"/{folder}/") for name in MEMORY.find(f"/{folder}"))


def records(folder: str) -> list[dict[str, Any]]:
    """Records of a folder in memory."""
    return [json.loads(line) for line in MEMORY.cat_file(f"/{folder}/.restorekit.jsonl").splitlines()]


def run_remote(
    inputs: str | list[str],
    output: str | None = None,
    recipe: Recipe = speckle,
    side_images: dict[str, str] | None = None,
    samples: int = 1,
    **settings: Any,
) -> RunReport:
    """Run a recipe on URLs and paths."""
    inputs = [inputs] if isinstance(inputs, str) else inputs
    with RemoteRun() as remote:
        paths = remote.paths(inputs, output, side_images or {})
        plan = plan_jobs(paths.inputs, paths.output, recipe, paths.side_images, samples=samples)
        runner = Runner(recipe, GaussianPrior(), paths.side_images, ENGINE)
        report = run_jobs(plan, runner, Settings(**settings), transfer=remote.transfer(plan))
        report.failed += remote.finish(plan)
    return report


def messages(report: RunReport) -> list[str]:
    """Messages of the failures."""
    return [message for _, message in report.failed]
