"""Fonts, colours and styles of the page; nothing is loaded from another server."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr

from restorekit.ui.jobs import Job, JobQueue, Progress

SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")
# Arguments of all events: no spinners over the components, and no endpoints for programs.
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
CSS = """
.gradio-container { max-width: 1500px !important; margin: 0 auto !important; }
#rk-header { padding: 0; }
#rk-header h1 { font-size: 1.5rem; margin: .25rem 0 0; }
#rk-header p, .rk-about p { color: var(--body-text-color-subdued); margin: 0; }
#status .html-container, #folder-status .html-container, #folder-table .html-container, #files .html-container,
#notes .html-container { padding: 0; }
.rk-fields > .form > .block { min-width: min(210px, 100%) !important; }
.rk-about { padding: 0 !important; border: none !important; background: none !important; }
.rk-status { border-radius: var(--radius-lg); padding: .75rem 1rem; background: var(--background-fill-secondary);
  border: 1px solid var(--border-color-primary); overflow-wrap: anywhere; }
.rk-status p { margin: 0; font-variant-numeric: tabular-nums; }
.rk-bar { height: .5rem; margin-bottom: .6rem; border-radius: 99px; overflow: hidden;
  background: var(--border-color-primary); }
.rk-bar span { display: block; height: 100%; background: var(--color-accent); transition: width .2s; }
.rk-bar.rk-unknown span { width: 30%; animation: rk-slide 1.6s infinite ease-in-out alternate; }
@keyframes rk-slide { from { margin-left: 0; } to { margin-left: 70%; } }
@media (prefers-reduced-motion: reduce) { .rk-bar span { animation: none !important; transition: none; } }
#estimate img { width: 100%; height: 100%; object-fit: contain; }
.rk-error { border-color: var(--error-border-color); background: var(--error-background-fill); }
.rk-error p { color: var(--error-text-color); }
.rk-files { display: grid; gap: .4rem; }
.rk-files a { display: flex; justify-content: space-between; gap: 1rem; padding: .6rem .9rem; overflow-wrap: anywhere;
  border: 1px solid var(--border-color-primary); border-radius: var(--radius-lg);
  color: var(--link-text-color) !important; text-decoration: none !important; }
.rk-files a:hover { background: var(--background-fill-secondary); }
.rk-files span { color: var(--body-text-color-subdued); white-space: nowrap; }
#samples-gallery .grid-wrap { min-height: 0; height: auto; max-height: 24rem; }
.rk-status ul { margin: .25rem 0 0; padding-left: 1.2rem; }
.rk-buttons button { min-width: 6rem; }
.rk-table { overflow-x: auto; }
.rk-table table { width: 100%; border: 0 !important; border-collapse: collapse; font-size: .9rem; }
.rk-table th, .rk-table td { text-align: left; vertical-align: top; padding: .35rem .6rem; overflow-wrap: anywhere;
  border: 0 solid var(--border-color-primary) !important; border-bottom-width: 1px !important; }
.rk-table :is(th, td):first-child { min-width: 5.5rem; overflow-wrap: break-word; }
#rk-photos .wrap { gap: .4rem; }
:focus-visible { outline: 3px solid var(--color-accent) !important; outline-offset: 2px; }
@media (max-width: 640px) { .gradio-container { padding: .5rem !important; } }
"""


def make_theme() -> gr.themes.Base:
    """Return the theme: fonts of the system."""
    return gr.themes.Default(
        primary_hue="blue", secondary_hue="blue", neutral_hue="slate", font=list(SANS), font_mono=list(MONO)
    )


def status_html(
    text: str, *, progress: Progress | None = None, error: bool = False, items: tuple[str, ...] = ()
) -> str:
    """Return a line of the page that screen readers announce.

    progress: adds a bar. error: whether the line is an error message. items: further lines.
    """
    if not text:
        return ""
    bar = ""
    if progress is not None:
        percent = None if progress.fraction is None else round(100 * progress.fraction)
        value = "" if percent is None else f' aria-valuemin="0" aria-valuemax="100" aria-valuenow="{percent}"'
        kind, style = (" rk-unknown", "") if percent is None else ("", f' style="width: {percent}%"')
        bar = f'<div class="rk-bar{kind}" role="progressbar" aria-label="Progress"{value}><span{style}></span></div>'
    listed = "".join(f"<li>{html.escape(item)}</li>" for item in items)
    role = "alert" if error else "status"
    listed = f"<ul>{listed}</ul>" if listed else ""
    kind = " rk-error" if error else ""
    return f'<div class="rk-status{kind}" role="{role}">{bar}<p>{html.escape(text)}</p>{listed}</div>'


def links_html(files: Sequence[Path]) -> str:
    """Return links that download files of a visitor, with their sizes."""
    links = []
    for file in files:
        name, href = html.escape(file.name), html.escape(f"gradio_api/file={quote(str(file))}")
        links.append(f'<a href="{href}" download="{name}">Download {name}<span>{size_text(file)}</span></a>')
    return f'<div class="rk-files">{"".join(links)}</div>'


def size_text(file: Path) -> str:
    """Return the size of a file in words."""
    size = file.stat().st_size
    return f"{size / 2**20:.1f} MiB" if size >= 2**20 else f"{max(1, round(size / 2**10))} KiB"


def waiting_html(queue: JobQueue, job: Job) -> str:
    """Return the status of a job that is not finished: its place in the queue, or its progress."""
    if job.state == "waiting":
        text = f"waiting: {counted(queue.position(job), 'job')} before this one"
    else:
        text = "stopping" if job.is_stopped else job.progress.text or "starting"
    return status_html(text, progress=job.progress)


def counted(count: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
