"""Gradio components of the fields of a form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr
from gradio.data_classes import FileData, ListFiles

from restorekit.ui.form import SLIDER_STEPS, Field
from restorekit.ui.theme import QUIET
from restorekit.ui.visitor import Visitors

# A choice of more values can be searched.
MANY = 8

T = TypeVar("T", bound=gr.components.Component)


def _reading(component: T, read: Callable[[Any], Any]) -> T:
    """Return the component, whose value in events is `read(payload)`.

    A subclass would do the same, but Gradio writes a stub file next to every module with a subclass of its components.
    """
    component.preprocess = read  # type: ignore[method-assign,assignment]
    return component


def _files(payload: ListFiles | FileData | None) -> list[tuple[Path, str]]:
    """Return the uploaded files with their original names, which Gradio changes in the path."""
    files = [] if payload is None else payload if isinstance(payload, ListFiles) else [payload]
    return [(Path(file.path), file.orig_name or Path(file.path).name) for file in files]


def _plain_number(payload: float | None) -> float | int | None:
    """Return the number; an integer without fraction is an int. The recipe validates it."""
    return int(payload) if isinstance(payload, float) and payload.is_integer() else payload


def drop(**common: Any) -> gr.File:
    """Return a field for files, whose value is a list of (file, name that the browser states)."""
    return _reading(gr.File(**common), _files)


def file_button(text: str, **common: Any) -> gr.UploadButton:
    """Return a button for one file, whose value is that of `drop`."""
    return _reading(gr.UploadButton(text, **common), _files)


def number(value: float | None = None, **common: Any) -> gr.Number:
    """Return a field for a number, whose range the recipe validates, so that the message is that of the command."""
    return _reading(gr.Number(value, **common), _plain_number)


def _number(field: Field, **common: Any) -> gr.components.Component:
    return number(field.default, **common)


def _slider(field: Field, **common: Any) -> gr.components.Component:
    step = (field.high - field.low) / SLIDER_STEPS
    return _reading(gr.Slider(field.low, field.high, field.default, step=step, **common), _plain_number)


def _flag(field: Field, **common: Any) -> gr.components.Component:
    return gr.Checkbox(bool(field.default), **common)


def _choice(field: Field, **common: Any) -> gr.components.Component:
    return gr.Dropdown(list(field.choices), value=field.default, filterable=len(field.choices) > MANY, **common)


def _entry(field: Field, **common: Any) -> gr.components.Component:
    return gr.Dropdown(list(field.choices), value=field.default, allow_custom_value=True, **common)


def _file(field: Field, **common: Any) -> gr.components.Component:
    label = f"{common.pop('label')}: {common.pop('info')}"
    return drop(label=label, height=110, **common)


def _text(field: Field, **common: Any) -> gr.components.Component:
    return gr.Textbox(field.default, max_lines=1, **common)


BUILDERS: dict[str, Callable[..., gr.components.Component]] = {
    "number": _number,
    "slider": _slider,
    "flag": _flag,
    "choice": _choice,
    "entry": _entry,
    "file": _file,
    "path": _text,
    "text": _text,
}


def component(field: Field, prefix: str) -> gr.components.Component:
    """Return the component of a field, within the current block.

    prefix: start of the identifier of its element, such as the name of the recipe.
    """
    name = f"{prefix}-{field.name}".replace("_", "-")
    common = {"label": field.label, "info": field.help, "elem_id": name, "interactive": True, "min_width": 210}
    return BUILDERS[field.kind](field, **common)


def stop_on_click(button: gr.Button, visitors: Visitors) -> None:
    """Let a button stop the job of the visitor who clicks it."""

    def stop(request: gr.Request) -> None:
        job = visitors.of(request).job
        if job is not None:
            visitors.queue.stop(job)

    button.click(stop, None, None, queue=False, **QUIET)
