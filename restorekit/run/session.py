"""A run from its request: photos and options as the caller names them, on this machine, on a cluster or at URLs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from restorekit.core.files import IMAGE_SUFFIXES
from restorekit.core.options import ModelOption
from restorekit.core.recipe import Recipe
from restorekit.errors import OptionError, unknown
from restorekit.models.registry import pinned
from restorekit.run.engine import Precision, make_engine
from restorekit.run.mirror import Paths, is_url, local_path, with_urls
from restorekit.run.observer import Observe, unobserved
from restorekit.run.plan import Job, Plan, plan_jobs
from restorekit.run.results import planned
from restorekit.run.runner import Runner
from restorekit.run.settings import RunReport, Settings, check_choice

if TYPE_CHECKING:
    from restorekit.run.remote import RemoteRun
    from restorekit.run.transfer import Transfer

EngineName = Literal["local", "ray"]


@dataclass(frozen=True)
class Request:
    """What a run is to do.

    Attributes:
        recipe: the recipe.
        inputs: photos, folders, patterns and URLs.
        output: file, folder or URL to write; None for a folder beside the input.
        model: the prior, as `load_prior` accepts it; None for the default of the recipe.
        options: options of the recipe by name; side images are paths, folders or URLs.
        settings: settings of the run.
        samples: number of results per photo.
        format: output format, such as "png"; None for the format of each photo.
        exclude: patterns of photos to leave out.
        device, precision, tile, compile: see `make_engine`.
        engine: "local", or "ray" for a Ray cluster.
        workers: number of workers of a Ray cluster; None for the default.
        report: whether to write an HTML report; or the file to write. See `report_path`.
        command: the command line, which the report states; "" if there is none.
    """

    recipe: Recipe
    inputs: tuple[str | Path, ...]
    output: str | Path | None = None
    model: Any = None
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: Settings = field(default_factory=Settings)
    samples: int = 1
    format: str | None = None
    exclude: Sequence[str] = ()
    device: str = "auto"
    precision: Precision = "auto"
    tile: int | None = None
    compile: bool = False
    engine: EngineName = "local"
    workers: int | None = None
    report: bool | str | Path = False
    command: str = ""

    def __post_init__(self) -> None:
        check_choice(self.engine, EngineName, "engine")
        if self.settings.uncertainty and self.samples < 2:
            raise OptionError(f"--uncertainty: found --samples {self.samples}, allowed: --samples 2 or more")

    @property
    def side_images(self) -> dict[str, str | Path]:
        """The given side images by name."""
        found = {p.name: self.options.get(p.name) for p in self.recipe.side_images}
        return {name: side for name, side in found.items() if side is not None}


@dataclass(frozen=True)
class Session:
    """A request whose photos are known.

    Attributes:
        request: the request, with local side images, and with the commits of models of the Hub.
        plan: the photos and their targets.
        remote: the remote files of the run; None if there are none.
        report: the HTML report to write; None if there is to be none.
    """

    request: Request
    plan: Plan
    remote: RemoteRun | None
    report: Path | None = None

    def runner(self, *, dry_run: bool = False) -> Runner:
        """Return the runner; raise OptionError if an option is not allowed.

        dry_run: whether nothing will be restored.
        """
        request = self.request
        if request.engine == "local" and request.workers is not None:
            raise OptionError("--workers requires --engine ray")
        if request.engine == "local" or dry_run:
            engine = make_engine(request.device, request.precision, request.tile, request.compile)
        else:  # the runner only validates the options; this machine may have no GPU
            engine = make_engine("cpu", request.precision, request.tile)
        return Runner(request.recipe, request.model, request.options, engine)

    def states(self, runner: Runner) -> list[str]:
        """Return what the run would do with every photo; see `planned`."""
        return planned(self.plan.jobs, runner, self.request.settings, self._transfer())

    def restore(
        self,
        runner: Runner,
        on_done: Callable[[Job], None] = lambda job: None,
        observe: Observe = unobserved,
    ) -> RunReport:
        """Restore the photos; see `run_jobs`. Photos that are restored on a Ray cluster are not observed."""
        if self.report is None:
            return self._restore(runner, on_done, observe, self._transfer())
        from restorekit.run.report_page import BeforePublishing, ReportPage, run_settings
        from restorekit.run.thumbnails import Thumbnails

        request, transfer = self.request, self._transfer()
        sides = {name: with_urls(str(path)) for name, path in request.side_images.items()}
        settings = run_settings(runner, seed=str(request.settings.seed), command=request.command, **sides)
        with Thumbnails(len(self.plan.jobs)) as thumbnails:
            page = ReportPage(self.report, self.plan, settings, thumbnails)

            def done(job: Job) -> None:
                page.add(job)
                on_done(job)

            if transfer is None:
                report = self._restore(runner, done, observe, None)
            else:
                report = self._restore(runner, on_done, observe, BeforePublishing(transfer, page))
            page.finish(report)
        return report

    def _restore(
        self, runner: Runner, on_done: Callable[[Job], None], observe: Observe, transfer: Transfer | None
    ) -> RunReport:
        request = self.request
        if request.engine == "local":
            from restorekit.run.folder import run_jobs

            report = run_jobs(self.plan, runner, request.settings, on_done, transfer, observe)
        else:
            from restorekit.run.ray_engine import run_jobs_on_ray
            from restorekit.run.ray_worker import describe

            engine = {name: getattr(request, name) for name in ("device", "precision", "tile", "compile")}
            description = describe(request.recipe, request.model, request.options, **engine)
            report = run_jobs_on_ray(
                self.plan, description, request.settings, on_done, transfer, workers=request.workers
            )
        if self.remote is not None:
            report.failed += self.remote.finish(self.plan)
        return report

    def _transfer(self) -> Transfer | None:
        return None if self.remote is None else self.remote.transfer(self.plan)


@contextlib.contextmanager
def open_session(request: Request) -> Iterator[Session]:
    """Find the photos of a request; yield the session, whose temporary files are deleted at the end."""
    with _local_paths(request) as (paths, remote):
        plan = plan_jobs(
            paths.inputs,
            paths.output,
            request.recipe,
            paths.side_images,
            samples=request.samples,
            suffix=None if request.format is None else suffix_of(request.format),
            exclude=request.exclude,
        )
        report = _report(request, plan, remote)
        request = _pinned(replace(request, options={**request.options, **paths.side_images}))
        yield Session(request, plan, remote, report)


def _report(request: Request, plan: Plan, remote: RemoteRun | None) -> Path | None:
    """Return the HTML report of a run; None if there is to be none."""
    if request.report is False:
        return None
    from restorekit.run.report_page import report_path

    if remote is not None and request.engine != "local":
        raise OptionError("--report: found --engine ray with URLs, allowed: --engine local, or files of shared folders")
    return report_path(request.report, plan, overwrite=request.settings.overwrite)


def _pinned(request: Request) -> Request:
    """Return the request with the commits of models of the Hub, so that all runners load what the records state."""
    models = [p.name for p in request.recipe.options if isinstance(p.spec, ModelOption) and p.name in request.options]
    options = {**request.options, **{name: pinned(request.options[name]) for name in models}}
    model = request.model if request.recipe.model is None else pinned(request.model)
    return replace(request, model=model, options=options)


@contextlib.contextmanager
def _local_paths(request: Request) -> Iterator[tuple[Paths, RemoteRun | None]]:
    """Yield the paths of the run, and its remote files if there are any."""
    inputs = [str(text) for text in request.inputs]
    output = None if request.output is None else str(request.output)
    side_images = {name: str(text) for name, text in request.side_images.items()}
    if not any(map(is_url, (*inputs, *side_images.values(), output or ""))):
        sides = {name: local_path(text) for name, text in side_images.items()}
        yield Paths([*map(local_path, inputs)], None if output is None else local_path(output), sides), None
        return
    from restorekit.run.remote import RemoteRun

    with RemoteRun() as remote:
        yield remote.paths(inputs, output, side_images), remote


def suffix_of(name: str) -> str:
    """Return the file suffix of a format; OptionError if it is unknown."""
    suffix = "." + name.lower().lstrip(".")
    if suffix not in IMAGE_SUFFIXES:
        raise OptionError(unknown("format", name, [s[1:] for s in IMAGE_SUFFIXES], "--format"))
    return suffix
