"""The HTML report of a run in a browser."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restorekit.run.report_html import Entry
from restorekit.run.report_html import page as report
from restorekit.run.thumbnails import Thumbnails

COUNT = 5000
# Largest ratio of the processor time until the page of `COUNT` photos has been read and reacts to that of a page with
# the same text whose scripts do not run: a slow machine needs longer for both.
LIMIT = 5.0

# Only photos near the visible part have images.
FEW_IMAGES = """() => {
    const count = document.querySelectorAll("article img").length;
    return 0 < count && count < 200;
}"""


def write(path: Path, count: int, names: list[str]) -> Path:
    """Write a report of `count` photos, which repeat those of `names`; the last one fails."""
    rng = np.random.default_rng(0)
    with Thumbnails(count) as thumbnails:
        for number, name in enumerate(names):
            source, result = path.parent / name, path.parent / f"result-{name}"
            smooth = np.full((120, 200, 3), (200, 60, 30 * number), np.uint8)
            Image.fromarray(rng.normal(smooth, 20).clip(0, 255).astype(np.uint8)).save(source)
            Image.fromarray(smooth).save(result)
            thumbnails.add(number, source, (result,))
        images = [texts for _, texts in thumbnails.lines()]
        # Images of photos are larger than those of this test.
        if count == COUNT:
            images = [f'{texts[:-1]},"{"A" * (thumbnails.limit * 4 // 3 - len(texts))}"]' for texts in images]
        entries = []
        for number in range(count):
            name, failed = names[number % len(names)], number == count - 1
            entries.append(
                Entry(
                    name if count == len(names) else f"{number:04d}-{name}",
                    "failed" if failed else "restored",
                    {"text": "photo", "href": ""},
                    seconds=None if failed else float(number % 7),
                    notes=[f"about {number}.5 grey levels"] if number % 10 == 3 else [],
                    error="damaged </script><script>fail()</script>" if failed else "",
                    **asdict(thumbnails.shown[number % len(names)]),
                )
            )
        totals = {"restored": f"{count - 1} restored", "failed": "1 failed"}
        lines = ((number, images[number % len(names)]) for number in range(count))
        with path.open("w", encoding="utf-8") as file:
            file.writelines(report("denoise", totals, {"recipe": "denoise"}, entries, lines))
    return path


@pytest.fixture
def requests(page) -> list[str]:
    """The addresses that the page requests, without data in the page itself."""
    found: list[str] = []
    page.on("request", lambda request: found.append(request.url) if not request.url.startswith("data:") else None)
    return found


def is_noisy(frame, x: float, y: float = 0.3) -> bool:
    """Return whether the noisy photo, before the restoration, is seen at a place of a frame, 0 to 1."""
    image = Image.open(io.BytesIO(frame.screenshot())).convert("RGB")
    left, top = int(x * image.width), int(y * image.height)
    area = np.asarray(image.crop((left - 6, top - 6, left + 6, top + 6)), float)
    return bool(area.std((0, 1)).max() > 5)


def wait_for_count(page, text: str) -> None:
    """Wait until the page states how many photos it shows."""
    page.wait_for_function("text => document.getElementById('count').textContent === text", arg=text)


def processor_time(page, load: Callable[[], None]) -> float:
    """Return the seconds of processor time of the process of a page after `load`; other load does not change them."""
    tools = page.context.new_cdp_session(page)
    tools.send("Performance.enable", {"timeDomain": "threadTicks"})
    load()
    metrics = {entry["name"]: entry["value"] for entry in tools.send("Performance.getMetrics")["metrics"]}
    return float(metrics["ProcessTime"])


def test_thousands_of_photos_stay_usable(page, requests, tmp_path: Path) -> None:
    path = write(tmp_path / "report.html", COUNT, ["a.png", "b.png", "c.png"])
    assert 40e6 < path.stat().st_size < 60e6
    without_scripts = tmp_path / "text.html"
    without_scripts.write_text(path.read_text("utf-8").replace("<script>", '<script type="text/plain">'), "utf-8")
    context = page.context.browser.new_context()
    other_page = context.new_page()
    reading = processor_time(other_page, lambda: other_page.goto(without_scripts.as_uri()))
    context.close()

    def search() -> None:
        page.goto(path.as_uri(), wait_until="commit")
        page.fill("#search", "0042")
        wait_for_count(page, "1 of 5000 photos")
        page.wait_for_selector("body[data-ready]")

    assert processor_time(page, search) < LIMIT * reading
    assert page.locator("article:visible h2").all_text_contents() == ["0042-a.png"]
    page.fill("#search", "")
    wait_for_count(page, "5000 photos")
    page.wait_for_selector("article input[type=range]")
    page.wait_for_function(FEW_IMAGES)
    page.get_by_role("button", name="Failed").click()
    wait_for_count(page, "1 of 5000 photos")
    assert "damaged </script><script>fail()</script>" in page.text_content(".error")
    page.get_by_role("button", name="With notes").click()
    wait_for_count(page, "500 of 5000 photos")
    page.get_by_role("button", name="All", exact=True).click()
    page.select_option("#sort", "seconds")
    page.wait_for_function("document.querySelector('article h2').textContent === '0006-a.png'")
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    page.wait_for_function("[...document.querySelectorAll('article')].at(-1).querySelector('.about')")
    page.wait_for_function(FEW_IMAGES)
    assert requests == [path.as_uri()]


@pytest.mark.parametrize("name", ["plain.png", "#1 ? <img src=x onerror=console.error(1)>&.png"])
def test_the_slider_moves_by_mouse_and_keyboard(page, requests, tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "report.html", 2, [name, "other.png"])
    page.goto(path.as_uri())
    card = page.locator("article").first
    assert card.locator("h2").inner_text() == name
    frame, slider = card.locator(".frame").first, card.get_by_role("slider").first
    assert slider.get_attribute("aria-label") == f"Before and after: {name}"
    assert card.get_by_role("slider").count() == 2, "the photo and a detail"
    assert (is_noisy(frame, 0.4), is_noisy(frame, 0.6)) == (True, False)

    box = frame.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.6)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + box["height"] * 0.6, steps=4)
    page.mouse.up()
    assert float(slider.input_value()) == pytest.approx(75, abs=1)
    bar = card.locator(".bar").first.bounding_box()
    assert bar["x"] + 1 == pytest.approx(box["x"] + box["width"] * 0.75, abs=2), "the bar follows the pointer"
    assert (is_noisy(frame, 0.65), is_noisy(frame, 0.85)) == (True, False)

    slider.focus()
    page.keyboard.press("Home")
    assert float(slider.input_value()) == 0
    page.keyboard.press("PageUp")
    page.keyboard.press("ArrowRight")
    assert float(slider.input_value()) == 22
    assert slider.get_attribute("aria-valuetext") == "22 percent before"
    assert (is_noisy(frame, 0.15), is_noisy(frame, 0.3)) == (True, False)
    assert requests == [path.as_uri()]


def test_the_slider_moves_by_touch(browser, tmp_path: Path) -> None:
    path = write(tmp_path / "report.html", 2, ["a.png", "b.png"])
    context = browser.new_context(has_touch=True, viewport={"width": 400, "height": 800})
    page = context.new_page()
    page.goto(path.as_uri())
    slider = page.get_by_role("slider").first
    box = slider.bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] * 0.2, box["y"] + box["height"] * 0.5)
    assert float(slider.input_value()) == pytest.approx(20, abs=1)
    context.close()


def test_samples_can_be_chosen(page, tmp_path: Path) -> None:
    photo, samples = tmp_path / "a.png", tuple(tmp_path / f"{number}.png" for number in range(3))
    for file, level in zip((photo, *samples), (0, 60, 120, 180), strict=True):
        Image.new("L", (200, 120), level).save(file)
    with Thumbnails(1) as thumbnails:
        thumbnails.add(0, photo, samples)
        entry = Entry("a.png", "restored", {"text": "photo", "href": ""}, samples=3, **asdict(thumbnails.shown[0]))
        text = "".join(report("complete", {}, {"recipe": "complete"}, [entry], thumbnails.lines()))
    (tmp_path / "report.html").write_text(text, encoding="utf-8")
    page.goto((tmp_path / "report.html").as_uri())
    buttons, frame = page.locator(".samples button"), page.locator(".frame").first
    assert page.text_content(".samples").strip() == "3 samples"
    for number, level in ((0, 60), (2, 180), (1, 120)):
        buttons.nth(number).click()
        page.wait_for_function("document.querySelector('.frame .after').complete")
        image = Image.open(io.BytesIO(frame.screenshot())).convert("L")
        assert abs(image.getpixel((image.width * 3 // 4, image.height // 4)) - level) < 4
        assert [button.get_attribute("aria-pressed") for button in buttons.all()].index("true") == number


def test_dark_mode_and_narrow_windows(page, tmp_path: Path) -> None:
    path = write(tmp_path / "report.html", 2, ["a.png", "b.png"])
    page.emulate_media(color_scheme="light")
    page.goto(path.as_uri())
    colours = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        colours.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert colours[0] != colours[1]
    page.set_viewport_size({"width": 360, "height": 640})
    page.wait_for_selector("article .frame")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    whole, detail = (pane.bounding_box() for pane in page.locator("article").first.locator("figure").all())
    assert whole["y"] + whole["height"] <= detail["y"], "the detail is below the photo"
