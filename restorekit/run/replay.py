"""Reproducing results from their manifests."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from restorekit.core.files import atomic_path
from restorekit.core.options import MaskChannel
from restorekit.core.recipe import Recipe
from restorekit.errors import ImageError, OptionError, RestorekitError, unknown
from restorekit.models.registry import bundled_models, family_of, find_weights
from restorekit.plugins.discovery import recipes
from restorekit.plugins.plugin_errors import PluginError
from restorekit.plugins.recipe_file import load_recipe
from restorekit.run.engine import make_engine
from restorekit.run.failures import failure_message
from restorekit.run.formats import Encoding, format_of
from restorekit.run.job_files import encoded, load, sample_seed
from restorekit.run.manifest import Record, digest
from restorekit.run.plan import Job
from restorekit.run.restoration import restore_photo
from restorekit.run.results import Results, check_writable, differences
from restorekit.run.runner import Runner
from restorekit.run.settings import Settings
from restorekit.run.side_images import Reading
from restorekit.run.streams import INPUT_STEM
from restorekit.run.verify import recorded_results


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


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True)


class _SideImage(_Strict):
    sha256: str
    inverted: bool
    channel: MaskChannel = "auto"
    resized: bool = False


class _Encoding(_Strict):
    quality: int | None = Field(None, ge=1, le=100)
    lossless: bool | None = None


class _Engine(_Strict):
    precision: Literal["float32", "bfloat16"]
    tile: int | None = None


class _Request(_Strict):
    """What a replay takes from the request of a record; the manifest may have been changed by hand."""

    name: str
    source: str
    recipe: str
    options: dict[str, Any]
    models: dict[str, str]
    side_images: dict[str, _SideImage]
    seed: int
    sample: int = Field(ge=0)
    encoding: _Encoding
    recipe_file: str | None = None


class _Replayed:
    """The record of a result with its files; ImageError if it is damaged.

    Attributes:
        path: the result.
        request: what determines the result.
        engine: precision and tile size.
        source: the photo.
        side_images: the side images by name.
        recipe_file: the file of a recipe that is not installed; None for the others.
        models: the models by name of their option: paths, names or texts.
    """

    def __init__(self, path: Path, record: Record) -> None:
        self.path = path
        files = {name: path.parent / file for name, file in record.files.items()}
        try:
            self.request, self.engine = _Request(**record.request), _Engine(**record.engine)
            self.source, self.recipe_file = files.pop("source"), files.pop("recipe", None)
        except (ValidationError, KeyError, TypeError) as error:
            raise ImageError(f"{path}: cannot be reproduced; the record is damaged") from error
        request = self.request
        same_names = files.keys() == request.side_images.keys() and record.models.keys() == request.models.keys()
        if not same_names or (self.recipe_file is None) != (request.recipe_file is None):
            raise ImageError(f"{path}: cannot be reproduced; the record is damaged")
        self.side_images = files
        self.models = {name: _model(text, path.parent) for name, text in record.models.items()}

    def inputs(self) -> Iterator[Path]:
        """Yield the files from which the result is made; ModelError for a missing model."""
        yield from (self.source, *self.side_images.values())
        if self.recipe_file is not None:
            yield self.recipe_file
        for model in self.models.values():
            family = family_of(model)
            yield find_weights(model) if family is None else Path(family[1])

    def check_inputs(self) -> None:
        """Raise ImageError if the photo was standard input, or the recipe file, which is not run then, has changed."""
        if Path(self.request.name).stem == INPUT_STEM and not self.source.exists():
            raise ImageError(f"{self.path}: cannot be reproduced; the photo was standard input, which is not kept")
        if self.recipe_file is not None and digest(self.recipe_file) != self.request.recipe_file:
            raise ImageError(f"{self.path}: cannot be reproduced; changed since: recipe_file")

    def recipe(self) -> Recipe:
        """Return the recipe; a recipe file is run."""
        name = self.request.recipe
        if self.recipe_file is not None:
            return load_recipe(self.recipe_file, name)
        found = recipes()
        if name not in found:
            raise OptionError(unknown("recipe", name, found, f"{self.path}: the record"))
        return found[name]

    def runner(self, device: str) -> Runner:
        """Return the runner of the result on a device."""
        models = dict(self.models)
        model = models.pop("model", None)
        engine = make_engine(device, self.engine.precision, self.engine.tile)
        return Runner(self.recipe(), model, self.request.options | models | self.side_images, engine)

    def settings(self) -> Settings:
        """Return the settings of the result."""
        sides = self.request.side_images.items()
        readings = {name: Reading(side.inverted, side.channel, side.resized) for name, side in sides}
        return Settings(self.request.seed, readings=readings, encoding=Encoding(**dict(self.request.encoding)))


def replay(path: Path, target: Path | None = None, *, device: str = "auto", overwrite: bool = False) -> Replay:
    """Reproduce a result from its record and write it.

    The photo, the side images and the models must be those of the record. The result can differ in the last bit if
    the device or the versions of the libraries differ.

    path: a result, which need not exist any more. target: file to write, in the format of the result; default:
    `NAME-replay.SUFFIX` next to `path`. It is never one of the files from which the result is made.
    """
    with _failures(path):
        record = find_record(path)
        target = path.with_name(f"{path.stem}-replay{path.suffix}") if target is None else target
        replayed = _Replayed(path, record)
        replayed.check_inputs()
    with _failures(target):
        _check_target(target, replayed, overwrite)
    with _failures(path):
        data = _reproduced(replayed, target, record, device)
    with _failures(target, "cannot be written"):
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(target) as part:
            part.write_bytes(data)
    return Replay(record, target, hashlib.sha256(data).hexdigest() == record.sha256)


def _check_target(target: Path, replayed: _Replayed, overwrite: bool) -> None:
    if format_of(target) != format_of(replayed.path):
        raise ImageError(f"{target}: found another format than that of the result, allowed: {replayed.path.suffix}")
    if any(_is_same(target, file) for file in replayed.inputs()):
        raise ImageError(f"{target}: the result is made from this file; allowed: another file")
    if os.path.lexists(target) and not overwrite:
        raise ImageError(f"{target}: exists; --overwrite replaces it")
    check_writable(target)


def _is_same(path: Path, other: Path) -> bool:
    if path.exists() and other.exists():
        return path.samefile(other)
    return os.path.realpath(path) == os.path.realpath(other)


def _reproduced(replayed: _Replayed, target: Path, record: Record, device: str) -> bytes:
    """Return the reproduced file."""
    runner, settings, number = replayed.runner(device), replayed.settings(), replayed.request.sample
    job = Job(replayed.source, (target,), replayed.side_images)
    changed = differences(record.request, Results(runner, settings).request(job, number))
    if changed:
        raise ImageError(f"{replayed.path}: cannot be reproduced; changed since: {', '.join(changed)}")
    try:
        loaded = load(job, runner, settings)
        seed = sample_seed(settings.seed, job.source.name, number)
        photo, _ = restore_photo(runner, loaded.photo, seed, loaded.side_images)
        return encoded(loaded.photo, photo, target, settings)[0]
    except Exception as error:  # whatever a decoder or a recipe raises
        message = failure_message(error, runner).removesuffix("; --debug shows the traceback")
        raise ImageError(f"{replayed.path}: cannot be reproduced; {message}") from error


@contextmanager
def _failures(path: Path, problem: str = "cannot be reproduced") -> Iterator[None]:
    """Turn any exception into an error of one line."""
    try:
        yield
    except RestorekitError:
        raise
    except OSError as error:
        raise ImageError(f"{path}: {problem} ({error.strerror or error})") from error
    except Exception as error:  # a damaged record or a plugin may raise anything
        raise ImageError(f"{path}: {problem}; {PluginError(error)}") from error


def _model(text: str, folder: Path) -> str:
    """Return a recorded model: a bundled name, the path if it exists relative to the folder, or else the text."""
    if text in {model.name for model in bundled_models()} or not (folder / text).exists():
        return text
    return str(folder / text)


def find_record(path: Path) -> Record:
    """Return the record of a result: the one with its digest, or the last one if the file is missing or changed."""
    records = recorded_results(path)
    found = digest(path) if path.is_file() else None
    return next((record for record in reversed(records) if record.sha256 == found), records[-1])
