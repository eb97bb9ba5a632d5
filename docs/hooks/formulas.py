"""MkDocs hook: the formulas of a page, in LaTeX between dollar signs, become MathML.

Browsers render MathML without scripts and fonts of other hosts.
"""

from __future__ import annotations

import html
import re

import latex2mathml.converter
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

# What pymdownx.arithmatex makes of $...$ and $$...$$.
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)


def mathml(latex: str, block: bool) -> str:
    """Return a formula as MathML; PluginError, which ends the build, if it contains an unknown command."""
    converted = latex2mathml.converter.convert(latex.strip(), display="block" if block else "inline")
    unknown = re.findall(r">(\\\w+)<", converted)
    if unknown:
        raise PluginError(f"{latex.strip()}: found {unknown[0]}, allowed: LaTeX that latex2mathml knows")
    return converted


def on_page_content(content: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Replace all formulas of a page."""

    def replaced(match: re.Match[str]) -> str:
        block = match[2] == "["
        formula = mathml(html.unescape(match[3]), block)
        return f'<div class="formula">{formula}</div>' if block else formula

    return FORMULA.sub(replaced, content)
