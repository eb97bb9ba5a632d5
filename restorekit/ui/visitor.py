"""Visitors: a private folder for each, with the photos that it uploaded and their results."""

from __future__ import annotations

import contextlib
import re
import secrets
import shutil
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from restorekit.errors import ImageError, printable
from restorekit.run.display import shrunk, to_8_bits, to_srgb
from restorekit.run.images import Photo, read_photo
from restorekit.ui.jobs import Job, JobQueue

# Long side in pixels of what the browser receives of a photo.
PREVIEW_SIDE = 1600
PREVIEW_QUALITY = 90
# Bytes in a file name.
MAX_NAME = 255


@dataclass
class Upload:
    """A photo of a visitor.

    Attributes:
        name: its file name.
        path: its copy in the folder of the visitor.
        size: (width, height) of the upright photo.
        preview: a small WebP file in sRGB.
        preview_size: (width, height) of the preview.
        mask_file: a mask that the visitor loaded; None if there is none.
        loaded: which pixels of the preview that mask marks, (H, W) bool; None if there is none.
        painted: which pixels of the preview are marked in the editor, (H, W) bool; None if there are none.
    """

    name: str
    path: Path
    size: tuple[int, int]
    preview: Path
    preview_size: tuple[int, int]
    mask_file: Path | None = None
    loaded: NDArray[np.bool_] | None = None
    painted: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Restored:
    """A photo that was restored.

    Attributes:
        name: its file name.
        before: its preview.
        after: the previews of its results.
        files: its results, and the mask that was painted.
        detail: the part at full size in which the results differ the most from the photo, of the photo and of each
            result; None if the previews have full size.
        spread: a map of where several results differ; None for one.
        notes: what the recipe and the file formats report, one line each.
        command: the command that writes the same files.
        seconds: how long it took.
    """

    name: str
    before: Path
    after: tuple[Path, ...]
    files: tuple[Path, ...]
    detail: tuple[Path, ...] | None
    spread: Path | None
    notes: tuple[str, ...]
    command: str
    seconds: float


@dataclass
class Visitor:
    """A page that is open in a browser.

    Attributes:
        folder: its private folder, whose name cannot be guessed.
        uploads: its photos, in the order of the upload.
        current: number of the photo that the page shows.
        job: its last job; None if there was none.
        restored: the photos that this job restored.
        sample: number of the result that the page shows, from 0.
    """

    folder: Path
    uploads: list[Upload] = field(default_factory=list)
    current: int = 0
    job: Job | None = None
    restored: list[Restored] = field(default_factory=list)
    sample: int = 0

    @property
    def upload(self) -> Upload | None:
        """The photo that the page shows; None without photos."""
        return self.uploads[self.current] if self.current < len(self.uploads) else None

    def plain(self, text: str) -> str:
        """Return a message in which the files of the visitor have their names only."""
        return printable(re.sub(rf"{re.escape(str(self.folder))}/[^/]+/", "", text))

    def new_folder(self, kind: str) -> Path:
        """Return a new, empty folder."""
        folder = self.folder / f"{kind}-{secrets.token_urlsafe(12)}"
        folder.mkdir()
        return folder

    def add(self, file: Path, name: str) -> Upload:
        """Move an uploaded file to the folder; ImageError, which names the file, if it is not a photo."""
        path = self.take(file, name)
        try:
            photo = read_photo(path)
        except ImageError as error:
            shutil.rmtree(path.parent)
            raise ImageError(self.plain(str(error))) from None
        preview, size = write_preview(photo, self.folder)
        height, width = photo.pixels.shape[:2]
        upload = Upload(path.name, path, (width, height), preview, size)
        self.uploads.append(upload)
        return upload

    def take(self, file: Path, name: str) -> Path:
        """Move an uploaded file to a new folder under its original name."""
        target = self.new_folder("upload") / safe_name(name)
        shutil.move(file, target)
        with contextlib.suppress(OSError):
            file.parent.rmdir()
        return target

    def clear(self) -> None:
        """Delete the photos."""
        for upload in self.uploads:
            shutil.rmtree(upload.path.parent, ignore_errors=True)
            upload.preview.unlink(missing_ok=True)
        self.uploads, self.current = [], 0


class Session(Protocol):
    """What is used of a `gradio.Request`.

    Gradio must be imported after its variables are set; see `restorekit.ui.server`.
    """

    session_hash: str | None


class Visitors:
    """The visitors of a server, and the folder that contains theirs.

    Arguments:
        queue: the jobs of all visitors.
    """

    def __init__(self, queue: JobQueue) -> None:
        self.queue = queue
        # Readable for this user only.
        self.root = Path(tempfile.mkdtemp(prefix="restorekit-ui-")).resolve()
        self._visitors: dict[str, Visitor] = {}
        self._lock = threading.Lock()

    def get(self, session: str) -> Visitor:
        """Return the visitor of a session of Gradio, a new one if it is unknown."""
        with self._lock:
            if session not in self._visitors:
                folder = self.root / f"visitor-{secrets.token_urlsafe(24)}"
                folder.mkdir(mode=0o700)
                self._visitors[session] = Visitor(folder)
            return self._visitors[session]

    def of(self, request: Session) -> Visitor:
        """Return the visitor of a request."""
        return self.get(request.session_hash or "")

    def start(self, visitor: Visitor, job: Job) -> None:
        """Add the job of a visitor to the queue; a job of the same visitor that is not finished is stopped."""
        if visitor.job is not None and not visitor.job.is_finished:
            self.queue.stop(visitor.job)
        visitor.job = job
        self.queue.add(job)

    def remove(self, session: str) -> None:
        """Stop the job of a visitor whose page was closed, and delete its folder."""
        with self._lock:
            visitor = self._visitors.pop(session, None)
        if visitor is None:
            return

        def delete() -> None:
            shutil.rmtree(visitor.folder, ignore_errors=True)

        delete()
        if visitor.job is not None:
            self.queue.stop(visitor.job)
            # It may write a result before it notices.
            visitor.job.when_finished(delete)

    def close(self) -> bool:
        """Stop all jobs and delete all files; return whether all jobs ended."""
        try:
            return self.queue.close()
        finally:
            with self._lock:
                self._visitors.clear()
            shutil.rmtree(self.root, ignore_errors=True)


def safe_name(name: str) -> str:
    """Return the last part of a file name that a browser states, so that it names a file of a folder.

    The name of a photo selects its noise, so that it is kept otherwise.
    """
    last = name.replace("\\", "/").rpartition("/")[2].replace("\0", "").lstrip(".")
    stem, dot, suffix = last.rpartition(".")
    while len(last.encode(errors="replace")) > MAX_NAME:
        stem = stem[:-1]
        last = f"{stem}{dot}{suffix}" if stem else suffix[: MAX_NAME // 4]
    return last or "photo"


def write_preview(photo: Photo, folder: Path, side: int = PREVIEW_SIDE) -> tuple[Path, tuple[int, int]]:
    """Write a small WebP file of a photo to a folder; return the file and its (width, height)."""
    small = to_srgb(shrunk(to_8_bits(photo), side))
    path = folder / f"preview-{secrets.token_urlsafe(12)}.webp"
    small.save(path, quality=PREVIEW_QUALITY)
    return path, small.size
