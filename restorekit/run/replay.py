"""Reproducing and verifying results from their manifests."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from restorekit.core.files import atomic_path
from restorekit.core.recipe import Recipe
from restorekit.errors import ImageError, OptionError, unknown
from restorekit.plugins.discovery import recipes
from restorekit.plugins.recipe_file import load_recipe
from restorekit.run.engine import make_engine
from restorekit.run.folder import encoded, load, restore, sample_seed
from restorekit.run.formats import Encoding
from restorekit.run.manifest import MANIFEST, Manifest, Record, digest, find_manifests
from restorekit.run.plan import Job
from restorekit.run.results import Results, differences
from restorekit.run.runner import Runner
from restorekit.run.settings import Settings

Condition = Literal["ok", "changed", "missing"]


@dataclass(frozen=True)
class Replay:
    """A reproduced result.

    Attributes:
        record: the record from which it was reproduced.
        target: the file that was written.
        identical: whether it has the digest of the record.
    """

    record: Record
    target: Path
    identical: bool


def replay(path: Path, target: Path | None = None, *, device: str = "auto", overwrite: bool = False) -> Replay:
    """Reproduce a result from its record and write it.

    The photo, the side images and the models must be those of the record. The result can differ in the last bit if
    the device or the versions of the libraries differ.

    path: a result, which need not exist any more. target: file to write; default: `NAME-replay.SUFFIX` next to `path`.
    """
    target = path.with_name(f"{path.stem}-replay{path.suffix}") if target is None else target
    if target.exists() and not overwrite:
        raise ImageError(f"{target}: exists; --overwrite replaces it")
    record = find_record(path)
    runner, settings = _runner(path, record, device), _settings(record)
    number = int(record.request["sample"])
    files = {name: path.parent / file for name, file in record.files.items() if name != "recipe"}
    # The record refers to sample `number`; the other targets are not written.
    job = Job(files.pop("source"), (target,) * (number + 1), files)
    changed = differences(record.request, Results(runner, settings).request(job, number))
    if changed:
        raise ImageError(f"{path}: cannot be reproduced; changed since: {', '.join(changed)}")
    loaded = load(job, runner, settings)
    seeds = [sample_seed(settings.seed, job.source.name, number)]
    results, _ = restore(runner, loaded.photo.tensor(), seeds, loaded.side_images)
    data, _ = encoded(loaded, results[0], target, settings)
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(target) as part:
        part.write_bytes(data)
    return Replay(record, target, hashlib.sha256(data).hexdigest() == record.sha256)


def find_record(path: Path) -> Record:
    """Return the record of a result: the one with its digest, or the last one if the file is missing or changed."""
    records = [record for record in Manifest(path.parent).records(path.name) if record.error is None]
    if not records:
        raise ImageError(f"{path}: no record in {path.parent / MANIFEST}; allowed: a result of restorekit")
    found = digest(path) if path.is_file() else None
    return next((record for record in reversed(records) if record.sha256 == found), records[-1])


def verify(
    paths: Sequence[Path], on_file: Callable[[Path, Condition], None] = lambda path, condition: None
) -> list[tuple[Path, Condition]]:
    """Compare results with the digests in their manifests.

    paths: results, or folders, which are searched recursively. on_file: called for every result.
    Returns the results, each with its condition: "ok", "changed" or "missing".
    """
    checked = []
    for path in paths:
        for file, record in _recorded(path):
            found = digest(file) if file.is_file() else None
            condition: Condition = "missing" if found is None else "ok" if found == record.sha256 else "changed"
            on_file(file, condition)
            checked.append((file, condition))
    return checked


def _recorded(path: Path) -> list[tuple[Path, Record]]:
    if not path.is_dir():
        return [(path, find_record(path))]
    found = [
        (manifest.path.parent / output, record)
        for manifest in find_manifests(path)
        for output, record in sorted(manifest.latest_results().items())
    ]
    if not found:
        raise ImageError(f"{path}: no record of a result; allowed: a folder with {MANIFEST}")
    return found


def _recipe(path: Path, record: Record) -> Recipe:
    name = str(record.request.get("recipe"))
    if "recipe" in record.files:
        return load_recipe(path.parent / record.files["recipe"], name)
    found = recipes()
    if name not in found:
        raise OptionError(unknown("recipe", name, found, f"{path}: the record"))
    return found[name]


def _runner(path: Path, record: Record, device: str) -> Runner:
    options: dict[str, Any] = dict(record.request["options"])
    models = dict(record.models)
    model = models.pop("model", None)
    side_images = {name: path.parent / file for name, file in record.files.items() if name not in ("source", "recipe")}
    engine = make_engine(device, record.engine["precision"], record.engine.get("tile"))
    return Runner(_recipe(path, record), model, options | models | side_images, engine)


def _settings(record: Record) -> Settings:
    side_images = record.request["side_images"]
    inverted = frozenset(name for name, side in side_images.items() if side["inverted"])
    return Settings(record.request["seed"], inverted=inverted, encoding=Encoding(**record.request["encoding"]))
