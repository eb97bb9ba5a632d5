"""Planning of a run: which photos are restored, their targets and their side images."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from restorekit.core.files import IMAGE_SUFFIXES, KNOWN_SUFFIXES, Entries
from restorekit.core.recipe import Recipe
from restorekit.errors import ImageError, OptionError
from restorekit.run.discovery import RESULT, Found, Inputs, describe_skipped, find_photos
from restorekit.run.earlier_results import find_earlier_results
from restorekit.run.pairing import SideFolder, check_side_image, is_side_stem

# Largest length of a file name: bytes, or characters on Windows.
MAX_NAME = 255


@dataclass(frozen=True)
class Job:
    """One photo of a run.

    Attributes:
        source: the photo.
        targets: files to write, one per sample.
        side_images: files of its side images, by name.
        problem: why it cannot be restored, such as a missing side image; empty if it can.
    """

    source: Path
    targets: tuple[Path, ...]
    side_images: Mapping[str, Path]
    problem: str = ""

    def __hash__(self) -> int:
        return hash((self.source, self.targets))


@dataclass(frozen=True)
class Plan:
    """The photos of a run, and what is left out.

    Attributes:
        jobs: the photos, at least one, in the order of the inputs and sorted by path in each of them.
        skipped: files and folders in the inputs that are left out, each with its kind: those of
            `restorekit.core.files.path_kind`, "excluded" and "result of restorekit".
        failed: inputs and sub-folders that cannot be used, each with the reason; they are failures of the run.
    """

    jobs: tuple[Job, ...]
    skipped: tuple[tuple[Path, str], ...] = ()
    failed: tuple[tuple[Path, str], ...] = ()

    @property
    def skipped_counts(self) -> dict[str, int]:
        """Number of the skipped files and folders by kind."""
        return dict(sorted(Counter(kind for _, kind in self.skipped).items()))

    @property
    def skipped_text(self) -> str:
        """The skipped files and folders in words, such as "3 .cr2 (not readable by restorekit), 1 broken link"."""
        return describe_skipped(self.skipped)


def plan_jobs(
    inputs: Sequence[Path],
    output: Path | None,
    recipe: Recipe,
    side_images: Mapping[str, Path],
    *,
    samples: int = 1,
    suffix: str | None = None,
    exclude: Sequence[str] = (),
) -> Plan:
    """Return the plan for files, folders and patterns.

    Folders are searched recursively and their tree is mirrored. A photo that is the result of another photo of the run
    is skipped. A photo whose side images or target cannot be determined has a problem; the others are still restored.

    inputs: photos, folders and patterns such as `photos/*.jpg`; see `find_photos`.
    output: file or folder to write. Default: `photo-RECIPE.png` next to photo.png and `folder-RECIPE/` next to folder/.
        For a single photo, a path with an image suffix is the file to write; any other path is a folder.
    side_images: a file for all photos, or a folder of files that are paired by name, by option name; see `SideFolder`.
    samples: number of results per photo; if greater than 1, the files are numbered from 1.
    suffix: replaces the suffix of the photos (".png"), and with it the format.
    exclude: patterns of files and folders in the inputs to leave out; see `matches`.

    Raises ImageError if there is no photo or a side image does not exist, and OptionError if the output is not allowed.
    """
    for name, path in side_images.items():
        check_side_image(name, path)
    found = find_photos(inputs, [*side_images.values(), *([] if output is None else [output])], exclude)
    to_file = output is not None and _is_file_name(output, inputs, found.photos)
    folders = {name: SideFolder(name, path) for name, path in side_images.items() if path.is_dir()}
    photos = _without_results(_without_side_images(found.photos, folders), recipe.name, found)
    if not photos:
        raise ImageError(_nothing_found(found))
    jobs = []
    for photo in photos:
        target = output if output is not None and to_file else _target(photo, output, recipe.name)
        targets = _numbered(target.with_suffix(suffix) if suffix else target, samples)
        jobs.append(_job(photo, targets, side_images, folders))
    return Plan(_checked(jobs), tuple(dict.fromkeys(found.skipped)), tuple(dict.fromkeys(found.failed)))


def _is_file_name(output: Path, inputs: Sequence[Path], photos: Sequence[Found]) -> bool:
    """Return whether the output is a file; OptionError if it is one that cannot be written, or for several photos."""
    suffix = output.suffix.lower()
    if suffix not in KNOWN_SUFFIXES | IMAGE_SUFFIXES.keys() or _is_folder(output):
        return False
    if suffix not in IMAGE_SUFFIXES:
        allowed = ", ".join(sorted(IMAGE_SUFFIXES))
        raise OptionError(f"--output: {output}: {suffix} cannot be written, allowed: {allowed}, or a folder")
    if len(inputs) > 1 or len(photos) > 1 or any(photo.in_folder for photo in photos):
        kind = "a folder" if any(photo.in_folder for photo in photos) else "several photos"
        raise OptionError(f"--output: {output} is the name of a file, but the input is {kind}; allowed: a folder")
    return True


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # writing reports it
        return False


def _without_side_images(photos: Sequence[Found], folders: Mapping[str, SideFolder]) -> list[Found]:
    """Return the photos without the side images that are next to them, such as photo_mask.png next to photo.png."""
    if not any(side.is_root(root) for side in folders.values() for root in {photo.root for photo in photos}):
        return list(photos)
    stems: defaultdict[Path, set[str]] = defaultdict(set)
    for photo in photos:
        stems[photo.path.parent].add(photo.path.stem)

    def is_side_image(photo: Found) -> bool:
        names = stems[photo.path.parent]
        return any(
            side.is_root(photo.root) and is_side_stem(photo.path.stem, names, name) for name, side in folders.items()
        )

    return [photo for photo in photos if not is_side_image(photo)]


def _without_results(photos: Sequence[Found], recipe: str, found: Inputs) -> list[Found]:
    """Return the photos that are not results of other ones, and list the others as skipped."""
    results = find_earlier_results([photo.path for photo in photos], recipe)
    found.skipped += [(path, RESULT) for path in sorted(results)]
    return [photo for photo in photos if photo.path not in results]


def _nothing_found(found: Inputs) -> str:
    if found.failed:
        return "; ".join(f"{path}: {reason}" for path, reason in found.failed)
    return f"no photo to restore; found {describe_skipped(found.skipped) or 'no input'}"


def _target(photo: Found, output: Path | None, recipe: str) -> Path:
    if output is not None:
        return output / photo.relative
    if photo.in_folder:
        folder = photo.root.resolve()
        return folder.with_name(f"{folder.name}-{recipe}") / photo.relative
    return photo.path.with_name(f"{photo.path.stem}-{recipe}{photo.path.suffix}")


def _numbered(target: Path, samples: int) -> tuple[Path, ...]:
    if samples == 1:
        return (target,)
    return tuple(target.with_name(f"{target.stem}-{number}{target.suffix}") for number in range(1, samples + 1))


def _job(
    photo: Found, targets: tuple[Path, ...], side_images: Mapping[str, Path], folders: Mapping[str, SideFolder]
) -> Job:
    """Return the job of a photo, whose problem is set if a side image is missing or a target name is too long."""
    try:
        pairs = {
            name: folders[name].find(photo.path, photo.root) if name in folders else path
            for name, path in side_images.items()
        }
    except ImageError as error:
        return Job(photo.path, targets, {}, str(error))
    for target in targets:
        length = len(target.name if os.name == "nt" else os.fsencode(target.name))
        if length > MAX_NAME:
            problem = f"--output: the name {target.name} has {length} bytes, allowed: at most {MAX_NAME}"
            return Job(photo.path, targets, pairs, problem)
    return Job(photo.path, targets, pairs)


def _checked(jobs: Sequence[Job]) -> tuple[Job, ...]:
    """Return the jobs, without repeated ones; photos that would be written to the same file have a problem.

    Raises OptionError if a target is an input.
    """
    entry = Entries().path
    unique = {(entry(job.source), *map(entry, job.targets)): job for job in reversed(jobs)}
    jobs = list(unique.values())[::-1]
    files = {str(file): file for job in jobs for file in (job.source, *job.side_images.values())}
    inputs = {entry(file) for file in files.values()}
    inputs |= {os.path.realpath(file) for file in files.values() if file.is_symlink()}
    sources: defaultdict[str, list[Path]] = defaultdict(list)
    for job in jobs:
        for target in job.targets:
            if entry(target) in inputs:
                raise OptionError(f"--output: {target} is an input; originals are never overwritten")
            sources[entry(target)].append(job.source)
    return tuple(_with_collision(job, [sources[entry(target)] for target in job.targets]) for job in jobs)


def _with_collision(job: Job, sources: Sequence[Sequence[Path]]) -> Job:
    """Return the job, whose problem is set if one of its targets is that of another photo.

    sources: the photos that would be written to each target.
    """
    for target, photos in zip(job.targets, sources, strict=True):
        others = [photo for photo in photos[:2] if photo != job.source]
        if others:
            return replace(job, problem=f"--output: {job.source} and {others[0]} would both be written to {target}")
    return job
