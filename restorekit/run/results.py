"""The results of a run: which of them exist already, and how they are written."""

from __future__ import annotations

import hashlib
import inspect
import os
import stat
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch

from restorekit.core.files import atomic_path
from restorekit.core.recipe import Recipe
from restorekit.errors import ImageError, RestorekitError
from restorekit.models.registry import bundled_models, model_digest, pinned
from restorekit.plugins.discovery import plugins
from restorekit.run.manifest import MANIFEST, Manifest, Record, digest
from restorekit.run.mirror import recorded_file, recorded_name
from restorekit.run.plan import Job
from restorekit.run.runner import Runner
from restorekit.run.settings import Settings
from restorekit.run.transfer import LocalFiles, Transfer

State = Literal["new", "done", "kept", "redo"]


@dataclass(frozen=True)
class Facts:
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
        # A revision of the Hub may change; its commit does not.
        self._models = {name: pinned(model) for name, model in runner.models.items() if model is not None}
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
        self._bundled = {bundled.name for bundled in bundled_models()}
        self._manifests: dict[Path, Manifest] = {}
        self._inputs: dict[tuple[Path, tuple[Path, ...]], dict[str, Any]] = {}

    def manifest(self, target: Path) -> Manifest:
        """Return the manifest of the folder of a target."""
        return self._manifests.setdefault(target.parent, Manifest(target.parent))

    def request(self, job: Job, number: int) -> dict[str, Any]:
        """Return what determines sample `number` of a photo; see `Record`.

        The digests are those of the first call, before the files are read.
        """
        key = job.source, job.targets
        if key not in self._inputs:
            side_images = {
                name: {"sha256": digest(path)} | self.settings.reading(name).record()
                for name, path in job.side_images.items()
            }
            inputs = {"name": job.source.name, "source": digest(job.source), "side_images": side_images}
            self._inputs[key] = inputs | self._recipe_digest()
        return self._request | self._inputs[key] | {"sample": number}

    def states(self, job: Job) -> list[State]:
        """Return for every sample of a photo whether it is to be restored ("new", "redo") or not ("done", "kept").

        Raises ImageError if a target exists that must not be replaced, or cannot be written.
        """
        self.request(job, 0)
        return [self._state(job, number) for number in range(len(job.targets))]

    def _state(self, job: Job, number: int) -> State:
        target, settings = job.targets[number], self.settings
        try:
            found = target.stat()
        except (FileNotFoundError, NotADirectoryError):
            found = None
        except OSError as error:
            raise ImageError(f"{target}: cannot be written ({error.strerror or error})") from error
        if found is not None and not stat.S_ISREG(found.st_mode):
            raise ImageError(f"{target}: found a folder or a special file, allowed: a file or nothing")
        check_writable(target)
        if found is None or found.st_size == 0 or settings.overwrite:
            return "new"
        records = [record for record in self.manifest(target).records(target.name) if record.error is None]
        sha256 = digest(target)
        changes = differences(records[-1].request, self.request(job, number)) if records else []
        if records and records[-1].sha256 == sha256 and not changes:
            return "done"
        if settings.on_change == "keep":
            return "kept"
        record = next((record for record in reversed(records) if record.sha256 == sha256), None)
        if record is None:
            raise ImageError(f"{target}: exists, but is not a result of restorekit; --overwrite replaces it")
        if settings.on_change == "fail":
            changed = ", ".join(changes) or "contents"
            raise ImageError(f"{target}: exists with other settings ({changed}); --on-change redo or keep allows it")
        _check_same_photo(job.source, target, record)
        return "redo"

    def write(self, job: Job, number: int, data: bytes, facts: Facts) -> None:
        """Write a result and its record.

        The record comes first, so that every result has one; without the result, it has no effect.
        """
        target = job.targets[number]
        record = self._record(
            job, number, facts, sha256=hashlib.sha256(data).hexdigest(), size=len(data), notes=facts.notes
        )
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(target) as part:
                part.write_bytes(data)
                self.manifest(target).append(record)
        except OSError as error:
            raise ImageError(f"{target}: cannot be written ({error.strerror or error})") from error

    def is_last(self, job: Job) -> bool:
        """Return whether the last records of all targets are those of this run."""
        return all(
            bool(records := self.manifest(target).records(target.name))
            and not differences(records[-1].request, self.request(job, number))
            for number, target in enumerate(job.targets)
        )

    def fail(self, job: Job, message: str) -> None:
        """Record that a photo failed, if the folder of its results exists and can be written."""
        for number, target in enumerate(job.targets):
            if not target.parent.is_dir():
                continue
            try:
                self.manifest(target).append(self._record(job, number, None, error=message))
            except (OSError, ImageError):
                return

    def _record(self, job: Job, number: int, facts: Facts | None, **values: Any) -> Record:
        target = job.targets[number]
        files = {"source": job.source, **job.side_images}
        if self._recipe_file is not None:
            files["recipe"] = self._recipe_file
        return Record(
            output=target.name,
            request=self.request(job, number),
            files={name: _relative(path, target.parent) for name, path in files.items()},
            models={name: _name(model, target.parent, self._bundled) for name, model in self._models.items()},
            engine=self._engine,
            versions=self._versions,
            seconds=None if facts is None else round(facts.seconds, 3),
            **values,
        )

    def _recipe_digest(self) -> dict[str, str]:
        return {} if self._recipe_file is None else {"recipe_file": digest(self._recipe_file)}


