"""The page of `restorekit ui` in a browser.

With the environment variable RESTOREKIT_SCREENSHOTS=FOLDER, the tests use the bundled priors instead of a small random
one, and write the pictures of docs/ui.md to the folder.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image, ImageDraw
from skimage import data

from tests.models.small import small_model

pytest.importorskip("gradio", reason="Gradio is not installed (extra ui)")

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SCREENSHOTS = os.environ.get("RESTOREKIT_SCREENSHOTS")
# Milliseconds; a machine may be busy with other processes.
PATIENCE = 600_000 if SCREENSHOTS else 60_000
SECONDS = 60
FILE = re.compile(r"gradio_api/file=([^\"'?]+)")


@dataclass
class Server:
    """A running server: its URL, its folder for temporary files, and a small model."""

    process: subprocess.Popen[str]
    url: str
    temporary: Path
    model: Path

    def files(self) -> list[Path]:
        """All files of visitors."""
        return [path for path in self.temporary.rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def server(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server as a user starts it; at the end SIGTERM stops it, and no file is left."""
    folder = tmp_path_factory.mktemp("server")
    model, temporary, log = small_model(folder / "model"), folder / "tmp", folder / "log.txt"
    temporary.mkdir()
    variables = {"TMPDIR": str(temporary), "HF_HUB_OFFLINE": "1", "RESTOREKIT_PLUGINS": "", "RESTOREKIT_DEBUG": "1"}
    command = [sys.executable, "-m", "restorekit", "ui", "--port", "0", "--device", "cpu", "--max-upload", "1"]
    with log.open("w") as errors:
        process = subprocess.Popen(
            command, env=os.environ | variables, cwd=folder, stdout=subprocess.PIPE, stderr=errors, text=True
        )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line.startswith("restorekit ui: http://127.0.0.1:"), log.read_text()
        yield Server(process, line.split()[-1], temporary, model)
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert "Traceback" not in log.read_text(), log.read_text()
    assert list(temporary.iterdir()) == []


@pytest.fixture
def requests(page: Page) -> list[str]:
    """URLs that the page requests."""
    found: list[str] = []
    page.on("request", lambda request: found.append(request.url))
    return found


@pytest.fixture
def astronaut(tmp_path: Path) -> Path:
    """A photo; for the pictures with two scratches, which the test paints over."""
    image = Image.fromarray(data.astronaut()[:360, 40:400] if SCREENSHOTS else data.astronaut()[:120, 100:260])
    if SCREENSHOTS:
        for scratch in ([(140, 117), (180, 159), (230, 221)], [(228, 96), (278, 200)]):
            ImageDraw.Draw(image).line(scratch, (250, 245, 235), 2)
    image.save(tmp_path / "astronaut.png")
    return tmp_path / "astronaut.png"


def open_page(page: Page, server: Server) -> Page:
    page.set_default_timeout(PATIENCE)
    page.goto(server.url)
    page.get_by_role("button", name="Restore").first.wait_for()
    return page


def choose(page: Page, field: str, word: str) -> None:
    """Choose a word of a list; open it again if pictures that load have moved its options out of the window."""
    from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

    box, option = page.locator(f"#{field} input"), page.get_by_role("option", name=word, exact=True)
    for _ in range(3):
        box.click()
        with contextlib.suppress(PlaywrightTimeoutError):
            option.click(timeout=PATIENCE / 3)
            return
        box.blur()
        option.wait_for(state="hidden")
    raise AssertionError(f"{field}: {word} cannot be clicked")


def fill(page: Page, field: str, text: object) -> None:
    """Enter a text."""
    box = page.locator(f"#{field} input, #{field} textarea").first
    box.fill(str(text))
    box.press("Tab")


def use_small_model(page: Page, server: Server, recipe: str) -> None:
    if not SCREENSHOTS:
        fill(page, f"restore-{recipe}-model", server.model)


def drop(page: Page, *files: Path) -> None:
    """Drop photos."""
    page.locator("#photos input[type=file]").set_input_files(files)
    page.locator("#status").get_by_text("added").wait_for()


def paint(page: Page, *points: tuple[float, float]) -> None:
    """Paint a stroke on the photo in the editor; coordinates are fractions of the canvas."""
    editor = page.locator("#mask-editor")
    # The photo is shown when the zoom is known.
    editor.get_by_text(re.compile(r"^\d+%$")).wait_for()
    canvas = editor.locator("canvas").last
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=8)
    page.mouse.up()


