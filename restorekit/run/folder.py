"""Folders of photos: what is to be done, pairing with side images, batching, and an account of what failed."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from restorekit.core.denoiser import Denoiser
from restorekit.core.noise import image_seed
from restorekit.core.recipe import Recipe, SideImage
from restorekit.errors import ImageError, OptionError, RestorekitError, RestorekitWarning
from restorekit.run.engine import Engine
from restorekit.run.images import PARTIAL, SUFFIXES, Photo, read_photo, read_side_image, write_photo


@dataclass(frozen=True)
class Job:
    """One photo: where it is, where its answers go, its side images, and why these could not be told, if so."""

    source: Path
    targets: tuple[Path, ...]
    sides: Mapping[str, Path]
    problem: str = ""

    @property
    def done(self) -> bool:
        """True when all answers are there; writing is atomic, so what is there is whole."""
        return all(target.exists() for target in self.targets)


@dataclass(frozen=True)
class Settings:
    """What holds for a whole run.

    Attributes:
        seed: of the run; every photo and answer gets its own from it.
        batch: photos of one shape evaluated together.
        overwrite: redo photos whose answers are already there.
        inverted: names of side images whose white and black change places.
    """

    seed: int = 0
    batch: int = 1
    overwrite: bool = False
    inverted: frozenset[str] = frozenset()


@dataclass
class Account:
    """What a run did."""

    restored: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    failed: list[tuple[Path, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def plan_jobs(
    inputs: Sequence[Path],
    output: Path | None,
    recipe: Recipe,
    sides: Mapping[str, Path],
    *,
    samples: int = 1,
    suffix: str | None = None,
) -> list[Job]:
    """Jobs for files and folders (recursive; the tree is mirrored).

    output: by default `photo-RECIPE.png` beside photo.png and `folder-RECIPE/` beside folder/. For one file a path
    with an image suffix is the target itself, anything else a folder.
    suffix: replaces the photos' own (".png"), and with it the format.
    """
    jobs: list[Job] = []
    for name, path in sides.items():
        if not path.exists():
            raise ImageError(f"--{name}: {path}: there is no such file or folder")
    for given in inputs:
        if not given.exists():
            raise ImageError(f"{given}: there is no such file or folder (in {Path.cwd()})")
        folder = given if given.is_dir() else given.parent
        others = [*sides.values(), *([] if output is None else [output])]
        files = _photos_in(given, others) if given.is_dir() else [given]
        for source in files:
            target = _target(source, given, output, recipe.name, alone=len(inputs) == 1)
            target = target.with_suffix(suffix) if suffix else target
            names = [target] if samples == 1 else [_numbered(target, k) for k in range(1, samples + 1)]
            try:
                paired = {name: _paired(path, source, folder, name) for name, path in sides.items()}
                jobs.append(Job(source, tuple(names), paired))
            except ImageError as error:
                jobs.append(Job(source, tuple(names), {}, str(error)))
    _check_targets(jobs)
    return jobs


def _photos_in(folder: Path, others: Sequence[Path]) -> list[Path]:
    """Image files below a folder, sorted, without those of other folders (output, side images) that lie in it."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix.lower() in SUFFIXES)
    for other in (path.resolve() for path in others):
        if folder.resolve() in other.parents:
            files = [p for p in files if other != p.resolve() and other not in p.resolve().parents]
    if not files:
        raise ImageError(f"{folder}: no image in this folder; allowed: {', '.join(sorted(SUFFIXES))}")
    return files


def _target(source: Path, given: Path, output: Path | None, name: str, *, alone: bool) -> Path:
    if given.is_dir():
        resolved = given.resolve()
        root = output or resolved.with_name(f"{resolved.name}-{name}")
        return root / source.relative_to(given)
    if output is None:
        return source.with_name(f"{source.stem}-{name}{source.suffix}")
    return output if alone and output.suffix.lower() in SUFFIXES else output / source.name


def _numbered(target: Path, number: int) -> Path:
    return target.with_name(f"{target.stem}-{number}{target.suffix}")


def _paired(side: Path, source: Path, folder: Path, name: str) -> Path:
    """The side image of a photo: the one file given, or the file of the same place and stem in a folder.

    A missing one is found out when the photo is read, so that the other photos go on.
    """
    if not side.is_dir():
        return side
    place = side / source.relative_to(folder)
    found = sorted(p for p in place.parent.glob("*") if p.stem == source.stem and p.suffix.lower() in SUFFIXES)
    if len(found) > 1:
        raise ImageError(f"--{name}: {source} pairs with {len(found)} files: {', '.join(p.name for p in found)}")
    return found[0] if found else place.with_suffix(".png")


def _check_targets(jobs: Iterable[Job]) -> None:
    seen: dict[Path, Path] = {}
    sources = {path.resolve() for job in jobs for path in (job.source, *job.sides.values())}
    for job in jobs:
        for target in (path.resolve() for path in job.targets):
            if target in sources:
                raise OptionError(f"--output: {target} is an input; nothing is written over the originals")
            if target in seen:
                raise OptionError(f"--output: {job.source} and {seen[target]} would both be written to {target}")
            seen[target] = job.source


