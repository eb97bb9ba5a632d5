"""The documentation site in a browser: pictures, formulas, tables on a narrow screen, search, no other hosts."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


class Quiet(SimpleHTTPRequestHandler):
    """A server of files that prints nothing."""

    def log_message(self, *args: object) -> None:
        """Print nothing."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server of the built site."""
    pytest.importorskip("mkdocstrings", reason="mkdocstrings is not installed: pip install 'restorekit[docs]'")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture
def requests(page, site: str) -> Iterator[list[str]]:
    """The addresses of other hosts that `page` requests; the test fails if there are any."""
    found: list[str] = []
    page.on(
        "request",
        lambda request: None if request.url.startswith((site, "data:", "blob:")) else found.append(request.url),
    )
    yield found
    assert not found


@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("name", ["index", "choosing", "mathematics", "zoo", "reference/commands", "reference/priors"])
def test_pages_fit_the_screen_and_show_pictures_and_formulas(page, site: str, requests, name: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(f"{site}{name}.html", wait_until="load")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("article h1").count() == 1
    pictures = page.locator("article img").evaluate_all("images => images.map(image => image.naturalWidth)")
    assert all(pictures)
    assert len(pictures) == {"index": 4, "mathematics": 1}.get(name, 0)
    formulas = page.locator("math").evaluate_all("all => all.map(formula => formula.getBoundingClientRect().height)")
    assert len(formulas) > 50 if name == "mathematics" else not formulas
    assert all(height > 5 for height in formulas)


def test_the_search_finds_a_page(page, site: str, requests) -> None:
    page.goto(f"{site}index.html")
    page.locator("input.md-search__input").fill("annealed Langevin")
    page.locator(".md-search-result__link").first.wait_for()
    links = page.locator(".md-search-result__link").evaluate_all("all => all.map(link => link.getAttribute('href'))")
    assert any("mathematics.html" in link for link in links)


def test_the_navigation_opens_pages(page, site: str, requests) -> None:
    page.goto(f"{site}index.html")
    page.locator(".md-nav--primary").get_by_role("link", name="Quick start").click()
    page.wait_for_url("**/quickstart.html")
    assert page.locator("article h1").inner_text().startswith("Quick start")
