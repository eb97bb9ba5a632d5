"""Names of remote files: URLs, and the paths of their local copies, which repeat the URLs.

The copies of one run are in one folder, the mirror: `s3://bucket/in/a.png` is `MIRROR/s3/bucket/in/a.png`.
"""

from __future__ import annotations

import re
import tempfile
import uuid
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from restorekit.errors import OptionError

_PREFIX = "restorekit-mirror-"
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://(.*)", re.DOTALL)
_NAME = re.compile(rf"{_PREFIX}[0-9a-f]{{32}}")
# URLs of local files.
_LOCAL = ("file", "local")
# Other names of the same store.
_ALIASES = {"s3a": "s3", "gcs": "gs", "az": "abfs", "abfss": "abfs", "ssh": "sftp"}
# Stands for the empty first part of URLs such as hdfs:///folder.
_EMPTY = "_"


@dataclass(frozen=True)
class Paths:
    """The paths of a run: those of remote files are in a mirror.

    Attributes:
        inputs: photos, folders and patterns.
        output: file or folder to write, or None.
        side_images: files or folders by name of their option.
    """

    inputs: list[Path]
    output: Path | None
    side_images: dict[str, Path]


def is_url(text: str) -> bool:
    """Return whether a text is the URL of a remote file or folder; `file://` names a local one."""
    match = _URL.fullmatch(text)
    return match is not None and match[1].lower() not in _LOCAL


def local_path(text: str) -> Path:
    """Return the path that a text names; `file://` and `local://` are removed."""
    match = _URL.fullmatch(text)
    return Path(text if match is None else match[2])


def new_mirror() -> Path:
    """Return the folder of a new mirror, which is not created."""
    return Path(tempfile.gettempdir()).resolve() / f"{_PREFIX}{uuid.uuid4().hex}"


def find_mirrors() -> list[Path]:
    """Return the mirrors of all runs on this machine."""
    return [path for path in Path(tempfile.gettempdir()).resolve().glob(f"{_PREFIX}*") if _NAME.fullmatch(path.name)]


def mirror_path(url: str, mirror: Path) -> Path:
    """Return the path of the copy of a URL; OptionError if one of its parts cannot be the name of a file."""
    match = _URL.fullmatch(url)
    if match is None or "::" in url:
        raise OptionError(f"{url}: found a chained URL, allowed: SCHEME://PATH")
    scheme = match[1].lower()
    first, *parts = match[2].rstrip("/").split("/")
    if not {"", ".", ".."}.isdisjoint(parts) or first in (".", ".."):
        raise OptionError(f"{url}: found an empty part, . or .., allowed: the names of folders and files")
    if re.fullmatch(r"[^@]*:[^@]*@.*", first):
        raise OptionError(
            f"{scheme}://: found a password in the URL, which is recorded; allowed: the environment variable "
            f"FSSPEC_{scheme.upper()}_PASSWORD, or another configuration of fsspec"
        )
    return mirror.joinpath(_ALIASES.get(scheme, scheme), first or _EMPTY, *parts)


def mirror_of(path: Path) -> Path | None:
    """Return the mirror that contains a path; None for other paths."""
    for folder in path.parents:
        if _NAME.fullmatch(folder.name):
            return folder
    return None


def url_of(path: Path) -> str | None:
    """Return the URL of a path in a mirror; None for other paths."""
    mirror = mirror_of(path)
    if mirror is None:
        return None
    scheme, *parts = path.relative_to(mirror).parts
    return f"{scheme}://{'/'.join(['' if part == _EMPTY else part for part in parts[:1]] + parts[1:])}"


def with_urls(text: str) -> str:
    """Return a text in which the paths of mirrors are replaced by their URLs."""
    return _copies().sub(lambda match: f"{match[1]}://", text) if _PREFIX in text else text


@cache
def _copies() -> re.Pattern[str]:
    """Return the pattern of the beginning of a path in a mirror, to the end of the scheme."""
    folder = re.escape(str(Path(tempfile.gettempdir()).resolve()))
    return re.compile(rf"(?:{folder}|[^\s\"'(]*?)/{_NAME.pattern}/([a-z0-9+.-]+)(?:/(?:{_EMPTY}(?=/))?|$)")


def recorded_name(path: Path, folder: Path) -> str | None:
    """Return the name of a file in the records of a folder, unless it is a relative path because both are local, or in
    the same store: a URL, or an absolute path.
    """
    if _store(path) == _store(folder):
        return None
    return url_of(path) or str(path.absolute())


def recorded_file(name: str, folder: Path, source: Path) -> Path:
    """Return the file with a recorded name.

    folder: that of the records. source: a photo, in whose mirror the copy of a recorded URL is.
    """
    mirror = mirror_of(folder) or mirror_of(source)
    return mirror_path(name, mirror) if mirror is not None and is_url(name) else folder / name


def _store(path: Path) -> tuple[str, ...] | None:
    """Return the scheme and the bucket or host of a path in a mirror; None for a local path."""
    mirror = mirror_of(path)
    return None if mirror is None else path.relative_to(mirror).parts[:2]
