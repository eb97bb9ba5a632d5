"""MkDocs hook: a page that loads something from another host ends the build. Links are allowed."""

from __future__ import annotations

import re

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.pages import Page

LOADED = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|embed)\b[^>]*\bsrc=["']?(?:https?:)?//[^>]*>"""
    r"""|<link\b(?=[^>]*\brel=["']?(?:stylesheet|preload|preconnect|icon|shortcut))[^>]*\bhref=["']?(?:https?:)?//[^>]*>"""
)


def loaded(output: str) -> list[str]:
    """Return the elements of an HTML page that load something from another host."""
    return LOADED.findall(output)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Raise PluginError if the page loads something from another host."""
    found = loaded(output)
    if found:
        raise PluginError(f"{page.file.src_uri}: found {found[0]}, allowed: files of the site only")
    return output
