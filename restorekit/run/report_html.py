"""The HTML of the report of a run: a template, a style, a script, facts on the photos as JSON, and their images."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote

from restorekit.errors import printable
from restorekit.run.mirror import recorded_name

# Beginning of the page, by which a report of an earlier run is recognised.
MARK = "<!doctype html>\n<!-- report of restorekit -->\n"
# States of a photo, in words.
STATES = {
    "restored": "restored",
    "skipped": "skipped because results exist",
    "kept": "kept, made with other settings or not by restorekit",
    "failed": "failed",
    "waiting": "not processed",
}


@dataclass(frozen=True)
class Entry:
    """What the page states about a photo; the names are those of the script of the page.

    Attributes:
        name: path of the photo, without the folders that all photos share; or its URL.
        state: one of `STATES`; "waiting" if the run stopped before.
        source, results: texts and addresses ("href", "" if there is none) of the files.
        seconds: duration of the restoration of all samples; None if it is not recorded.
        notes: notes on the photo.
        error: why it failed; "" if it did not.
        samples: number of results.
        size, result_size, shown, detail, change: see `Shown`.
    """

    name: str
    state: str
    source: Mapping[str, str]
    results: Sequence[Mapping[str, str]] = ()
    seconds: float | None = None
    notes: Sequence[str] = ()
    error: str = ""
    samples: int = 1
    size: tuple[int, int] | None = None
    result_size: tuple[int, int] | None = None
    shown: int = 0
    detail: tuple[int, int, int, int] | None = None
    change: float | None = None


def page(
    title: str,
    totals: Mapping[str, str],
    settings: Mapping[str, str],
    entries: Sequence[Entry],
    thumbnails: Iterable[tuple[int, str]],
) -> Iterator[str]:
    """Yield the parts of the page.

    totals: texts by class, such as "restored". settings: names and values. thumbnails: see `Thumbnails.lines`.
    """
    folder = files("restorekit.run") / "page"
    template, style, script = (
        (folder / f"report.{suffix}").read_text(encoding="utf-8") for suffix in ("html", "css", "js")
    )
    start, end = (
        Template(template.replace("$thumbnails", "\0"))
        .substitute(
            title=html.escape(printable(title)),
            style=style,
            script=script,
            style_hash=_hash(style),
            script_hash=_hash(script),
            totals="".join(f'<li class="{name}">{html.escape(printable(text))}</li>' for name, text in totals.items()),
            settings="".join(
                f"<dt>{html.escape(name)}</dt><dd>{html.escape(printable(value))}</dd>"
                for name, value in settings.items()
            ),
            facts=_json([asdict(entry) for entry in entries]),
        )
        .split("\0")
    )
    yield start
    for number, texts in thumbnails:
        yield f'<script type="application/json" id="p{number}">{texts}</script>\n'
    yield end


def _json(value: Any) -> str:
    """Return a value as JSON that cannot end the element that contains it."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def _hash(text: str) -> str:
    """Return the digest by which the page allows a style or a script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def address(path: Path, folder: Path) -> str:
    """Return the address of a file in a page of a folder; "" if a browser cannot open it."""
    if recorded_name(path, folder) is not None:
        return ""
    try:
        relative = os.path.relpath(path.absolute(), folder.absolute())
    except ValueError:  # another drive
        return path.absolute().as_uri()
    return quote(os.fsencode(relative.replace(os.sep, "/")))
