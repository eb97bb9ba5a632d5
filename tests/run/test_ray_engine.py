"""Runs on a local Ray cluster of two workers: the same results and reports as in one process."""

from __future__ import annotations

import errno
import math
import pickle
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from restorekit.cli import terminal
from restorekit.errors import ModelError
from restorekit.plugins.recipe_file import load_recipe
from restorekit.run.engine import make_engine
from restorekit.run.folder import run_jobs
from restorekit.run.manifest import MANIFEST, Manifest
from restorekit.run.plan import Job, plan_jobs
from restorekit.run.ray_engine import run_jobs_on_ray, split
from restorekit.run.ray_worker import (
    DIED,
    MAX_START_DEATHS,
    START_DIED,
    Attempts,
    RunnerDescription,
    Worker,
    describe,
)
from restorekit.run.runner import Runner
from restorekit.run.settings import RunReport, Settings
from tests.models.small import small_model
from tests.run.test_folder import save

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.*")
# Adds noise, after a function of the number of columns of the photo and the folder of the recipe.
RECIPE = """
    import os, sys, warnings
    from pathlib import Path
    import restorekit as rk

    @rk.recipe("dither", samples=True)
    def dither(y, prior, noise):
        \"\"\"Add noise.\"\"\"
        warnings.warn(rk.RestorekitWarning("dithered"))
        special(y.shape[-1], Path(__file__).parent)
        return (prior(y, y.new_full((1,), 0.1)) + 0.1 * noise.like(y)).clamp(-1, 1)

    def special(width, folder):
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A local cluster of two workers."""
    ray = pytest.importorskip("ray")
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=2**27)
    yield
    ray.shutdown()


class Folder:
    """Eight photos of 10 to 17 columns, and runs of a recipe over them."""

    def __init__(self, path: Path, special: str) -> None:
        self.path, self.model = path, small_model(path / "model")
        for i in range(8):
            save(path / "in" / f"{i}.png", 8, 10 + i, 3, seed=i)
        (path / "recipe.py").write_text(textwrap.dedent(RECIPE) + textwrap.indent(textwrap.dedent(special), "    "))
        self.recipe = load_recipe(path / "recipe.py")

    def local(self, output: str) -> RunReport:
        plan = plan_jobs([self.path / "in"], self.path / output, self.recipe, {})
        return run_jobs(plan, Runner(self.recipe, self.model, {}, make_engine("cpu", "float32")))

    def ray(self, output: str, **arguments: Any) -> RunReport:
        plan = plan_jobs([self.path / "in"], self.path / output, self.recipe, {})
        description = describe(self.recipe, self.model, {}, device="cpu", precision="float32")
        return run_jobs_on_ray(plan, description, Settings(), **arguments)

    def files(self, output: str) -> dict[str, bytes]:
        return {file.name: file.read_bytes() for file in (self.path / output).iterdir() if file.name != MANIFEST}


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Folder]:
    return lambda special="pass": Folder(tmp_path, special)


def names(paths: Iterable[Path]) -> list[str]:
    return [path.name for path in paths]


@pytest.mark.usefixtures("cluster")
def test_command(folder: Callable[..., Folder], restorekit, monkeypatch) -> None:
    photos = folder("if width == 12: raise ValueError('narrow')")
    (photos.path / "in" / "5.png").write_bytes(b"no image")
    words = "run", photos.path / "recipe.py", photos.path / "in", "--samples", "2", "--model", photos.model, "--debug"
    words += "--trace", "strip", "--uncertainty"
    ray = *words, "-o", photos.path / "ray", "--engine", "ray", "--workers", "2"
    # Progress of a run that takes long is not printed, whatever the load of the machine.
    monkeypatch.setattr(terminal, "SECONDS_BETWEEN_LINES", math.inf)
    code, out, err = restorekit(*words, "-o", photos.path / "local")
    assert restorekit(*ray) == (code, out.replace("local", "ray"), err)
    assert (code, photos.files("ray")) == (1, photos.files("local"))
    assert {"0-1.png.trace.png", "0.png.std.png"} < photos.files("ray").keys()
    message = "error: --device cuda is not available here (the Ray cluster has no GPU)\n"
    assert restorekit(*ray, "--device", "cuda") == (2, "", message)


@pytest.mark.usefixtures("cluster")
def test_a_killed_worker_loses_nothing(folder: Callable[..., Folder]) -> None:
    photos = folder(
        """
        if width == 15 and (folder / "armed").exists():
            while not (folder / "ray" / "4.png").exists():
                os.sched_yield()
            (folder / "armed").unlink()
            os.kill(os.getpid(), 9)
        """
    )
    expected = photos.local("ray")
    before = photos.files("ray")
    for name in ("4.png", "5.png"):
        (photos.path / "ray" / name).unlink()
    (photos.path / "armed").touch()
    report = photos.ray("ray", workers=1)
    assert not (photos.path / "armed").exists()
    assert photos.files("ray") == before
    assert names(report.restored) == ["4.png", "5.png"]
    assert names(report.skipped) == [f"{i}.png" for i in (0, 1, 2, 3, 6, 7)]
    assert report.notes == expected.notes[4:6]


@pytest.mark.usefixtures("cluster")
def test_a_photo_at_which_all_workers_die_fails_alone(folder: Callable[..., Folder]) -> None:
    photos = folder("if width == 11: sys.exit(0)")
    report = photos.ray("ray")
    assert report.failed == [(photos.path / "in" / "1.png", DIED)]
    assert names(report.restored) == [f"{i}.png" for i in (0, 2, 3, 4, 5, 6, 7)]
    assert Manifest(photos.path / "ray").records("1.png")[-1].error == DIED


@pytest.mark.usefixtures("cluster")
def test_a_full_disk_ends_the_run(folder: Callable[..., Folder]) -> None:
    photos = folder(f"if width == 12: raise OSError({errno.ENOSPC}, 'full')")
    report = photos.ray("ray", workers=1)
    assert report.stopped == "no space left"
    assert names(path for path, _ in report.failed) == ["2.png"]
    assert names(report.restored) == sorted(photos.files("ray"))
    assert len(report.restored) < 7


@pytest.mark.usefixtures("cluster")
def test_an_interrupt_ends_the_run_and_counts_what_was_written(folder: Callable[..., Folder]) -> None:
    photos, done = folder(), []

    def interrupt(job: Job) -> None:
        done.append(job)
        if len(done) == 2:
            raise KeyboardInterrupt

    report = photos.ray("ray", on_done=interrupt, workers=2)
    assert report.stopped == "interrupted"
    assert set(names(job.source for job in done)) <= set(names(report.restored))
    assert names(photos.local("ray").skipped) == names(report.restored)


class Handle:
    """An actor of this process."""

    def __init__(self, actor: object) -> None:
        self.actor = actor

    def __getattr__(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(remote=getattr(self.actor, name))


@pytest.fixture
def start_worker(folder: Callable[..., Folder], monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    """Start a worker in this process; returns what it returns for a task without jobs."""
    photos = folder()
    monkeypatch.chdir(photos.path)
    monkeypatch.setitem(
        sys.modules,
        "ray",
        SimpleNamespace(get=lambda value: value, get_runtime_context=lambda: SimpleNamespace(current_actor=None)),
    )

    def start(attempts: Attempts, model: str = "model") -> object:
        description = describe(photos.recipe, model, {}, device="cpu")
        worker = Worker(description, Settings(), None, torch.get_num_threads(), Handle(attempts))
        return pickle.loads(worker({"index": 0, "jobs": pickle.dumps([])})["outcome"])

    return start


def test_an_error_before_the_first_photo_is_that_of_the_command(start_worker: Callable[..., object]) -> None:
    outcome = start_worker(Attempts(1), "none")
    assert isinstance(outcome, ModelError)
    assert "none" in str(outcome)


def test_workers_that_die_while_they_start_end_the_run(start_worker: Callable[..., object]) -> None:
    attempts = Attempts(2)
    for _ in range(2):
        for _ in range(MAX_START_DEATHS + 1):
            attempts.start_worker(None)
        assert isinstance(start_worker(attempts), RunReport)
    for _ in range(MAX_START_DEATHS + 2):
        attempts.start_worker(None)
    assert str(start_worker(attempts)) == START_DIED


def test_ray_that_is_not_installed_is_one_line(restorekit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    photo, model = save(tmp_path / "a.png", 8, 8, 3), small_model(tmp_path / "model")
    words = "denoise", photo, "--sigma", "25", "--model", model
    message = "error: --engine ray: ray is not installed; pip install 'restorekit[ray]'\n"
    assert restorekit(*words, "--engine", "ray") == (2, "", message)
    assert restorekit(*words, "--workers", "2") == (2, "", "error: --workers requires --engine ray\n")


@pytest.mark.parametrize(("count", "workers", "sizes"), [(10, 2, [2] * 5), (3, 8, [1] * 3), (100, 2, [8] * 12 + [4])])
def test_tasks_are_neighbouring_photos(count: int, workers: int, sizes: list[int]) -> None:
    jobs = [Job(Path(f"{i}.png"), (), {}) for i in range(count)]
    tasks = split(jobs, workers, 1)
    assert [len(task) for task in tasks] == sizes
    assert [job for task in tasks for job in task] == jobs


def test_workers_take_over_the_variables_of_the_command(monkeypatch) -> None:
    for name in ("HF_HUB_OFFLINE", "RESTOREKIT_PLUGINS"):
        monkeypatch.delenv(name, raising=False)
    assert RunnerDescription("denoise").variables == {}
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("RESTOREKIT_PLUGINS", "")
    assert RunnerDescription("denoise").variables == {"HF_HUB_OFFLINE": "1", "RESTOREKIT_PLUGINS": ""}
