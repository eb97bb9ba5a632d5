"""The page: tabs and events of Gradio, as an ASGI application."""

from __future__ import annotations

import gradio as gr
from fastapi import FastAPI

from restorekit.ui.access import Access, Guard
from restorekit.ui.folder_tab import FolderTab
from restorekit.ui.restore_tab import RestoreTab
from restorekit.ui.theme import CSS, make_theme
from restorekit.ui.visitor import Visitors

HEADER = "<header><h1>restorekit</h1><p>Restore photos with generative priors.</p></header>"
# Seconds between two searches for files that no page needs any more, and their age.
CLEANING = (600, 24 * 3600)


def build_page(visitors: Visitors, access: Access, device: str) -> gr.Blocks:
    """Return the page."""
    page = gr.Blocks(title="restorekit", analytics_enabled=False, delete_cache=CLEANING)
    with page:
        gr.HTML(HEADER, elem_id="rk-header", padding=False)
        with gr.Tabs():
            with gr.Tab("Photos", id="photos"):
                RestoreTab(visitors, access, device)
            if access.roots is None or access.roots:
                with gr.Tab("Folder", id="folder"):
                    FolderTab(visitors, access, device)

        def leave(request: gr.Request) -> None:
            visitors.remove(request.session_hash or "")

        page.unload(leave)
    return page


def make_app(visitors: Visitors, access: Access, device: str, max_upload: int) -> Guard:
    """Return the application that a server runs.

    max_upload: largest size of an uploaded file in bytes.
    """
    page = build_page(visitors, access, device)
    page.queue(default_concurrency_limit=None, api_open=False)
    app = gr.mount_gradio_app(
        FastAPI(openapi_url=None, docs_url=None, redoc_url=None),
        page,
        path="/",
        server_name=access.host,
        footer_links=[],
        run_history=False,
        max_file_size=max_upload,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=make_theme(),
        css=CSS,
    )
    return Guard(app, access, max_upload)