def status(page: Page) -> Any:
    """The status line that is visible."""
    return page.locator("#status .rk-status")


def picture(page: Page, name: str) -> None:
    """Write a screenshot for the docs, reduced and with few colours, so that the file is small."""
    if not SCREENSHOTS:
        return
    page.evaluate("window.scrollTo(0, 0)")
    page.mouse.move(2, 2)
    with Image.open(io.BytesIO(page.screenshot())) as image:
        small = image.convert("RGB").resize((image.width * 3 // 4, image.height * 3 // 4), Image.Resampling.LANCZOS)
    small.quantize(256, dither=Image.Dither.NONE).save(Path(SCREENSHOTS) / f"ui-{name}.png", optimize=True)


def test_paint_run_compare_and_download(page, requests, server, astronaut, tmp_path) -> None:
    page.set_viewport_size({"width": 1280, "height": 1000})
    open_page(page, server)
    drop(page, astronaut)
    choose(page, "recipe", "inpaint")
    use_small_model(page, server, "inpaint")
    choose(page, "restore-inpaint-mode", "sample")
    fill(page, "restore-inpaint-steps", 4)
    page.get_by_role("button", name="Output").first.click()
    fill(page, "restore-samples", 2)
    paint(page, (0.42, 0.35), (0.5, 0.45), (0.6, 0.6))
    paint(page, (0.6, 0.3), (0.7, 0.55))
    picture(page, "mask")
    page.locator("#run").click()
    if SCREENSHOTS:
        page.locator("#estimate img").wait_for()
        picture(page, "progress")
    status(page).get_by_text("1 photo restored in").wait_for()
    page.locator("#slider img").first.wait_for()
    page.locator("#spread img").wait_for()
    before = page.locator("#slider img").nth(1).get_attribute("src")
    page.locator("#samples-gallery button").nth(1).click()
    page.wait_for_function("before => document.querySelectorAll('#slider img')[1].src != before", arg=before)
    picture(page, "result")
    names = ["astronaut-1.png", "astronaut-2.png", "astronaut_mask.png"]
    files = {}
    for name in names:
        with page.expect_download() as download:
            page.get_by_role("link", name=f"Download {name}").click()
        assert download.value.suggested_filename == name
        files[name] = Path(download.value.path()).read_bytes()
    (tmp_path / names[-1]).write_bytes(files[names[-1]])
    with Image.open(tmp_path / names[-1]) as mask, Image.open(astronaut) as photo:
        assert mask.size == photo.size
        marked = np.asarray(mask) > 127
    assert 0.005 < marked.mean() < 0.3
    written = {path.name: path.read_bytes() for path in server.files() if path.name in names}
    assert files == written
    assert "--mask astronaut_mask.png" in page.locator("#command textarea").input_value()
    assert requests
    assert [url for url in requests if not url.startswith((server.url, "data:", "blob:"))] == []


def test_bad_input_is_one_line(page, console_errors, server, astronaut, tmp_path) -> None:
    open_page(page, server)
    (tmp_path / "text.jpg").write_text("no photo")
    page.locator("#photos input[type=file]").set_input_files([tmp_path / "text.jpg", astronaut])
    alert = page.locator("#status").get_by_role("alert")
    alert.wait_for()
    assert alert.inner_text().startswith("text.jpg: not a readable image; allowed: .avif, .bmp")
    fill(page, "restore-denoise-sigma", 999)
    page.locator("#run").click()
    alert.get_by_text("denoise sigma: found 999, allowed: a number from 0 to 255, or auto").wait_for()
    choose(page, "recipe", "inpaint")
    # Until then, the page may still wait for the end of the first run, and ignore the click.
    page.locator("#mask-editor canvas").last.wait_for()
    page.locator("#run").click()
    alert.get_by_text("inpaint: the mask of astronaut.png is empty; paint it or load a file").wait_for()
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (800, 800, 3), np.uint8)).save(tmp_path / "large.png")
    assert console_errors == []
    page.locator("#photos input[type=file]").set_input_files(tmp_path / "large.png")
    page.get_by_text("exceed the maximum allowed size of 1.0 Mb").wait_for()
    file = {"name": "large.png", "mimeType": "image/png", "buffer": (tmp_path / "large.png").read_bytes()}
    assert page.request.post(f"{server.url}gradio_api/upload", multipart={"files": file}).status == 413
    console_errors.clear()


