"""Runs with remote inputs, outputs or side images: `s3://`, `gs://`, `hf://` and other URLs of fsspec.

A run works on copies in a mirror, a folder of this machine; see `restorekit.run.mirror`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from restorekit.errors import ImageError, OptionError, RestorekitError
from restorekit.run.manifest import MANIFEST
from restorekit.run.mirror import Paths, is_url, local_path, mirror_path, new_mirror, url_of, with_urls
from restorekit.run.plan import Plan
from restorekit.run.remote_files import RemoteFiles
from restorekit.run.remote_listing import list_input
from restorekit.run.remote_mirror import release_mirror, remove_unused_mirrors, use_mirror
from restorekit.run.remote_records import merge_records
from restorekit.run.remote_store import bucket_of, check_bucket, kind


class RemoteRun:
    """A run with remote files: `with RemoteRun() as remote: ...`.

    At the end, the copies are deleted. Messages of errors name URLs, not copies.
    """

    def __enter__(self) -> RemoteRun:
        remove_unused_mirrors()
        self.mirror = new_mirror()
        use_mirror(self.mirror)
        self._files: RemoteFiles | None = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        release_mirror(self.mirror)
        if isinstance(error, RestorekitError):
            error.args = tuple(with_urls(text) if isinstance(text, str) else text for text in error.args)

    def paths(self, inputs: Sequence[str], output: str | None, side_images: Mapping[str, str]) -> Paths:
        """Return the paths that texts name, after listing the remote inputs and side images.

        Raises OptionError for a URL that is not allowed or whose package is missing, and ImageError if a store cannot
        be reached or the bucket of the output does not exist.
        """
        paths = Paths(
            [self._path(text) for text in inputs],
            None if output is None else self._path(output),
            {name: self._path(text) for name, text in side_images.items()},
        )
        if paths.output is not None and url_of(paths.output):
            _check_output(paths.output)
        for path in (*paths.inputs, *paths.side_images.values()):
            if url_of(path):
                list_input(path)
        for path in paths.inputs if paths.output is None else []:
            if url_of(path) and path.is_dir() and bucket_of(path) == path:
                raise OptionError(f"{url_of(path)}: the results cannot be written next to it; allowed: --output")
        return paths

    def transfer(self, plan: Plan) -> RemoteFiles:
        """Return the transfer of the jobs of a plan."""
        self._files = RemoteFiles(self.mirror, plan.jobs)
        return self._files

    def finish(self, plan: Plan) -> list[tuple[Path, str]]:
        """Publish what an interrupted run has not published, and merge the records of the remote folders.

        Returns what failed: paths, each with the reason.
        """
        failed: list[tuple[Path, str]] = []
        for job in plan.jobs:
            with _listed(failed, job.source):
                if self._files is not None and not self._files.is_published(job):
                    self._files.publish(job)
        for folder in sorted({target.parent for job in plan.jobs for target in job.targets if url_of(target)}):
            with _listed(failed, folder / MANIFEST):
                merge_records(folder)
        return failed

    def _path(self, text: str) -> Path:
        return mirror_path(text, self.mirror) if is_url(text) else local_path(text)


def _check_output(path: Path) -> None:
    """Check that an output can be reached; a folder that exists is created in the mirror."""
    check_bucket(path)
    if kind(path) == "folder":
        path.mkdir(parents=True, exist_ok=True)


@contextlib.contextmanager
def _listed(failed: list[tuple[Path, str]], path: Path) -> Iterator[None]:
    """Append an ImageError to a list of failures."""
    try:
        yield
    except ImageError as error:
        failed.append((path, str(error)))
