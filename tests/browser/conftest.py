"""A headless Chromium of the system for tests of pages, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


# The scope is the package: Playwright keeps an event loop running in this thread, where asyncio.run then fails.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium; tests that use it are skipped if Playwright or the browser is not installed."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed (extra dev)")
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip(f"no Chromium found, one of: {', '.join(NAMES)}")
    with sync_api.sync_playwright() as playwright:
        # Chromium refuses to run as root with its sandbox, as in a container.
        is_root = hasattr(os, "geteuid") and os.geteuid() == 0
        chromium = playwright.chromium.launch(executable_path=program, chromium_sandbox=not is_root)
        yield chromium
        chromium.close()


@pytest.fixture
def console_errors() -> list[str]:
    """Errors of the scripts of `page` and in its console; a test that expects one removes it from the list."""
    return []


@pytest.fixture
def page(browser: Browser, console_errors: list[str]) -> Iterator[Page]:
    """A new page in a new context (cookies, storage); the test fails if `console_errors` is not empty at the end."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.on("pageerror", lambda error: console_errors.append(str(error)))
    page.on("console", lambda message: console_errors.append(message.text) if message.type == "error" else None)
    yield page
    context.close()
    assert not console_errors