def run_jobs(
    jobs: Sequence[Job],
    recipe: Recipe,
    prior: Denoiser,
    engine: Engine,
    options: Mapping[str, Any],
    settings: Settings = Settings(),
    on_done: Callable[[Job], None] = lambda job: None,
) -> Account:
    """Restore every photo; one that fails is named in the account and the others go on.

    Photos of one shape that follow each other are evaluated together, up to `settings.batch`. Every photo has its own
    seed, so the result depends neither on the batch nor on the other photos.
    """
    account = Account()
    prior, options = engine.place(prior), engine.resolved(recipe, prior, options)
    _remove_leftovers({target.parent for job in jobs for target in job.targets})
    pending: list[tuple[Job, Photo, dict[str, torch.Tensor]]] = []

    def flush() -> None:
        if pending:
            _restore_batch(pending, recipe, prior, engine, options, settings.seed, account)
            for job, _, _ in pending:
                on_done(job)
            pending.clear()

    for job in jobs:
        if job.done and not settings.overwrite:
            account.skipped.append(job.source)
            on_done(job)
            continue
        try:
            photo = read_photo(job.source)
            sides = _read_sides(job, recipe, photo, settings.inverted)
        except RestorekitError as error:
            account.failed.append((job.source, str(error)))
            on_done(job)
            continue
        account.notes += [f"{job.source}: {note}" for note in photo.notes]
        if pending and _shapes(*pending[0][1:]) != _shapes(photo, sides):
            flush()
        pending.append((job, photo, sides))
        if len(pending) >= settings.batch:
            flush()
    flush()
    return account


def _read_sides(job: Job, recipe: Recipe, photo: Photo, inverted: frozenset[str]) -> dict[str, torch.Tensor]:
    if job.problem:
        raise ImageError(job.problem)
    sides = {}
    for parameter in recipe.side_images:
        if parameter.name in job.sides and isinstance(parameter.spec, SideImage):
            path = job.sides[parameter.name]
            fitted = photo if parameter.spec.same_size else None
            side = read_side_image(path, parameter.spec.channels, fitted, f"--{parameter.name}")
            sides[parameter.name] = 1 - side if parameter.name in inverted else side
    return sides


def _shapes(photo: Photo, sides: Mapping[str, torch.Tensor]) -> tuple[object, ...]:
    """What photos of one batch have in common."""
    return photo.pixels.shape, {name: side.shape for name, side in sides.items()}


def _restore_batch(
    group: Sequence[tuple[Job, Photo, dict[str, torch.Tensor]]],
    recipe: Recipe,
    prior: Denoiser,
    engine: Engine,
    options: Mapping[str, Any],
    seed: int,
    account: Account,
) -> None:
    """One batch of photos of one shape, every answer of them."""
    names = ", ".join(str(job.source) for job, _, _ in group)
    y = torch.cat([photo.tensor() for _, photo, _ in group])
    sides = {name: torch.cat([side[name] for _, _, side in group]) for name in group[0][2]}
    failed: dict[Path, str] = {}
    first: torch.Tensor | None = None
    for number in range(len(group[0][0].targets)):
        seeds = [answer_seed(seed, job.source.name, number) for job, _, _ in group]
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", RestorekitWarning)
                results = engine.restore(recipe, prior, y, seeds, {**options, **sides})
            _pass_on(caught, [job.source for job, _, _ in group], account)
        except (RestorekitError, torch.OutOfMemoryError) as error:
            memory = isinstance(error, torch.OutOfMemoryError)
            why = f"out of memory on {engine.device}; a smaller --tile or --batch needs less" if memory else str(error)
            account.failed += [(job.source, why) for job, _, _ in group]
            return
        if first is not None and torch.equal(results, first):
            account.notes.append(f"{names}: the answers are all the same")
        first = results if number == 0 else None
        for (job, photo, _), result in zip(group, results, strict=True):
            try:
                written = photo.with_tensor(result)
                write_photo(written, job.targets[number])
            except RestorekitError as error:
                failed[job.source] = str(error)
                continue
            notes = [f"{job.source}: {note}" for note in written.notes[len(photo.notes) :]]
            account.notes += [note for note in notes if note not in account.notes]
    account.failed += failed.items()
    account.restored += [job.source for job, _, _ in group if job.source not in failed]


def _pass_on(caught: Sequence[warnings.WarningMessage], photos: Sequence[Path], account: Account) -> None:
    """Our own warnings become notes of the photos that they are about, each said once; others stay warnings."""
    for warning in caught:
        if not isinstance(warning.message, RestorekitWarning):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
            continue
        about = photos if warning.message.image is None else [photos[warning.message.image]]
        notes = [f"{photo}: {warning.message}" for photo in about]
        account.notes += [note for note in notes if note not in account.notes]


def answer_seed(seed: int, name: str, number: int) -> int:
    """Seed of answer `number`, counted from 0, of the photo `name`."""
    return image_seed(seed, name if number == 0 else f"{name}#{number}")


def _remove_leftovers(folders: Iterable[Path]) -> None:
    """Part files of runs that were killed while they wrote."""
    for folder in folders:
        for part in folder.glob(f".*{PARTIAL}"):
            process = part.name.removesuffix(PARTIAL).rpartition(".")[2]
            if not (process.isdigit() and _is_alive(int(process))):
                part.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    if os.name == "nt":
        return True  # there, signal 0 would end the process
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