def test_two_visitors_wait_for_each_other_and_stop(page, browser, server, astronaut) -> None:
    others = [path for path in server.files() if path.suffix == ".webp"]
    open_page(page, server)
    drop(page, astronaut)
    choose(page, "restore-denoise-mode", "sample")
    use_small_model(page, server, "denoise")
    fill(page, "restore-denoise-sigma", 50)
    fill(page, "restore-denoise-steps", 1000)
    page.locator("#run").click()
    status(page).get_by_text("step 3").wait_for()
    mine = [path for path in server.files() if path.suffix == ".webp" and path not in others]
    context = browser.new_context()
    second = open_page(context.new_page(), server)
    drop(second, astronaut)
    use_small_model(second, server, "denoise")
    fill(second, "restore-denoise-sigma", 25)
    second.locator("#run").click()
    status(second).get_by_text("waiting: 1 job before this one").wait_for()

    def response(path: Path) -> int:
        return int(context.request.get(f"{server.url}gradio_api/file={path}").status)

    # Only whoever knows the whole path gets a file; folders are not listed.
    folder = mine[0].parent
    assert response(mine[0]) == 200
    for guess in (folder, folder.parent, folder / "preview.webp", folder.parent / "visitor-1" / mine[0].name):
        assert response(guess) == 403
    assert response(Path("/etc/passwd")) == response(server.model / "model.safetensors") == 403
    # The closed page stops its job, and its files are deleted.
    page.close()
    status(second).get_by_text("1 photo restored in").wait_for()
    second.wait_for_function(
        "url => fetch(url).then(response => response.status == 403)",
        arg=f"{server.url}gradio_api/file={mine[0]}",
        polling=100,
    )
    assert not folder.exists()
    fill(second, "restore-denoise-steps", 1000)
    choose(second, "restore-denoise-mode", "sample")
    second.locator("#run").click()
    status(second).get_by_text("step 3").wait_for()
    second.locator("#stop").click()
    status(second).get_by_text("Stopped; nothing was written.").wait_for()
    assert second.locator("#results").is_hidden()
    assert second.locator("#run").is_enabled()
    context.close()


def test_a_folder_is_planned_restored_and_resumed(page, server, astronaut, tmp_path) -> None:
    source = tmp_path / "photos"
    (source / "sub").mkdir(parents=True)
    for name in ("a.png", "sub/b.png"):
        (source / name).write_bytes(astronaut.read_bytes())
    (source / "c.png").write_text("damaged")
    open_page(page, server)
    page.get_by_role("tab", name="Folder").click()
    fill(page, "folder-source", source)
    if not SCREENSHOTS:
        fill(page, "folder-denoise-model", server.model)
    fill(page, "folder-denoise-sigma", 25)
    page.locator("#folder-plan").click()
    line = page.locator("#folder-status .rk-status")
    line.get_by_text("3 photos; nothing was written").wait_for()
    assert page.locator("#folder-table tbody tr").count() == 3
    assert not (tmp_path / "photos-denoise").exists()
    page.locator("#folder-run").click()
    line.get_by_text("2 restored, 1 failed of 3 photos").wait_for()
    assert "c.png: not a readable image" in page.locator("#folder-table").inner_text()
    assert (tmp_path / "photos-denoise" / "sub" / "b.png").is_file()
    page.locator("#folder-run").click()
    line.get_by_text("0 restored, 2 skipped because results exist, 1 failed of 3 photos").wait_for()
    fill(page, "folder-source", tmp_path / "missing")
    page.locator("#folder-plan").click()
    line.get_by_text("missing: no such file").wait_for()


NAMES = """() => [...document.querySelectorAll('input, textarea, select, button, [role=slider]')]
    .filter(e => e.offsetParent && e.type != 'file')
    .filter(e => !(e.ariaLabel || e.title || e.labels?.length || e.innerText || e.placeholder
                   || e.getAttribute('aria-labelledby')))
    .map(e => e.outerHTML)"""


def test_narrow_windows_dark_mode_and_labels(page, server, astronaut) -> None:
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 400, "height": 800})
    open_page(page, server)
    drop(page, astronaut)
    choose(page, "recipe", "inpaint")
    paint(page, (0.45, 0.4), (0.6, 0.5))
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert page.evaluate(NAMES) == []
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert sum(map(int, re.findall(r"\d+", background)[:3])) < 200
    picture(page, "narrow")
