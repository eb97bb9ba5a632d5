"""The tab that restores photos which visitors drop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from restorekit.errors import OptionError, RestorekitError
from restorekit.models.listing import listed_models
from restorekit.plugins.discovery import recipes
from restorekit.ui.access import Access
from restorekit.ui.components import stop_on_click
from restorekit.ui.form import check_listed
from restorekit.ui.forms import OutputFields, about, build_forms, recipe_field
from restorekit.ui.jobs import Job
from restorekit.ui.masks import mask_parameter
from restorekit.ui.order import Order, make_order, photo_orders
from restorekit.ui.photo_panel import PhotoPanel
from restorekit.ui.restoring import Restoration, restore_photos
from restorekit.ui.result_panel import ResultPanel
from restorekit.ui.theme import QUIET, counted, status_html, waiting_html
from restorekit.ui.visitor import Visitor, Visitors


class RestoreTab:
    """Builds the tab within the current block and handles its events.

    Arguments:
        visitors: the visitors of the server.
        access: what they may do.
        device: device on which photos are restored.
    """

    def __init__(self, visitors: Visitors, access: Access, device: str) -> None:
        self.visitors, self.access, self.device = visitors, access, device
        self.models = listed_models()
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=320):
                self.recipe, self.about = recipe_field("recipe")
                self.photos = PhotoPanel(visitors)
                with gr.Accordion("Options", open=True):
                    self.forms = build_forms("restore", self.models, paths=False, local=access.is_local)
                with gr.Accordion("Output", open=False), gr.Row(elem_classes="rk-fields"):
                    self.output = OutputFields("restore")
            with gr.Column(scale=6, min_width=320):
                with gr.Row():
                    self.run = gr.Button("Restore", variant="primary", elem_id="run")
                    self.stop = gr.Button("Stop", variant="stop", interactive=False, elem_id="stop")
                self.status = gr.HTML(status_html("Drop a photo to begin."), elem_id="status", padding=False)
                self.estimate = gr.Image(
                    label="Estimate so far",
                    visible=False,
                    interactive=False,
                    height=420,
                    buttons=[],
                    elem_id="estimate",
                )
                self.results = ResultPanel(visitors)
        self._connect()

    def _connect(self) -> None:
        self.photos.connect(self.recipe, self.status)
        shown = [self.about, self.output.samples, *self.photos.outputs, *self.forms.blocks]
        self.recipe.change(self._change_recipe, [self.recipe, self.photos.editor], shown, **QUIET)
        for upload in self.forms.files:
            upload.upload(self._keep, upload, upload, **QUIET)
        values = [*self.output.inputs, *self.photos.readings, *self.forms.inputs]
        running = [self.run, self.stop, self.status, self.estimate, *self.results.outputs]
        self.run.click(self._run, [self.recipe, self.photos.editor, *values], running, concurrency_limit=None, **QUIET)
        stop_on_click(self.stop, self.visitors)

    def _change_recipe(self, name: str, editor: Any, request: gr.Request) -> list[Any]:
        visitor = self.visitors.of(request)
        self.photos.remember(visitor, editor)
        blocks = [gr.Column(visible=other == name) for other in self.forms.by_name]
        samples = gr.Number(visible=recipes()[name].samples)
        return [about(recipes()[name]), samples, *self.photos.updates(visitor, name), *blocks]

    def _keep(self, files: list[tuple[Path, str]], request: gr.Request) -> str | None:
        """Move a file of an option to the folder of the visitor."""
        return str(self.visitors.of(request).take(*files[0])) if files else None

    def _order(self, name: str, values: Sequence[Any], visitor: Visitor) -> Order:
        """Return what the form asks for; RestorekitError if a value is not allowed.

        values: those of the fields of the output, of how the mask is read, and of the forms.
        """
        recipe, count = recipes()[name], len(self.output.inputs)
        output, (inverted, channel, resized), form = values[:count], values[count : count + 3], values[count + 3 :]
        given = self.forms.values(name, form)
        for key, value in given.items():
            if isinstance(value, list):  # files
                given[key] = value[0][0]
                if not given[key].resolve().is_relative_to(visitor.folder):
                    raise OptionError(f"{name} {key}: the file is no longer on the server; drop it again")
        if not self.access.is_local:
            check_listed(recipe, given, self.models)
        mask = mask_parameter(recipe)
        if mask is not None:
            given[f"invert_{mask.name}"] = inverted
            given |= {f"{mask.name}_channel": channel, f"resize_{mask.name}": resized}
        return make_order(recipe, given, self.output.values(output))

    async def _run(self, request: gr.Request, name: str, editor: Any, *values: Any) -> AsyncIterator[list[Any]]:
        """Restore the photos, with updates of `running` in `_connect`."""
        visitor = self.visitors.of(request)
        idle, busy = ([gr.Button(interactive=not is_busy), gr.Button(interactive=is_busy)] for is_busy in (False, True))
        if mask_parameter(recipes()[name]) is not None:
            self.photos.remember(visitor, editor)
        try:
            order = self._order(name, values, visitor)
            # Masks are scaled to the size of the photo.
            orders = await asyncio.to_thread(photo_orders, visitor, order, self.device)
        except RestorekitError as error:
            unchanged = [gr.skip()] * len(self.results.outputs)
            yield [*idle, status_html(visitor.plain(str(error)), error=True), gr.Image(visible=False), *unchanged]
            return
        job = Job(lambda job: restore_photos(job, visitor, orders))
        self.visitors.start(visitor, job)
        shown: Path | None = None
        try:
            async for _ in job.changes():
                if job.is_finished:
                    break
                estimate: Any = gr.skip()
                if job.progress.estimate != shown:
                    shown = job.progress.estimate
                    estimate = gr.Image(value=None if shown is None else str(shown), visible=shown is not None)
                yield [*busy, waiting_html(self.visitors.queue, job), estimate, *self.results.hidden()]
        finally:
            if not job.is_finished:
                self.visitors.queue.stop(job)
        visitor.restored, visitor.sample = [] if job.result is None else list(job.result.photos), 0
        shown_results = self.results.updates(visitor.restored, 0) if visitor.restored else self.results.hidden()
        yield [*idle, outcome_html(job, visitor), gr.Image(value=None, visible=False), *shown_results]


def outcome_html(job: Job, visitor: Visitor) -> str:
    """Return the status line of a finished job."""
    found: Restoration | None = job.result
    if found is None:
        text = visitor.plain(job.error) if job.state == "failed" else "Stopped; nothing was written."
        return status_html(text, error=job.state == "failed")
    seconds = sum(photo.seconds for photo in found.photos)
    duration = f"{seconds:.1f} s" if seconds < 60 else f"{seconds / 60:.1f} min"
    text = f"{counted(len(found.photos), 'photo')} restored in {duration}"
    text += f", {len(found.failures)} failed" if found.failures else ""
    left = found.total - len(found.photos) - len(found.failures)
    text += f"; stopped before {counted(left, 'other photo')}" if left else ""
    return status_html(text, error=bool(found.failures), items=found.failures)
