"""The part of the page with the photos of a visitor and the editor of their masks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import gradio as gr

from restorekit.core.options import MaskChannel
from restorekit.errors import RestorekitError
from restorekit.plugins.discovery import recipes
from restorekit.run.side_images import Reading
from restorekit.ui.components import drop, file_button
from restorekit.ui.masks import COLOUR, OPACITY, forget, layer_of, load_mask, mask_parameter, remember
from restorekit.ui.theme import QUIET, counted, status_html
from restorekit.ui.visitor import PREVIEW_SIDE, Visitor, Visitors

# The radius of the brush at first, as a fraction of the long side.
STROKES = 100


class PhotoPanel:
    """Builds the part within the current block.

    Arguments:
        visitors: the visitors of the server.
    """

    def __init__(self, visitors: Visitors) -> None:
        self.visitors = visitors
        self.drop = drop(label="Photos: drop them here or click", file_count="multiple", height=130, elem_id="photos")
        with gr.Row():
            self.photo = gr.Radio([], label="Photo", visible=False, elem_id="rk-photos", scale=4)
            self.remove = gr.Button("Remove photos", visible=False, size="sm", scale=1, min_width=120)
        self.preview = gr.Image(label="Photo", visible=False, interactive=False, height=420, buttons=["fullscreen"])
        self.editor = gr.ImageEditor(
            label="Mask",
            visible=False,
            sources=(),
            transforms=(),
            layers=False,
            height=460,
            brush=brush(),
            buttons=["fullscreen"],
            elem_id="mask-editor",
        )
        with gr.Group(visible=False) as self.mask_tools:
            with gr.Row():
                self.load_mask = file_button("Load a mask file", size="sm", min_width=140)
                self.clear_mask = gr.Button("Remove the mask", size="sm", min_width=140)
            self.invert = gr.Checkbox(label="Invert mask", info="Fill all pixels except the painted ones.")
            with gr.Accordion("How a mask file is read", open=False):
                self.channel = gr.Dropdown(
                    list(get_args(MaskChannel)), value="auto", label="Mask channel", filterable=False
                )
                self.resize = gr.Checkbox(label="Resize mask")

    @property
    def outputs(self) -> list[Any]:
        """The components that `updates` updates."""
        return [self.photo, self.remove, self.preview, self.editor, self.mask_tools]

    @property
    def readings(self) -> list[Any]:
        """The components that state how a mask is read: whether it is inverted, the channel, whether it is resized."""
        return [self.invert, self.channel, self.resize]

    def connect(self, recipe: Any, status: Any) -> None:
        """Handle the events.

        recipe: the component that names the recipe. status: the component with the status line.
        """
        shown = [*self.outputs, status]
        self.drop.upload(self._add, [self.drop, recipe, self.editor], [self.drop, *shown], **QUIET)
        self.photo.input(self._choose, [self.photo, recipe, self.editor], shown, **QUIET)
        self.remove.click(self._remove, recipe, shown, **QUIET)
        reading = [self.channel, self.resize]
        self.load_mask.upload(self._load_mask, [self.load_mask, recipe, *reading], shown, **QUIET)
        self.clear_mask.click(self._clear_mask, recipe, shown, **QUIET)

    def remember(self, visitor: Visitor, editor: Mapping[str, Any] | None) -> None:
        """Store the mask that the editor shows."""
        if visitor.upload is not None:
            remember(visitor.upload, editor)

    def updates(self, visitor: Visitor, recipe: str) -> list[Any]:
        """Return the updates of `outputs`: the current photo, with the editor of masks if the recipe has one."""
        upload, count = visitor.upload, len(visitor.uploads)
        choices = [(f"{i + 1}. {u.name}" if count > 1 else u.name, i) for i, u in enumerate(visitor.uploads)]
        mask = mask_parameter(recipes()[recipe])
        label = "Photo" if upload is None else f"{upload.name}, {upload.size[0]} x {upload.size[1]} pixels"
        is_editing = mask is not None and upload is not None
        value: Any = None
        if upload is not None:
            layers = [] if upload.painted is None else [layer_of(upload.painted)]
            value = {"background": str(upload.preview), "layers": layers, "composite": None}
        return [
            gr.Radio(choices=choices, value=visitor.current, visible=count > 1),
            gr.Button(visible=count > 0),
            gr.Image(
                value=None if upload is None else str(upload.preview),
                label=label,
                visible=upload is not None and not is_editing,
            ),
            gr.ImageEditor(
                value=value if is_editing else None,
                label=f"Mask of {label}",
                visible=is_editing,
                brush=brush(PREVIEW_SIDE if upload is None else max(upload.preview_size)),
            ),
            gr.Group(visible=is_editing),
        ]

    def _add(self, files: list[tuple[Path, str]], recipe: str, editor: Any, request: gr.Request) -> list[Any]:
        visitor = self.visitors.of(request)
        self.remember(visitor, editor)
        problems, first = [], len(visitor.uploads)
        for file, name in files:
            try:
                visitor.add(file, name)
            except RestorekitError as error:
                problems.append(str(error))
        added = len(visitor.uploads) - first
        if added:
            visitor.current = first
        text = status_html(counted(added, "photo") + " added.") if added else ""
        if problems:
            text = status_html(problems[0], error=True, items=tuple(problems[1:]))
        return [None, *self.updates(visitor, recipe), text]

    def _choose(self, index: int, recipe: str, editor: Any, request: gr.Request) -> list[Any]:
        visitor = self.visitors.of(request)
        self.remember(visitor, editor)
        visitor.current = index
        return [*self.updates(visitor, recipe), ""]

    def _remove(self, recipe: str, request: gr.Request) -> list[Any]:
        visitor = self.visitors.of(request)
        visitor.clear()
        return [*self.updates(visitor, recipe), status_html("The photos were removed.")]

    def _load_mask(
        self, files: list[tuple[Path, str]], recipe: str, channel: str, resized: bool, request: gr.Request
    ) -> list[Any]:
        visitor, mask = self.visitors.of(request), mask_parameter(recipes()[recipe])
        upload = visitor.upload
        assert upload is not None
        assert mask is not None
        try:
            file = visitor.take(*files[0])
            notes = load_mask(upload, file, mask, Reading(False, channel, resized))  # type: ignore[arg-type]
            text = status_html(f"{file.name} is the mask of {upload.name}.", items=tuple(notes))
        except RestorekitError as error:
            text = status_html(visitor.plain(str(error)), error=True)
        return [*self.updates(visitor, recipe), text]

    def _clear_mask(self, recipe: str, request: gr.Request) -> list[Any]:
        visitor = self.visitors.of(request)
        if visitor.upload is not None:
            forget(visitor.upload)
        return [*self.updates(visitor, recipe), ""]


def brush(side: int = PREVIEW_SIDE) -> gr.Brush:
    """Return the brush for a preview with that long side, at first as narrow as a scratch."""
    colour = "#{:02x}{:02x}{:02x}".format(*COLOUR), OPACITY / 255
    return gr.Brush(default_size=max(2, side // STROKES), colors=[colour], color_mode="fixed")
