"""The transfer of remote files: copies of the files of a job in a mirror."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from restorekit.errors import ImageError
from restorekit.run.by_products import by_products
from restorekit.run.manifest import Manifest, Record, digest, parse_record
from restorekit.run.mirror import recorded_file, url_of
from restorekit.run.plan import Job
from restorekit.run.remote_mirror import use_mirror
from restorekit.run.remote_records import part_of
from restorekit.run.remote_store import download, kind, upload

# What identifies the contents of a file of this machine; None if there is none.
State = tuple[int, int, int] | None


class RemoteFiles:
    """Copies the remote files of jobs to a mirror and the results from there; a `restorekit.run.transfer.Transfer`.

    It can be pickled: every process has its own, several of which on one machine share the mirror.

    Arguments:
        mirror: folder of the mirror.
        jobs: the jobs of the run. Files of several jobs remain in the mirror, the others are deleted after their job.
    """

    def __init__(self, mirror: Path, jobs: Sequence[Job]) -> None:
        uses = Counter(path for job in jobs for path in (job.source, *job.side_images.values()))
        self.mirror, self.shared = mirror, frozenset(path for path, count in uses.items() if count > 1)
        self._set_up()

    def _set_up(self) -> None:
        self._lock = threading.RLock()
        self._manifests: dict[Path, Manifest] = {}
        # State and number of records of the targets that were fetched and are not published yet.
        self._fetched: dict[Path, tuple[State, int]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"mirror": self.mirror, "shared": self.shared}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._set_up()

    def fetch(self, job: Job) -> None:
        """Copy the photo, its side images, and existing results with their records; ImageError if that fails."""
        use_mirror(self.mirror)
        for target in job.targets:
            if url_of(target):
                self._fetch_target(target)
        for path in (job.source, *job.side_images.values()):
            if url_of(path):
                self._fetch_input(path)
        for target in job.targets:
            self._fetch_recorded_source(job, target)

    def publish(self, job: Job) -> None:
        """Copy the new records and results of a job to their stores, and delete its files of this machine.

        The records come first, so that every result has one. Deleted results become empty files, since they exist.
        """
        try:
            for target in job.targets:
                if target in self._fetched:
                    self._publish_target(target)
            for path in by_products(job):
                if url_of(path) and path.is_file():
                    upload(path)
                    path.unlink()
        finally:
            for path in {job.source, *job.side_images.values()} - self.shared:
                if url_of(path):
                    path.unlink(missing_ok=True)
            for target in job.targets:
                if url_of(target) and target.is_file():
                    target.write_bytes(b"")

    def is_published(self, job: Job) -> bool:
        """Return whether no result of a job is still to be published by this process."""
        return self._fetched.keys().isdisjoint(job.targets)

    def _fetch_target(self, target: Path) -> None:
        manifest = self._manifest(target.parent)
        if kind(target) == "folder":
            target.mkdir(parents=True, exist_ok=True)
        elif not download(target):
            target.unlink(missing_ok=True)
        part = part_of(target)
        part.unlink(missing_ok=True)
        lines = part.read_bytes().splitlines() if download(part) else []
        with self._lock:
            for record in filter(None, map(parse_record, lines)):
                if record not in manifest.records(record.output):
                    manifest.append(record)
            self._fetched[target] = _state(target), len(manifest.records(target.name))

    def _fetch_input(self, path: Path) -> None:
        """Copy a file; one of several jobs only once."""
        with self._lock if path in self.shared else contextlib.nullcontext():
            if path in self.shared and path.is_file() and path.stat().st_size:
                return
            # The empty file of the plan is not the photo.
            path.unlink(missing_ok=True)
            if not download(path):
                raise ImageError(f"{url_of(path)}: no such file")

    def _fetch_recorded_source(self, job: Job, target: Path) -> None:
        """Copy the photo from which an existing result was made, if it is another one: it may not be replaced then."""
        if not target.is_file() or not (url_of(job.source) or url_of(target)):
            return
        with self._lock:
            records = self._manifest(target.parent).records(target.name)
        found = digest(target)
        record = next((record for record in reversed(records) if record.sha256 == found), None)
        if record is None or record.request.get("source") == digest(job.source):
            return
        other = recorded_file(record.files.get("source", ""), target.parent, job.source)
        other = Path(os.path.normpath(other))
        if url_of(other) and other != job.source and not download(other):
            other.unlink(missing_ok=True)

    def _publish_target(self, target: Path) -> None:
        state, count = self._fetched.pop(target)
        with self._lock:
            records = self._manifest(target.parent).records(target.name)
        is_new = _state(target) not in (None, state)
        if records and (is_new or len(records) > count):
            self._publish_records(target, records)
        if is_new:
            upload(target)

    def _publish_records(self, target: Path, records: Sequence[Record]) -> None:
        """Add all records of a target to its part.

        They may include older ones: those of a process on this machine that was killed before it published them cannot
        be told from those of the manifest.
        """
        part = part_of(target)
        part.parent.mkdir(parents=True, exist_ok=True)
        present = part.read_bytes().splitlines() if part.exists() else []
        lines = [line for record in records if (line := record.line().encode()) not in present]
        part.write_bytes(b"".join(line + b"\n" for line in (*present, *lines)))
        upload(part)
        part.unlink()

    def _manifest(self, folder: Path) -> Manifest:
        """Return the manifest of a folder, which is copied once if it is remote."""
        with self._lock:
            if folder not in self._manifests:
                manifest = Manifest(folder)
                if url_of(folder) and not manifest.path.exists():
                    _copy_manifest(manifest.path)
                self._manifests[folder] = manifest
            return self._manifests[folder]


def _copy_manifest(path: Path) -> None:
    """Copy a remote manifest, unless another process on this machine has done so, which may have appended to it."""
    copy = path.with_name(f"{path.name}.{os.getpid()}")
    if download(path, copy):
        with contextlib.suppress(FileExistsError):
            os.link(copy, path)
        copy.unlink()


def _state(path: Path) -> State:
    if not path.is_file():
        return None
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns
