"""Files that a run writes besides the results: traces, and maps of how the samples of a photo differ.

Their names are those that `restorekit.core.files.path_kind` recognises, so that later runs do not take them for photos.
They have no records: they do not change what a run does with its results.
"""

from __future__ import annotations

from pathlib import Path

from restorekit.core.files import atomic_path
from restorekit.errors import ImageError
from restorekit.run.formats import Encoding, format_of
from restorekit.run.photo import Photo
from restorekit.run.plan import Job
from restorekit.run.trace import TraceRecorder, trace_path, trace_paths
from restorekit.run.uncertainty import uncertainty_files, uncertainty_paths


def by_products(job: Job) -> list[Path]:
    """Return all files that a run may write besides the results of a job."""
    traces = [path for target in job.targets for path in trace_paths(target)]
    return [*traces, *uncertainty_paths(job.targets)]


def replace_trace(job: Job, number: int, trace: TraceRecorder | None, photo: Photo, restored: Photo) -> list[str]:
    """Write the trace of a sample that is about to be written; return notes.

    Files that belong to an earlier version of the sample are deleted.

    trace: its estimates; None for no trace.
    """
    target = job.targets[number]
    for path in (*trace_paths(target), *uncertainty_paths(job.targets)):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise ImageError(f"{path}: cannot be deleted ({error.strerror or error})") from error
    if trace is None:
        return []
    if not trace.is_used:
        return ["no trace: the recipe did not evaluate a prior"]
    _write(trace_path(target, trace.trace), trace.encoded(photo, restored))
    return []


def write_uncertainty(job: Job, encoding: Encoding) -> list[str]:
    """Write the mean and the standard deviation of the samples of a photo, unless they exist; return notes."""
    for path, data in uncertainty_files(job.targets, encoding).items():
        _write(path, data)
    if format_of(job.targets[0]) == "JPEG":
        return ["mean and standard deviation are those of the JPEG files; --format png avoids their loss"]
    return []


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as part:
            part.write_bytes(data)
    except OSError as error:
        raise ImageError(f"{path}: cannot be written ({error.strerror or error})") from error
