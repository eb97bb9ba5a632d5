"""The results of a run: which of them exist already, and how they are written."""

from __future__ import annotations

import hashlib
import inspect
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch

from restorekit.core.files import atomic_path
from restorekit.core.recipe import Recipe
from restorekit.errors import ImageError, RestorekitError
from restorekit.models.registry import model_digest
from restorekit.plugins.discovery import plugins
from restorekit.run.manifest import Manifest, Record, digest
from restorekit.run.plan import Job
from restorekit.run.runner import Runner
from restorekit.run.settings import Settings

State = Literal["new", "done", "kept", "redo"]


@dataclass(frozen=True)
class Timed:
    """Facts of one restoration: seconds and notes."""

    seconds: float
    notes: tuple[str, ...] = ()


class Results:
    """The results of a run and the manifests of their folders.

    Arguments:
        runner: the runner of the run.
        settings: the settings of the run.
    """

    def __init__(self, runner: Runner, settings: Settings) -> None:
        recipe = runner.recipe
        self.settings = settings
        self._models = {name: model for name, model in runner.models.items() if model is not None}
        self._request = {
            "recipe": recipe.name,
            "options": {p.name: runner.options.options[p.name] for p in recipe.options if p.name not in self._models},
            "models": {name: model_digest(model) for name, model in self._models.items()},
            "seed": settings.seed,
            "encoding": {name: value for name, value in asdict(settings.encoding).items() if value is not None},
        }
        distributions = [p for p in plugins() if recipe in p.recipes]
        self._versions = {"restorekit": version("restorekit"), "torch": torch.__version__}
        self._versions |= {p.distribution: p.version for p in distributions}
        self._recipe_file = None if distributions else _source_file(recipe)
        engine = runner.engine
        self._engine = {"device": engine.device.type, "precision": engine.precision, "tile": engine.tile}
        self._manifests: dict[Path, Manifest] = {}

    def manifest(self, target: Path) -> Manifest:
        """Return the manifest of the folder of a target."""
        return self._manifests.setdefault(target.parent, Manifest(target.parent))

    def request(self, job: Job, number: int) -> dict[str, Any]:
        """Return what determines sample `number` of a photo; see `Record`."""
        side_images = {
            name: {"sha256": digest(path), "inverted": name in self.settings.inverted}
            for name, path in job.side_images.items()
        }
        request = self._request | {"name": job.source.name, "source": digest(job.source), "side_images": side_images}
        return request | {"sample": number} | self._recipe_digest()

    def state(self, job: Job) -> State:
        """Return whether a photo is to be restored: "new", "redo"; or not: "done", "kept".

        Raises ImageError if a target exists that must not be replaced, or cannot be written.
        """
        states = [self._state(job, number) for number in range(len(job.targets))]
        return next(state for state in ("new", "redo", "kept", "done") if state in states)

    def _state(self, job: Job, number: int) -> State:
        target, settings = job.targets[number], self.settings
        try:
            found = target.stat()
        except (FileNotFoundError, NotADirectoryError):
            check_writable(target)
            return "new"
        except OSError as error:
            raise ImageError(f"{target}: cannot be written ({error.strerror or error})") from error
        if not stat.S_ISREG(found.st_mode):
            raise ImageError(f"{target}: found a folder or a special file, allowed: a file or nothing")
        check_writable(target)
        if found.st_size == 0 or settings.overwrite:
            return "new"
        records = [r for r in self.manifest(target).records(target.name) if r.error is None and r.size == found.st_size]
        request = self.request(job, number)
        latest = self._latest(target)
        if latest is not None and latest in records and not differences(latest.request, request):  # noqa: SIM102
            # A process that was killed may have left the result of an earlier request.
            if len(records) == 1 or latest.sha256 == digest(target):
                return "done"
        if settings.on_change == "keep":
            return "kept"
        if not records or digest(target) not in {record.sha256 for record in records}:
            raise ImageError(f"{target}: exists, but is not a result of restorekit; --overwrite replaces it")
        if settings.on_change == "fail" and latest is not None:
            changed = ", ".join(differences(latest.request, request)) or "contents"
            raise ImageError(f"{target}: exists with other settings ({changed}); --on-change redo or keep allows it")
        return "redo"

    def _latest(self, target: Path) -> Record | None:
        """Return the last record of a target that is not a failure."""
        return next((r for r in reversed(self.manifest(target).records(target.name)) if r.error is None), None)

    def write(self, job: Job, number: int, data: bytes, facts: Timed) -> None:
        """Write a result and its record.

        The record comes first, so that every result has one; without the result, it has no effect.
        """
        target = job.targets[number]
        record = self._record(
            job, number, facts, sha256=hashlib.sha256(data).hexdigest(), size=len(data), notes=facts.notes
        )
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(target) as part:
            part.write_bytes(data)
            self.manifest(target).append(record)

    def fail(self, job: Job, message: str) -> None:
        """Record that a photo failed; a folder without rights has no manifest."""
        for number, target in enumerate(job.targets):
            try:
                self.manifest(target).append(self._record(job, number, None, error=message))
            except (OSError, ImageError):
                return

    def _record(self, job: Job, number: int, facts: Timed | None, **values: Any) -> Record:
        target = job.targets[number]
        files = {"source": job.source, **job.side_images}
        if self._recipe_file is not None:
            files["recipe"] = self._recipe_file
        return Record(
            output=target.name,
            request=self.request(job, number),
            files={name: _relative(path, target.parent) for name, path in files.items()},
            models={name: _name(model) for name, model in self._models.items()},
            engine=self._engine,
            versions=self._versions,
            seconds=None if facts is None else round(facts.seconds, 3),
            **values,
        )

    def _recipe_digest(self) -> dict[str, str]:
        return {} if self._recipe_file is None else {"recipe_file": digest(self._recipe_file)}


def planned(jobs: Sequence[Job], runner: Runner, settings: Settings) -> list[str]:
    """Return what a run would do with every photo: a `State`, or why it would fail. Nothing is written."""
    results, states = Results(runner, settings), []
    for job in jobs:
        try:
            states.append(f"failed: {job.problem}" if job.problem else results.state(job))
        except RestorekitError as error:
            states.append(f"failed: {error}")
    return states


def differences(found: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """Return the names of what differs between two requests, such as "source" or "--sigma"."""
    keys = [key for key in expected if key != "options" and found.get(key) != expected[key]]
    before, after = found.get("options"), expected["options"]
    before = before if isinstance(before, dict) else {}
    return keys + [f"--{name.replace('_', '-')}" for name in after if before.get(name) != after[name]]


def check_writable(target: Path) -> None:
    """Raise ImageError if the nearest existing folder of a target does not allow new files."""
    folder = next((parent for parent in target.parents if parent.exists()), Path())
    if not folder.is_dir():
        raise ImageError(f"{target}: {folder} is not a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ImageError(f"{target}: cannot be written; {folder} is read-only")


def _source_file(recipe: Recipe) -> Path | None:
    """Return the file of a recipe that no plugin registers."""
    file = inspect.getsourcefile(recipe.function)
    return None if file is None or not Path(file).is_file() else Path(file)


def _name(model: object) -> str:
    return str(model) if isinstance(model, str | Path) else type(model).__name__


def _relative(path: Path, folder: Path) -> str:
    """Return the path relative to a folder; absolute on another drive."""
    try:
        return os.path.relpath(path.absolute(), folder.absolute())
    except ValueError:
        return str(path.absolute())
