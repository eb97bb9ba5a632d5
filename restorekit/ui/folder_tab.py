"""The tab that restores a folder of the server."""

from __future__ import annotations

import html
from collections.abc import AsyncIterator, Sequence
from typing import Any, get_args

import gradio as gr

from restorekit.errors import RestorekitError
from restorekit.models.listing import listed_models
from restorekit.plugins.discovery import recipes
from restorekit.run.settings import OnChange
from restorekit.ui.access import Access
from restorekit.ui.components import stop_on_click
from restorekit.ui.folders import FolderOrder, FolderReport, Planned, plan_folder, restore_folder
from restorekit.ui.form import check_listed
from restorekit.ui.forms import OutputFields, about, build_forms, recipe_field
from restorekit.ui.jobs import Job
from restorekit.ui.order import make_order
from restorekit.ui.theme import QUIET, counted, status_html, waiting_html
from restorekit.ui.visitor import Visitors

# Largest number of photos, failures and notes that the page lists.
MAX_ROWS = 500
ON_CHANGE = "Results made from another photo, or with other options or models."


class FolderTab:
    """Builds the tab within the current block and handles its events.

    Arguments:
        visitors: the visitors of the server.
        access: what they may do.
        device: device on which photos are restored.
    """

    def __init__(self, visitors: Visitors, access: Access, device: str) -> None:
        self.visitors, self.access, self.device = visitors, access, device
        self.models = listed_models()
        roots = "" if access.roots is None else f" Allowed: in {', '.join(map(str, access.roots))}."
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=320):
                self.recipe, self.about = recipe_field("folder-recipe")
                self.source = gr.Textbox(
                    label="Source", info=f"Folder with photos on this machine; subfolders too.{roots}",
                    max_lines=1, elem_id="folder-source",
                )  # fmt: skip
                self.target = gr.Textbox(
                    label="Target", info="Folder for the results. Empty: SOURCE-RECIPE, next to the source.",
                    max_lines=1, elem_id="folder-target",
                )  # fmt: skip
                with gr.Accordion("Options", open=True):
                    self.forms = build_forms("folder", self.models, paths=True, local=access.is_local)
                with gr.Accordion("Output", open=False), gr.Row(elem_classes="rk-fields"):
                    self.output = OutputFields("folder")
                    self.on_change = gr.Dropdown(
                        list(get_args(OnChange)), value="redo", label="On change", info=ON_CHANGE, min_width=140,
                        filterable=False,
                    )  # fmt: skip
            with gr.Column(scale=6, min_width=320):
                with gr.Row(elem_classes="rk-buttons"):
                    self.plan = gr.Button("Plan", elem_id="folder-plan")
                    self.run = gr.Button("Restore", variant="primary", elem_id="folder-run")
                    self.stop = gr.Button("Stop", variant="stop", interactive=False, elem_id="folder-stop")
                self.status = gr.HTML(
                    status_html("Name a folder. Plan shows what would be done; nothing is written."),
                    elem_id="folder-status",
                    padding=False,
                )
                self.table = gr.HTML(elem_id="folder-table", elem_classes="rk-table", padding=False)
        self._connect()

    def _connect(self) -> None:
        values = [self.source, self.target, self.on_change, *self.output.inputs]
        inputs = [self.recipe, *values, *self.forms.inputs]
        running = [self.plan, self.run, self.stop, self.status, self.table]
        shown = [self.about, self.output.samples, *self.forms.blocks]
        self.recipe.change(self._change_recipe, self.recipe, shown, **QUIET)
        self.plan.click(self._plan, inputs, running, concurrency_limit=None, **QUIET)
        self.run.click(self._run, inputs, running, concurrency_limit=None, **QUIET)
        stop_on_click(self.stop, self.visitors)

    def _change_recipe(self, name: str) -> list[Any]:
        recipe = recipes()[name]
        blocks = [gr.Column(visible=other == name) for other in self.forms.by_name]
        return [about(recipe), gr.Number(visible=recipe.samples), *blocks]

    def _order(self, name: str, values: Sequence[Any]) -> FolderOrder:
        (source, target, on_change), count = values[:3], 3 + len(self.output.inputs)
        recipe, common = recipes()[name], self.output.values(values[3:count])
        given = self.forms.values(name, values[count:])
        if not self.access.is_local:
            check_listed(recipe, given, self.models)
        return FolderOrder(make_order(recipe, given, common), source or "", target or "", on_change)

    async def _plan(self, request: gr.Request, name: str, *values: Any) -> AsyncIterator[list[Any]]:
        async for update in self._work(name, values, request, restore=False):
            yield update

    async def _run(self, request: gr.Request, name: str, *values: Any) -> AsyncIterator[list[Any]]:
        async for update in self._work(name, values, request, restore=True):
            yield update

    async def _work(
        self, name: str, values: Sequence[Any], request: gr.Request, *, restore: bool
    ) -> AsyncIterator[list[Any]]:
        """Plan or restore in the queue, with updates of `running` in `_connect`."""
        visitor = self.visitors.of(request)
        idle = [gr.Button(interactive=True), gr.Button(interactive=True), gr.Button(interactive=False)]
        busy = [gr.Button(interactive=False), gr.Button(interactive=False), gr.Button(interactive=True)]
        try:
            order = self._order(name, values)
        except RestorekitError as error:
            yield [*idle, status_html(str(error), error=True), ""]
            return
        work = restore_folder if restore else lambda job, *rest: plan_folder(*rest)
        job = Job(lambda job: work(job, order, self.access, self.device))
        self.visitors.start(visitor, job)
        try:
            async for _ in job.changes():
                if not job.is_finished:
                    yield [*busy, waiting_html(self.visitors.queue, job), gr.skip()]
        finally:
            if not job.is_finished:
                self.visitors.queue.stop(job)
        yield [*idle, *outcome(job)]


def outcome(job: Job) -> tuple[str, str]:
    """Return the status line and the table of a finished job."""
    found: Planned | FolderReport | None = job.result
    if found is None:
        failed = job.state == "failed"
        return status_html(job.error if failed else "Stopped; nothing was restored.", error=failed), ""
    if isinstance(found, Planned):
        text = f"{counted(len(found.rows), 'photo')}; nothing was written"
        items = (f"left out: {found.skipped}",) if found.skipped else ()
        return status_html(text, items=items), _table(("What", "Photo", "Result"), found.rows)
    rows = [("failed", line) for line in found.failures] + [("note", line) for line in found.notes]
    rows += [("left out", found.skipped)] if found.skipped else []
    return status_html(found.text, error=bool(found.failures)), _table(("What", "Photo"), rows) if rows else ""


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return the first rows as an HTML table."""
    head = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in header)
    lines = ["".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows[:MAX_ROWS]]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    more = f"<p>and {len(rows) - MAX_ROWS} more</p>" if len(rows) > MAX_ROWS else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"
