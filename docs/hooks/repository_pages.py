"""MkDocs hook: pages from other folders of the repository, and links between them.

Links in Markdown files are relative to the file in the repository, so that they also work where the repository is
browsed. Benchmarks, model cards, the READMEs of the packages and the changelog become pages of the site. Links to them
are rewritten, and a link whose text is the name of the file gets the title of the page. A link to any other file of the
repository becomes its text and the path.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^()\s]+)\)")
CODE = re.compile(r"(^(`{3,}).*?^\2`*$|(?<!`)`[^`]+`(?!`))", re.MULTILINE | re.DOTALL)
SCHEME = re.compile(r"[a-z]+:")
FILE_NAME = re.compile(r"[\w/-]+\.md")
ROW = re.compile(r"^\|.*$", re.MULTILINE)


def site_path(path: str) -> str | None:
    """Return the page of the site that shows a file of the repository, both as relative paths; None if none does."""
    parts = PurePosixPath(path).parts
    match parts:
        case ("docs", *rest):
            return "/".join(rest)
        case ("README.md",):
            return "index.md"
        case ("CHANGELOG.md",):
            return "changelog.md"
        case ("benchmarks", name) if name.endswith(".md"):
            return path
        case ("plugins", name, "README.md"):
            return f"packages/{name.removeprefix('restorekit-')}.md"
        case ("restorekit", "weights", name, "README.md"):
            return f"cards/{name}.md"
    return None


def repository_pages() -> dict[str, Path]:
    """Return the pages outside of docs/: path in the site to file."""
    patterns = ("CHANGELOG.md", "benchmarks/*.md", "plugins/*/README.md", "restorekit/weights/*/README.md")
    files = sorted(file for pattern in patterns for file in ROOT.glob(pattern))
    pages = {site_path(file.relative_to(ROOT).as_posix()): file for file in files}
    return {page: file for page, file in pages.items() if page is not None}


def title(file: Path) -> str | None:
    """Return the first heading of a Markdown file, or None."""
    found = re.search(r"^# (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE) if file.is_file() else None
    return found[1] if found else None


def rewritten(markdown: str, source: str, page: str) -> str:
    """Return the Markdown of a page with its links to files of the repository as links within the site.

    source: the file in the repository. page: its path in the site.
    """

    def link(match: re.Match[str]) -> str:
        text, target = match[1], match[2]
        if SCHEME.match(target) or target.startswith("#"):
            return match[0]
        name, _, anchor = target.partition("#")
        path = os.path.normpath(PurePosixPath(source).parent / name).replace(os.sep, "/")
        found = site_path(path)
        if found is None:
            return f"{text} (`{path}`)" if (ROOT / path).exists() else match[0]
        if FILE_NAME.fullmatch(text):
            text = title(ROOT / path) or text
        relative = os.path.relpath(found, PurePosixPath(page).parent).replace(os.sep, "/")
        return f"[{text}]({relative}{'#' if anchor else ''}{anchor})"

    pieces = CODE.split(markdown)
    # CODE has two groups: text, code, fence, text, ...
    kept = []
    for index in range(0, len(pieces), 3):
        kept.append(LINK.sub(link, pieces[index]))
        kept += pieces[index + 1 : index + 2]
    return "".join(kept)


def with_plain_pipes(markdown: str) -> str:
    """Remove backslashes before pipes in the code of tables, which GitHub requires and MkDocs shows."""
    return ROW.sub(lambda row: re.sub(r"`[^`]*`", lambda code: code[0].replace(r"\|", "|"), row[0]), markdown)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from outside of docs/."""
    for page, file in repository_pages().items():
        files.append(File.generated(config, page, content=file.read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite the links and the tables of a page."""
    path = page.file.src_uri
    outside = repository_pages().get(path)
    source = outside.relative_to(ROOT).as_posix() if outside is not None else f"docs/{path}"
    return with_plain_pipes(rewritten(markdown, source, path))
