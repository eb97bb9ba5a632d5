"""The report of a run as one HTML file that needs no other file: `--report`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import torch

from restorekit.core.files import atomic_path
from restorekit.errors import ImageError, OptionError, printable, shortened
from restorekit.run.by_products import by_products
from restorekit.run.manifest import Manifest, Record
from restorekit.run.mirror import is_url, recorded_name, url_of, with_urls
from restorekit.run.plan import Job, Plan
from restorekit.run.report_html import MARK, STATES, Entry, address, page
from restorekit.run.results import check_writable
from restorekit.run.runner import Runner
from restorekit.run.settings import RunReport
from restorekit.run.thumbnails import Shown, Thumbnails
from restorekit.run.transfer import Transfer

NAME = "report.html"
SUFFIXES = (".html", ".htm")
# States of photos whose results exist.
DONE = ("restored", "skipped", "kept")


@dataclass
class ReportPage:
    """The report of a run, which is written at its end; thumbnails are collected during the run.

    Attributes:
        path: file to write; see `report_path`.
        plan: the plan of the run.
        settings: names and values that the page lists, such as the recipe and its options.
        thumbnails: the thumbnails, by the position of the job in the plan.
        problem: why the thumbnails are incomplete; "" if they are not.
    """

    path: Path
    plan: Plan
    settings: Mapping[str, str]
    thumbnails: Thumbnails
    problem: str = ""

    def __post_init__(self) -> None:
        self._sources = {job.source for job in self.plan.jobs}
        self._others: dict[int, list[Path]] = {}
        self._numbers = {job: number for number, job in enumerate(self.plan.jobs)}

    def add(self, job: Job) -> None:
        """Make the thumbnails of a photo, whose files must exist on this machine."""
        number = self._numbers[job]
        self._others[number] = [path for path in by_products(job) if path.exists()]
        try:
            if not self.problem and number not in self.thumbnails.shown:
                self.thumbnails.add(number, job.source, tuple(path for path in job.targets if path.exists()))
        except OSError as error:
            self.problem = f"the thumbnails are incomplete ({error.strerror or error})"

    def finish(self, report: RunReport) -> None:
        """Write the page; `report.page` is then its path, or `report.failed` contains it if that is not possible."""
        try:
            self.write(report)
        except ImageError as error:
            report.failed.append((self.path, str(error)))
        else:
            report.page = self.path

    def write(self, report: RunReport) -> None:
        """Write the page atomically; ImageError if that fails."""
        done = {*report.restored_jobs, *report.skipped_jobs, *report.kept_jobs}
        for job in self.plan.jobs:
            if job in done and url_of(job.source) is None and url_of(job.targets[0]) is None:
                self.add(job)
        entries = list(self._entries(report))
        totals = _totals(entries, report.stopped, self.problem)
        settings = {**self.settings, "finished": datetime.now().astimezone().isoformat(" ", "seconds")}
        title = f"{settings['recipe']}: {len(entries)} photo{'s' if len(entries) != 1 else ''}"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(self.path) as part, part.open("w", encoding="utf-8") as file:
                file.writelines(page(title, totals, settings, entries, self.thumbnails.lines()))
        except OSError as error:
            raise ImageError(f"{self.path}: cannot be written ({error.strerror or error})") from error
        if url_of(self.path) is not None:
            from restorekit.run.remote_store import upload

            upload(self.path)

    def _entries(self, report: RunReport) -> Iterator[Entry]:
        """Yield the entries of the jobs in their order, and then those of inputs that cannot be used."""
        states = dict.fromkeys(report.restored_jobs, "restored")
        states |= dict.fromkeys(report.skipped_jobs, "skipped") | dict.fromkeys(report.kept_jobs, "kept")
        errors = dict(report.failed)
        names = _names([*(job.source for job in self.plan.jobs), *errors])
        notes, manifests = _notes_by_photo(report.notes, names), dict[Path, Manifest]()
        for number, job in enumerate(self.plan.jobs):
            error = errors.get(job.source, "")
            state = "failed" if error else states.get(job, "waiting")
            records = list(_records(job, manifests)) if state in ("restored", "skipped") else []
            seconds = [record.seconds for record in records if record.seconds is not None]
            recorded = [note for record in records for note in record.notes]
            shown, has_results = self.thumbnails.shown.get(number, Shown()), state in DONE
            if not has_results:  # a file at the place of the result is that of another run
                shown = Shown(shown.size)
            yield Entry(
                names[job.source],
                state,
                self._file(job.source, "photo"),
                self._results(job, number) if has_results else [],
                sum(seconds) if seconds else None,
                [_shown(note) for note in dict.fromkeys([*notes.get(job.source, ()), *recorded])],
                _error(job.source, error),
                len(job.targets),
                **asdict(shown),
            )
        for path in [path for path in errors if path not in self._sources]:
            yield Entry(names[path], "failed", self._file(path, "file"), error=_error(path, errors[path]))

    def _results(self, job: Job, number: int) -> list[dict[str, str]]:
        """Return the results of a job, its traces and its maps of the uncertainty, named by the end of their names."""
        ends = [""] if len(job.targets) == 1 else [f" {i + 1}" for i in range(len(job.targets))]
        by_name = {target.name: end for target, end in zip(job.targets, ends, strict=True)}
        named = {target: f"result{end}" for target, end in zip(job.targets, ends, strict=True)}
        for path in self._others.get(number, ()):
            sample, kind = Path(path.stem).stem, path.suffixes[-2].removeprefix(".")
            named[path] = kind + by_name.get(sample, "")  # maps are those of all samples
        return [self._file(path, name) for path, name in named.items()]

    def _file(self, path: Path, text: str) -> dict[str, str]:
        return {"text": text, "href": address(path, self.path.parent)}


@dataclass(frozen=True)
class BeforePublishing:
    """A transfer of remote files that makes the thumbnails of a photo before its files are deleted from this machine.

    Attributes:
        transfer: the transfer.
        page: the report.
    """

    transfer: Transfer
    page: ReportPage

    def fetch(self, job: Job) -> None:
        """Bring the files of a job."""
        self.transfer.fetch(job)

    def publish(self, job: Job) -> None:
        """Make the thumbnails of a job and store its results."""
        self.page.add(job)
        self.transfer.publish(job)


def run_settings(runner: Runner, **others: str | None) -> dict[str, str]:
    """Return the settings of a run that the page lists; `others` are added, except None."""
    options = {name: value for name, value in runner.options.options.items() if name not in runner.models}
    engine = runner.engine
    settings = {
        "recipe": runner.recipe.name,
        "options": ", ".join(f"{name} {shortened(value)}" for name, value in options.items()),
        **{name: shortened(model, 300) for name, model in runner.models.items() if model is not None},
        "engine": f"{engine.device}, {engine.precision}" + ("" if engine.tile is None else f", tile {engine.tile}"),
        "versions": f"restorekit {version('restorekit')}, torch {torch.__version__}",
    }
    return {name: value for name, value in (settings | others).items() if value}


def report_path(wanted: bool | str | Path, plan: Plan, *, overwrite: bool) -> Path | None:
    """Return the file of the report of a run; None if there is to be none.

    wanted: whether there is to be a report, `report.html` in the folder that all results share; or the file to write.
    overwrite: whether to replace a file that is not a report.

    Raises OptionError if the file is not allowed, and ImageError if it cannot be written.
    """
    if wanted is False:
        return None
    if wanted is not True and is_url(str(wanted)):
        raise OptionError(f"--report: found the URL {wanted}, allowed: True, for {NAME} beside the results, or a path")
    path = _common_folder(plan) / NAME if wanted is True else Path(wanted)
    if path.suffix.lower() not in SUFFIXES:
        raise OptionError(f"--report: found {path}, allowed: a file that ends with {' or '.join(SUFFIXES)}")
    if path.is_dir():
        raise OptionError(f"--report: {path} is a folder, allowed: a file")
    if url_of(path) is None:
        check_writable(path)
    else:
        from restorekit.run.remote_store import download

        download(path)
    check_replaceable(path, overwrite)
    return path


def check_replaceable(path: Path, overwrite: bool) -> None:
    """Raise ImageError if a file exists that is not a report, unless it is to be overwritten."""
    try:
        with path.open("rb") as file:
            found = file.read(len(MARK))
    except FileNotFoundError:
        return
    except OSError as error:
        raise ImageError(f"--report: {path}: cannot be read ({error.strerror or error})") from error
    if found and found != MARK.encode() and not overwrite:
        raise ImageError(f"--report: {path}: exists, but is not a report of restorekit; --overwrite replaces it")


def _common_folder(plan: Plan) -> Path:
    """Return the folder that all results share."""
    folders = list(dict.fromkeys(target.parent for job in plan.jobs for target in job.targets))
    if len(folders) == 1:
        return folders[0]
    try:
        common = Path(os.path.commonpath([os.path.normpath(folder.absolute()) for folder in folders]))
    except ValueError:  # several drives
        common = Path(os.sep)
    if common.parent == common or any(recorded_name(folder, common) for folder in folders):
        raise OptionError("--report: the results have no common folder; allowed: with --output")
    is_below = common.is_relative_to(Path.cwd()) and not any(folder.is_absolute() for folder in folders)
    return common.relative_to(Path.cwd()) if is_below else common


def _names(paths: Sequence[Path]) -> dict[Path, str]:
    """Return the paths without the folders that all of them share; URLs as a whole."""
    urls = {path: url for path in paths if (url := url_of(path)) is not None}
    local = [path for path in dict.fromkeys(paths) if path not in urls]
    try:
        common = os.path.commonpath([path.absolute().parent for path in local]) if local else ""
        names = {path: os.path.relpath(path.absolute(), common) for path in local}
    except ValueError:  # several drives
        names = {path: str(path) for path in local}
    return {path: printable(name) for path, name in (urls | names).items()}


def _notes_by_photo(notes: Iterable[str], photos: Mapping[Path, str]) -> dict[Path, list[str]]:
    """Return the notes of a report, which start with the path of the photo, by photo."""
    texts = {str(photo): photo for photo in photos}
    found: dict[Path, list[str]] = {}
    for note in notes:
        start = note.find(": ")
        while start >= 0 and note[:start] not in texts:
            start = note.find(": ", start + 1)
        if start >= 0:
            found.setdefault(texts[note[:start]], []).append(note[start + 2 :])
    return found


def _records(job: Job, manifests: dict[Path, Manifest]) -> Iterator[Record]:
    """Yield the last record of every result of a photo."""
    for target in job.targets:
        manifest = manifests.setdefault(target.parent, Manifest(target.parent))
        try:
            found = [record for record in manifest.records(target.name) if record.error is None]
        except OSError:
            continue
        yield from found[-1:]


def _shown(text: str) -> str:
    return printable(with_urls(text))


def _error(path: Path, error: str) -> str:
    """Return an error message without the path of its photo, whose name is beside it."""
    return _shown(error.removeprefix(f"{path}: "))


def _totals(entries: Sequence[Entry], stopped: str, problem: str) -> dict[str, str]:
    """Return texts on the numbers of photos by state, on the time, and on what went wrong."""
    counts = {state: sum(entry.state == state for entry in entries) for state in STATES}
    seconds = sum(entry.seconds or 0 for entry in entries if entry.state == "restored")
    totals = {state: f"{count} {text}" for (state, text), count in zip(STATES.items(), counts.values(), strict=True)}
    totals = {state: text for state, text in totals.items() if counts[state]}
    if seconds:
        totals["seconds"] = f"{seconds:,.1f} s of restoration"
    return totals | {name: text for name, text in (("stopped", stopped), ("problem", problem)) if text}
