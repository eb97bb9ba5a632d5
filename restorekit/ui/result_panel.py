"""The part of the page with the restored photos of a visitor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from restorekit.ui.theme import QUIET, counted, links_html, status_html
from restorekit.ui.visitor import Restored, Visitors

WHOLE, DETAIL = "Whole photo", "Detail at full size"


class ResultPanel:
    """Builds the part within the current block, and handles its events.

    Arguments:
        visitors: the visitors of the server.
    """

    def __init__(self, visitors: Visitors) -> None:
        self.visitors = visitors
        with gr.Column(visible=False, elem_id="results") as self.results:
            self.shown = gr.Radio([], label="Result", visible=False, elem_id="rk-results")
            self.slider = gr.ImageSlider(
                label="Before | after", interactive=False, max_height=620, buttons=["fullscreen"], elem_id="slider"
            )
            self.divider = gr.Slider(
                0,
                100,
                50,
                step=1,
                label="Divider",
                buttons=[],
                info="For the keyboard: arrow keys move it.",
                elem_id="divider",
            )
            self.view = gr.Radio([WHOLE, DETAIL], value=WHOLE, label="View", visible=False, elem_id="view")
            self.gallery = gr.Gallery(
                label="Samples: choose one to compare", visible=False, allow_preview=False, columns=4, height="auto",
                interactive=False, buttons=[], elem_id="samples-gallery",
            )  # fmt: skip
            self.spread = gr.Image(
                visible=False, interactive=False, height=360, buttons=["fullscreen"], elem_id="spread"
            )
            self.files = gr.HTML(elem_id="files", padding=False)
            self.notes = gr.HTML(elem_id="notes", padding=False)
            self.command = gr.Textbox(
                label="The same on the command line", interactive=False, lines=2, buttons=["copy"], elem_id="command"
            )

        self.divider.input(_move, self.divider, self.slider, queue=False, **QUIET)
        self.shown.input(self._show, self.shown, self.outputs[1:], **QUIET)
        self.gallery.select(self._choose_sample, [self.shown, self.view], self.slider, **QUIET)
        self.view.input(self._choose_view, [self.shown, self.view], self.slider, **QUIET)

    @property
    def outputs(self) -> list[Any]:
        """The components that `updates` and `hidden` update."""
        parts = [self.shown, self.slider, self.view, self.gallery, self.spread, self.files, self.notes, self.command]
        return [self.results, *parts]

    def hidden(self) -> list[Any]:
        """Return updates that hide the part."""
        return [gr.Column(visible=False), *[gr.skip()] * (len(self.outputs) - 1)]

    def updates(self, photos: Sequence[Restored], number: int) -> list[Any]:
        """Return updates that show a photo."""
        return [gr.Column(visible=True), *self._shown(photos, number)]

    def _shown(self, photos: Sequence[Restored], number: int) -> list[Any]:
        """Return the updates of the results of a photo; see `outputs`."""
        photo = photos[number]
        files = photo.files if len(photos) == 1 else tuple(file for other in photos for file in other.files)
        several = len(photo.after) > 1
        return [
            gr.Radio(choices=[(p.name, i) for i, p in enumerate(photos)], value=number, visible=len(photos) > 1),
            gr.ImageSlider(value=_pair(photo, 0, WHOLE), label=f"{photo.name}: before | after"),
            gr.Radio(value=WHOLE, visible=photo.detail is not None),
            gr.Gallery(
                value=[(str(file), f"sample {i + 1}") for i, file in enumerate(photo.after)] if several else None,
                visible=several,
                selected_index=0 if several else None,
            ),
            gr.Image(
                value=None if photo.spread is None else str(photo.spread),
                label="Standard deviation of the samples, in grey levels of 255",
                visible=photo.spread is not None,
            ),
            links_html(files),
            gr.HTML(value=status_html(counted(len(photo.notes), "note"), items=photo.notes), visible=bool(photo.notes)),
            photo.command,
        ]

    def _show(self, number: int, request: gr.Request) -> list[Any]:
        visitor = self.visitors.of(request)
        visitor.sample = 0
        return self._shown(visitor.restored, number)

    def _choose_sample(self, event: gr.SelectData, number: int | None, view: str, request: gr.Request) -> Any:
        visitor = self.visitors.of(request)
        visitor.sample = int(event.index)
        return _pair(visitor.restored[number or 0], visitor.sample, view)

    def _choose_view(self, number: int | None, view: str, request: gr.Request) -> Any:
        visitor = self.visitors.of(request)
        return _pair(visitor.restored[number or 0], visitor.sample, view)


def _pair(photo: Restored, sample: int, view: str) -> tuple[str, str]:
    """Return the two images of the slider."""
    sample = min(sample, len(photo.after) - 1)
    if view == DETAIL and photo.detail is not None:
        return str(photo.detail[0]), str(photo.detail[1 + sample])
    return str(photo.before), str(photo.after[sample])


def _move(position: float) -> Any:
    return gr.ImageSlider(slider_position=position)
