"""Planning of a run: which photos are restored, their targets and their side images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from restorekit.core.files import IMAGE_SUFFIXES, find_images
from restorekit.core.recipe import Recipe
from restorekit.errors import ImageError, OptionError


@dataclass(frozen=True)
class Job:
    """One photo of a run.

    Attributes:
        source: the photo.
        targets: files to write, one per sample.
        side_images: files of its side images, by name.
        problem: why its side images cannot be determined; empty if they can.
    """

    source: Path
    targets: tuple[Path, ...]
    side_images: Mapping[str, Path]
    problem: str = ""

    @property
    def done(self) -> bool:
        """True if all targets exist; writing is atomic, so that existing files are complete."""
        return all(target.exists() for target in self.targets)


def plan_jobs(
    inputs: Sequence[Path],
    output: Path | None,
    recipe: Recipe,
    side_images: Mapping[str, Path],
    *,
    samples: int = 1,
    suffix: str | None = None,
) -> list[Job]:
    """Return the jobs for files and folders; folders are searched recursively and their tree is mirrored.

    inputs: photos and folders.
    output: file or folder to write. Default: `photo-RECIPE.png` next to photo.png and `folder-RECIPE/` next to folder/.
        For a single photo, a path with an image suffix is the file to write; any other path is a folder.
    side_images: a file for all photos, or a folder of files with the photos' names, by option name.
    samples: number of results per photo; if greater than 1, the files are numbered from 1.
    suffix: replaces the suffix of the photos (".png"), and with it the format.
    """
    for name, path in side_images.items():
        if not path.exists():
            raise ImageError(f"--{name}: {path}: no such file or folder")
    excluded = [*side_images.values(), *([] if output is None else [output])]
    jobs: list[Job] = []
    for path in inputs:
        if not path.exists():
            raise ImageError(f"{path}: no such file or folder (in {Path.cwd()})")
        root = path if path.is_dir() else path.parent
        for source in _photos_in(path, excluded) if path.is_dir() else [path]:
            target = _target(source, path, output, recipe.name, single=len(inputs) == 1)
            targets = _numbered(target.with_suffix(suffix) if suffix else target, samples)
            try:
                paired = {name: _paired(side, source, root, name) for name, side in side_images.items()}
                jobs.append(Job(source, targets, paired))
            except ImageError as error:
                jobs.append(Job(source, targets, {}, str(error)))
    _check_targets(jobs)
    return jobs


def _photos_in(folder: Path, excluded: Sequence[Path]) -> list[Path]:
    """Return the images below a folder, except those of the output and of side images inside it."""
    files = find_images(folder)
    for path in (path.resolve() for path in excluded):
        if folder.resolve() in path.parents:
            files = [file for file in files if path != file.resolve() and path not in file.resolve().parents]
    if not files:
        raise ImageError(f"{folder}: no image in this folder; allowed: {', '.join(sorted(IMAGE_SUFFIXES))}")
    return files


def _target(source: Path, path: Path, output: Path | None, recipe: str, *, single: bool) -> Path:
    if path.is_dir():
        folder = path.resolve()
        return (output or folder.with_name(f"{folder.name}-{recipe}")) / source.relative_to(path)
    if output is None:
        return source.with_name(f"{source.stem}-{recipe}{source.suffix}")
    return output if single and output.suffix.lower() in IMAGE_SUFFIXES else output / source.name


def _numbered(target: Path, samples: int) -> tuple[Path, ...]:
    if samples == 1:
        return (target,)
    return tuple(target.with_name(f"{target.stem}-{number}{target.suffix}") for number in range(1, samples + 1))


def _paired(side: Path, source: Path, root: Path, name: str) -> Path:
    """Return the side image of a photo: the given file, or the file with the same relative path and stem in a folder.

    A missing file is reported when the photo is read, so that the other photos are still restored.
    """
    if not side.is_dir():
        return side
    expected = side / source.relative_to(root)
    found = sorted(p for p in expected.parent.glob("*") if p.stem == source.stem and p.suffix.lower() in IMAGE_SUFFIXES)
    if len(found) > 1:
        raise ImageError(f"--{name}: {source} matches {len(found)} files: {', '.join(p.name for p in found)}")
    return found[0] if found else expected.with_suffix(".png")


def _check_targets(jobs: Iterable[Job]) -> None:
    """Raise OptionError if a target is an input, or the target of another photo."""
    sources_of: dict[Path, Path] = {}
    inputs = {path.resolve() for job in jobs for path in (job.source, *job.side_images.values())}
    for job in jobs:
        for target in (path.resolve() for path in job.targets):
            if target in inputs:
                raise OptionError(f"--output: {target} is an input; originals are never overwritten")
            if target in sources_of:
                raise OptionError(f"--output: {job.source} and {sources_of[target]} would both be written to {target}")
            sources_of[target] = job.source