def planned(jobs: Sequence[Job], runner: Runner, settings: Settings, transfer: Transfer | None = None) -> list[str]:
    """Return what a run would do with every photo: a `State`, or why it would fail. Nothing is written."""
    transfer = transfer or LocalFiles()
    results, states = Results(runner, settings), []
    for job in jobs:
        try:
            try:
                transfer.fetch(job)
                states.append(f"failed: {job.problem}" if job.problem else summary(results.states(job)))
            finally:
                transfer.publish(job)
        except RestorekitError as error:
            states.append(f"failed: {error}")
    return states


def summary(states: Sequence[State]) -> State:
    """Return the state of a photo: "new" or "redo" if a sample is to be restored, "kept" if one is kept, or "done"."""
    order: tuple[State, ...] = ("new", "redo", "kept", "done")
    return next(state for state in order if state in states)


def _check_same_photo(source: Path, target: Path, record: Record) -> None:
    """Raise ImageError if a target is the result of another photo, which still exists."""
    other = recorded_file(record.files.get("source", ""), target.parent, source)
    if not other.is_file() or os.path.realpath(other) == os.path.realpath(source):
        return
    if digest(other) == record.request.get("source"):
        found = f"the result of {os.path.normpath(other)}"
        raise ImageError(f"{target}: exists and is {found}; allowed: another --output, or --overwrite")


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
    manifest = target.parent / MANIFEST
    if manifest.exists() and not (manifest.is_file() and os.access(manifest, os.W_OK)):
        raise ImageError(f"{manifest}: found a folder, a special file or a read-only file, allowed: a manifest")


def _source_file(recipe: Recipe) -> Path | None:
    """Return the file of a recipe that no plugin registers."""
    file = inspect.getsourcefile(recipe.function)
    return None if file is None or not Path(file).is_file() else Path(file)


def _name(model: object, folder: Path, bundled: Set[str]) -> str:
    """Return the text that selects a model; a path is relative to a folder."""
    if not isinstance(model, str | Path):
        return type(model).__name__
    return _relative(Path(model), folder) if Path(model).exists() and str(model) not in bundled else str(model)


def _relative(path: Path, folder: Path) -> str:
    """Return the path relative to a folder; absolute on another drive, a URL in another store."""
    name = recorded_name(path, folder)
    if name is not None:
        return name
    try:
        return os.path.relpath(os.path.realpath(path), os.path.realpath(folder))
    except ValueError:
        return str(path.absolute())
