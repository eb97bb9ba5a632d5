"""Restoring the photos of a visitor: the runner of the command, with progress and previews for the page."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from restorekit.errors import ImageError
from restorekit.run.display import most_different, shrunk, to_8_bits, to_srgb
from restorekit.run.images import read_photo
from restorekit.run.observer import Observer, StopRunError
from restorekit.run.photo import Photo
from restorekit.run.session import Session, open_session
from restorekit.run.settings import all_notes
from restorekit.run.uncertainty import Spread, picture
from restorekit.ui.jobs import Job, JobStoppedError, Progress
from restorekit.ui.order import PhotoOrder
from restorekit.ui.visitor import PREVIEW_QUALITY, PREVIEW_SIDE, Restored, Visitor, write_preview

if TYPE_CHECKING:
    from torch import Tensor

    from restorekit.run.runner import Runner

# Width and height of the part that is shown at full size.
DETAIL = (960, 720)
# Long side of the running estimate, and seconds between two of them.
ESTIMATE_SIDE, ESTIMATE_INTERVAL, ESTIMATE_QUALITY = 800, 1.0, 75


@dataclass(frozen=True)
class Restoration:
    """The outcome of a job.

    Attributes:
        photos: the photos that were restored.
        failures: what failed, one line each.
        total: number of photos.
    """

    photos: tuple[Restored, ...]
    failures: tuple[str, ...]
    total: int


class PageProgress:
    """Reports the progress of one result to the page, and ends the run if the job is stopped.

    Arguments:
        job: the job.
        where: what is being restored, such as "a.jpg, sample 2 of 4".
        folder: where estimates are written.
        done, share: what fraction of the job was done before, and what fraction this result is.
        steps: number of evaluations of the prior; None if it is unknown.

    Attributes:
        step: number of evaluations that are done.
        observer: what the run calls.
    """

    def __init__(
        self, job: Job, where: str, folder: Path, *, done: float = 0.0, share: float = 1.0, steps: int | None = None
    ) -> None:
        self.job, self.where, self.folder, self.done, self.share, self.steps = job, where, folder, done, share, steps
        self.step = 0
        self.observer = Observer(self.windows, self.estimate)
        self._shown = monotonic() - ESTIMATE_INTERVAL / 2
        self._file: Path | None = None

    def windows(self, done: int, total: int) -> None:
        """Show the step and the window; StopRunError if the job is to stop."""
        if self.job.is_stopped:
            raise StopRunError("stopped")
        known = self.steps is not None and self.step < self.steps
        text = f"{self.where}: step {self.step + 1}{f' of {self.steps}' if known else ''}, window {done} of {total}"
        inner = (self.step + done / total) / self.steps if known and self.steps else None
        fraction = None if inner is None and self.share == 1 else self.done + self.share * (inner or 0.0)
        self.step += done == total
        self.job.report(Progress(text, fraction, self._file))

    def estimate(self, sigma: Tensor, denoised: Tensor) -> None:
        """Show the estimate, at most once per second."""
        if self.job.is_stopped:
            raise StopRunError("stopped")
        now = monotonic()
        if now - self._shown < ESTIMATE_INTERVAL:
            return
        self._shown = now
        pixels = ((denoised[0].float() + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()
        image = to_srgb(shrunk(to_8_bits(Photo(np.ascontiguousarray(pixels))), ESTIMATE_SIDE))
        file = self.folder / f"estimate-{secrets.token_urlsafe(12)}.webp"
        image.save(file, quality=ESTIMATE_QUALITY)
        # The page may still be loading the file before.
        self._file = file
        self.job.report(Progress(self.job.progress.text, self.job.progress.fraction, file))


def restore_photos(job: Job, visitor: Visitor, orders: Sequence[PhotoOrder]) -> Restoration:
    """Restore photos one after another, as the command does; in the thread of the job.

    Raises RestorekitError if an option is not allowed, before anything is restored, and JobStoppedError if the job is
    stopped before the first result.
    """
    restored: list[Restored] = []
    failures: list[str] = []
    with ExitStack() as stack:
        job.report(Progress("loading the model"))
        sessions = [stack.enter_context(open_session(order.request)) for order in orders]
        runner = sessions[0].runner()
        for number, (order, session) in enumerate(zip(orders, sessions, strict=True)):
            if job.is_stopped:
                break
            try:
                found = _restore_photo(job, visitor, order, session, runner, number, len(orders))
            except JobStoppedError:
                break
            except ImageError as error:
                failures.append(visitor.plain(str(error)))
                continue
            restored.append(found)
    if not restored and not failures:
        raise JobStoppedError
    return Restoration(tuple(restored), tuple(failures), len(orders))


def _restore_photo(
    job: Job, visitor: Visitor, order: PhotoOrder, session: Session, runner: Runner, number: int, total: int
) -> Restored:
    """Restore one photo; ImageError if it fails, and JobStoppedError if the job is stopped."""
    samples, started = order.request.samples, monotonic()
    recipe, options = runner.recipe, runner.options.options
    steps = None if recipe.evaluations is None else recipe.evaluations(options)
    shown: list[PageProgress] = []

    def observe(photo: object, sample: int) -> Observer:
        where = order.upload.name if total == 1 else f"photo {number + 1} of {total}, {order.upload.name}"
        where = where if samples == 1 else f"{where}, sample {sample + 1} of {samples}"
        share = 1 / (total * samples)
        known = shown[-1].step if shown else steps
        shown.append(
            PageProgress(job, where, visitor.folder, done=(number * samples + sample) * share, share=share, steps=known)
        )
        return shown[-1].observer

    done = number / total
    job.report(Progress(f"{order.upload.name}: reading and preparing the photo", done if total > 1 else None))
    report = session.restore(runner, observe=observe)
    for file in visitor.folder.glob("estimate-*.webp"):
        file.unlink(missing_ok=True)
    if job.is_stopped:
        raise JobStoppedError
    if report.stopped:
        raise ImageError(report.stopped)
    for _, message in report.failed:
        raise ImageError(message)
    job.report(Progress(f"{order.upload.name}: preparing the preview", (number + 1) / total))
    previews = tuple(write_preview(read_photo(file), visitor.folder)[0] for file in report.results)
    detail = write_detail(order.upload.path, report.results, visitor.folder)
    spread = write_spread(report.results, visitor.folder) if len(report.results) > 1 else None
    masks = tuple(path for path in order.masks.values() if path.parent.name.startswith("mask-"))
    notes = dict.fromkeys(
        visitor.plain(note).removeprefix(f"{order.upload.name}: ") for note in all_notes(recipe, report)
    )
    return Restored(
        order.upload.name,
        order.upload.preview,
        previews,
        (*report.results, *masks),
        detail,
        spread,
        tuple(notes),
        order.order.command(order.upload.name, {name: path.name for name, path in order.masks.items()}),
        monotonic() - started,
    )


def write_detail(photo: Path, results: Sequence[Path], folder: Path) -> tuple[Path, ...] | None:
    """Write the part at full size in which results differ the most from a photo, of the photo and of each result.

    Returns None if the results are not larger than their previews.
    """
    images = [to_8_bits(read_photo(file)) for file in (photo, *results)]
    if max(images[1].size) <= PREVIEW_SIDE:
        return None
    if images[0].size != images[1].size:
        images[0] = images[0].resize(images[1].size, Image.Resampling.LANCZOS)
    box = most_different(images, *DETAIL)
    paths = []
    for image in images:
        paths.append(folder / f"detail-{secrets.token_urlsafe(12)}.webp")
        icc, part = image.info.get("icc_profile"), image.crop(box)
        part.info = {} if icc is None else {"icc_profile": icc}
        to_srgb(part).save(paths[-1], quality=PREVIEW_QUALITY)
    return tuple(paths)


def write_spread(results: Sequence[Path], folder: Path) -> Path:
    """Write the picture of the standard deviation of samples."""
    spread = Spread()
    for file in results:
        spread.add(read_photo(file).pixels)
    path = folder / f"deviation-{secrets.token_urlsafe(12)}.png"
    picture(spread.std()).save(path)
    return path
