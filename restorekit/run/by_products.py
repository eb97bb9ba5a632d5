"""Files that a run writes besides the results: traces, and maps of how the samples of a photo differ.

Their names are those that `restorekit.core.files.path_kind` recognises, so that later runs do not take them for photos.
They have no records: they do not change what a run does with its results. Their contents show that a run wrote them;
other files with such names are not deleted, and replaced only with --overwrite.
"""

from __future__ import annotations

from pathlib import Path

from restorekit.core.files import atomic_path
from restorekit.errors import ImageError
from restorekit.run.formats import Encoding, format_of
from restorekit.run.photo import Photo
from restorekit.run.plan import Job
from restorekit.run.trace import TraceRecorder, is_trace, trace_path, trace_paths
from restorekit.run.uncertainty import has_maps, uncertainty_files, uncertainty_paths


def by_products(job: Job) -> list[Path]:
    """Return all files that a run may write besides the results of a job."""
    traces = [path for target in job.targets for path in trace_paths(target)]
    return [*traces, *uncertainty_paths(job.targets)]


def replace_trace(
    job: Job, number: int, trace: TraceRecorder | None, photo: Photo, restored: Photo, *, overwrite: bool
) -> list[str]:
    """Write the trace of a sample that is about to be written; return notes.

    Files that belong to an earlier version of the sample are deleted.

    trace: its estimates; None for no trace. overwrite: whether to replace a file that is not a trace.
    """
    target = job.targets[number]
    for path in trace_paths(target):
        if path.exists() and is_trace(path):
            _delete(path)
    maps = uncertainty_paths(job.targets)
    if maps[0].exists() and has_maps(job.targets):
        for path in reversed(maps):
            _delete(path)
    if trace is None:
        return []
    if not trace.is_used:
        return ["no trace: the recipe did not evaluate a prior"]
    path = trace_path(target, trace.trace)
    _check_replaceable(path, overwrite)
    _write(path, trace.encoded(photo, restored))
    return []


def write_uncertainty(job: Job, encoding: Encoding, *, overwrite: bool) -> list[str]:
    """Write the mean and the standard deviation of the samples of a photo, unless they exist; return notes.

    overwrite: whether to replace files that no run wrote.
    """
    files = uncertainty_files(job.targets, encoding)
    is_known = has_maps(job.targets)
    for path in files:
        if not is_known:
            _check_replaceable(path, overwrite)
    for path in [*files][1:]:  # those of other samples must not remain beside a new map, which identifies all files
        _delete(path)
    for path, data in files.items():
        _write(path, data)
    if format_of(job.targets[0]) == "JPEG":
        return ["mean and standard deviation are those of the JPEG files; --format png avoids their loss"]
    return []


def _check_replaceable(path: Path, overwrite: bool) -> None:
    """Raise ImageError if a file exists, unless it is to be overwritten."""
    if path.exists() and not overwrite:
        raise ImageError(f"{path}: exists, and nothing shows that restorekit wrote it; --overwrite replaces it")


def _delete(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise ImageError(f"{path}: cannot be deleted ({error.strerror or error})") from error


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as part:
            part.write_bytes(data)
    except OSError as error:
        raise ImageError(f"{path}: cannot be written ({error.strerror or error})") from error
