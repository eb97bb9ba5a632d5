"""The files of a job: to tensors before its restoration, and from them afterwards."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from restorekit.core.noise import NEGATED, image_seed
from restorekit.core.options import ImageOption
from restorekit.core.thread_warnings import record_warnings
from restorekit.errors import ImageError, RestorekitWarning
from restorekit.run.encode import encode_photo
from restorekit.run.formats import check_target
from restorekit.run.images import Photo, read_photo
from restorekit.run.plan import Job
from restorekit.run.runner import Runner
from restorekit.run.settings import Settings
from restorekit.run.side_images import file_tables, read_side_image


@dataclass(frozen=True)
class Loaded:
    """A job whose files have been read.

    Attributes:
        job: the job.
        photo: the photo.
        side_images: tensors of the side images and JPEG tables, by name.
    """

    job: Job
    photo: Photo
    side_images: dict[str, Tensor]


def load(job: Job, runner: Runner, settings: Settings) -> Loaded:
    """Read the photo, its JPEG tables and the side images of a job; ImageError if its targets cannot store it."""
    if job.problem:
        raise ImageError(job.problem)
    photo = read_photo(job.source)
    side_images = file_tables(runner.recipe, runner.options.options, photo)
    for parameter in runner.recipe.side_images:
        if parameter.name in job.side_images and isinstance(parameter.spec, ImageOption):
            path, reading = job.side_images[parameter.name], settings.reading(parameter.name)
            with record_warnings(RestorekitWarning) as found:
                side_images[parameter.name] = read_side_image(path, parameter.spec, photo, parameter.name, reading)
            photo = replace(photo, notes=(*photo.notes, *map(str, found)))
    for target in job.targets:
        check_target(photo, target, settings.encoding)
    return Loaded(job, photo, side_images)


def encoded(photo: Photo, restored: Photo, target: Path, settings: Settings) -> tuple[bytes, list[str]]:
    """Return the file of a restored photo in the format of the target, and notes on what it does not keep."""
    data, lost = encode_photo(restored, target, settings.encoding)
    return data, [*restored.notes[len(photo.notes) :], *lost]


def sample_seed(seed: int, name: str, number: int) -> int:
    """Return the seed of sample `number`, counted from 0, of the photo with that file name.

    The noise of samples 1, 3, ... is that of the sample before them, negated; see `ImageNoise`.
    """
    first, negated = number - number % 2, number % 2
    return image_seed(seed, name if first == 0 else f"{name}#{first}") + NEGATED * negated
