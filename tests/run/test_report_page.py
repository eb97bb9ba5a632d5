"""The HTML report of a run."""

from __future__ import annotations

import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import torch
from PIL import Image

import restorekit as rk
from restorekit.core.recipe import recipe
from restorekit.errors import ImageError, OptionError
from restorekit.run.folder import run_jobs
from restorekit.run.plan import Job, Plan
from restorekit.run.report_html import MARK, address, page
from restorekit.run.report_page import report_path
from restorekit.run.runner import Runner
from restorekit.run.thumbnails import MAX_SAMPLES, Thumbnails
from restorekit.testing import GaussianPrior
from tests.run.remote import MEMORY, png
from tests.run.test_folder import ENGINE, fill, save, speckle

QUICK = {"device": "cpu", "precision": "float32"}
NASTY = "a #1 ? %41 'x' \"y\" <img src=x onerror=alert(1)>& ü:.png"


@recipe("double", size=lambda height, width, options: (2 * height, 2 * width))
def double(y, prior, noise):
    """Enlarge."""
    return y.repeat_interleave(2, 2).repeat_interleave(2, 3)


@recipe("same")
def same(y, prior, noise):
    """Change nothing."""
    return y


@recipe("denoising", samples=True)
def denoising(y, prior, noise):
    """Evaluate the prior."""
    return prior(y, torch.full((len(y),), 0.1)) + 0.1 * noise.like(y)


@recipe("stops")
def stops(y, prior, noise):
    """Stop at white photos."""
    if y.mean() > 0.9:
        raise KeyboardInterrupt
    return y / 2


class Parsed(HTMLParser):
    """The elements of a page with their attributes, and the texts of its data blocks by id."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.data: dict[str, str] = {}
        self._id: str | None = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._id = dict(attrs).get("id") if tag == "script" else None

    def handle_endtag(self, tag):
        self._id = None

    def handle_data(self, data):
        if self._id is not None:
            self.data[self._id] = self.data.get(self._id, "") + data

    @property
    def photos(self) -> list[dict]:
        return json.loads(self.data["facts"])


def read(path: Path) -> Parsed:
    return Parsed(path.read_text(encoding="utf-8"))


def run(inputs, output, function=speckle, prior=None, **options):
    return rk.restore_folder(function, inputs, output, prior or GaussianPrior(), report=True, **options, **QUICK)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    save(tmp_path / "in" / NASTY, 40, 60, 3)
    save(tmp_path / "in" / "sub" / "b.png", 30, 30, 1)
    (tmp_path / "in" / "bad.png").write_bytes(b"no image </script><script>alert(1)</script>")
    return tmp_path / "in"


def test_every_photo_is_on_the_page(photos: Path, tmp_path: Path) -> None:
    report = run(photos, tmp_path / "out")
    assert report.page == tmp_path / "out" / "report.html"
    text = report.page.read_text(encoding="utf-8")
    assert text.startswith(MARK)
    found = read(report.page)
    assert [(p["name"], p["state"]) for p in found.photos] == [
        (NASTY, "restored"),
        ("bad.png", "failed"),
        ("sub/b.png", "restored"),
    ]
    first, bad, grey = found.photos
    assert (first["size"], first["result_size"], first["shown"], first["samples"]) == ([60, 40], [60, 40], 1, 1)
    assert first["seconds"] is not None
    assert first["change"] > 0
    assert len(json.loads(found.data["p0"])) == 4
    assert bad["error"].startswith("not a readable image"), "no path: the name of the photo is beside it"
    assert (bad["shown"], bad["results"], json.loads(found.data["p1"])) == (0, [], [])
    assert grey["change"] > 0
    assert "2 restored" in text
    assert "1 failed" in text


def test_links_lead_to_the_files(photos: Path, tmp_path: Path) -> None:
    report = run(photos, tmp_path / "out")
    for photo in read(report.page).photos:
        for file in (photo["source"], *photo["results"]):
            assert re.fullmatch(r"[\w./%~-]+", file["href"], re.ASCII), "a relative address without a scheme"
            assert (report.page.parent / unquote(file["href"])).is_file()


def test_the_page_contains_no_foreign_elements_or_addresses(photos: Path, tmp_path: Path) -> None:
    save(photos / "</script>" / "<!-- <script>.png", 9, 9, 3)
    report = run(photos, tmp_path / "out")
    found = read(report.page)
    assert len(found.photos) == 4
    assert [tag for tag, _ in found.elements].count("script") == 2 + 4
    assert "img" not in [tag for tag, _ in found.elements]
    text = re.sub(r'id="p\d+">.*', "", report.page.read_text(encoding="utf-8"))
    assert not re.search(r"\w+://|\burl\(|@import", text)
    assert not re.search(r"<[^>]+\s(on\w+|src|href|style)=", text)
    (policy,) = [a["content"] for tag, a in found.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_a_resumed_run_shows_all_photos(photos: Path, tmp_path: Path) -> None:
    before = read(run(photos, tmp_path / "out").page)
    (photos / "bad.png").unlink()
    save(photos / "c.png", 20, 20, 3)
    after = read(run(photos, tmp_path / "out").page)
    assert [(p["name"], p["state"]) for p in after.photos] == [
        (NASTY, "skipped"),
        ("c.png", "restored"),
        ("sub/b.png", "skipped"),
    ]
    assert after.photos[0]["seconds"] == before.photos[0]["seconds"]
    assert json.loads(after.data["p0"]) == json.loads(before.data["p0"])


def test_an_old_result_of_a_photo_that_fails_is_not_shown(photos: Path, tmp_path: Path) -> None:
    run(photos, tmp_path / "out")
    (photos / NASTY).write_bytes(b"damaged")
    photo = read(run(photos, tmp_path / "out").page).photos[0]
    assert (photo["state"], photo["shown"], photo["results"], photo["change"]) == ("failed", 0, [], None)


def test_notes_belong_to_their_photo(tmp_path: Path) -> None:
    @recipe("noted")
    def noted(y, prior, noise):
        """Warn."""
        import warnings

        warnings.warn(rk.RestorekitWarning(f"height: {y.shape[2]}"), stacklevel=2)
        return y

    save(tmp_path / "in" / "a: b.png", 9, 9, 3)
    save(tmp_path / "in" / "a.png", 8, 9, 3)
    Image.new("P", (5, 7)).save(tmp_path / "in" / "p: q.png")
    notes = {p["name"]: p["notes"] for p in read(run(tmp_path / "in", tmp_path / "out", noted).page).photos}
    palette = "the palette was converted to RGB"
    assert notes == {"a: b.png": ["height: 9"], "a.png": ["height: 8"], "p: q.png": [palette, "height: 7"]}


def test_samples_and_results_of_another_size(photos: Path, tmp_path: Path) -> None:
    found = read(run(photos, tmp_path / "out", samples=MAX_SAMPLES + 2).page)
    assert (found.photos[0]["samples"], found.photos[0]["shown"]) == (MAX_SAMPLES + 2, MAX_SAMPLES)
    assert len(found.photos[0]["results"]) == MAX_SAMPLES + 2
    assert len(json.loads(found.data["p0"])) == 1 + MAX_SAMPLES + 2
    larger = read(run(photos, tmp_path / "large", double).page).photos[0]
    assert (larger["size"], larger["result_size"]) == ([60, 40], [120, 80])
    assert larger["change"] == 0
    assert larger["detail"] is None


def test_runs_on_ray_have_a_report(photos: Path, tmp_path: Path, monkeypatch) -> None:
    def run_here(plan, description, settings, on_done, transfer, *, workers):
        return run_jobs(plan, Runner(speckle, GaussianPrior(), {}, ENGINE), settings, on_done, transfer)

    monkeypatch.setattr("restorekit.run.ray_engine.run_jobs_on_ray", run_here)
    arguments = {"engine": "ray", "report": True}
    report = rk.restore_folder(speckle, photos, tmp_path / "out", "ddpm-photo", **arguments, **QUICK)
    found = read(report.page)
    assert [p["state"] for p in found.photos] == ["restored", "failed", "restored"]
    assert len(json.loads(found.data["p2"])) == 4


def test_settings_name_the_side_images(photos: Path, tmp_path: Path) -> None:
    mask = save(tmp_path / "mask.png", 40, 60, 1)
    page = run(photos / NASTY, tmp_path / "out", fill, mask=mask, seed=12).page
    text = page.read_text(encoding="utf-8")
    assert f"<dt>mask</dt><dd>{mask}</dd>" in text
    assert "<dt>seed</dt><dd>12</dd>" in text
    assert f"<dt>versions</dt><dd>restorekit {rk.__version__}, torch {torch.__version__}</dd>" in text


def test_traces_and_maps_of_the_uncertainty_are_linked(photos: Path, tmp_path: Path) -> None:
    options = {"samples": 2, "trace": "strip", "uncertainty": True}
    photo = read(run(photos / NASTY, tmp_path / "out", denoising, **options).page).photos[0]
    texts = [file["text"] for file in photo["results"]]
    assert texts == ["result 1", "result 2", "trace 1", "trace 2", "std", "uncertainty", "mean"]
    for file in photo["results"]:
        assert (tmp_path / "out" / unquote(file["href"])).is_file()


def test_unchanged_photos_have_no_detail(photos: Path, tmp_path: Path) -> None:
    photo = read(run(photos, tmp_path / "out", same).page).photos[0]
    assert (photo["change"], photo["detail"], photo["shown"]) == (0, None, 1)


def test_an_interrupted_run_has_a_report(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png", 9, 9, 3)
    Image.new("RGB", (9, 9), "white").save(tmp_path / "in" / "b.png")
    save(tmp_path / "in" / "c.png", 9, 9, 3)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "in", tmp_path / "out", stops, batch=1)
    path = tmp_path / "out" / "report.html"
    states = [p["state"] for p in read(path).photos]
    assert states[0] == "restored"
    assert states[1] == "waiting"
    assert "interrupted" in path.read_text(encoding="utf-8")


def test_only_reports_are_replaced(photos: Path, tmp_path: Path) -> None:
    path = tmp_path / "out" / "report.html"
    path.parent.mkdir()
    path.write_text("<!doctype html>\nmine")
    with pytest.raises(ImageError, match=r"report\.html: exists, but is not a report of restorekit"):
        run(photos, tmp_path / "out")
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
    assert run(photos, tmp_path / "out", overwrite=True).page == path
    assert run(photos, tmp_path / "out").page == path
    assert path.read_text(encoding="utf-8").startswith(MARK)


def test_the_file_can_be_chosen(photos: Path, tmp_path: Path) -> None:
    target = tmp_path / "pages" / "one.html"
    report = rk.restore_folder(speckle, photos, tmp_path / "out", GaussianPrior(), report=target, **QUICK)
    assert report.page == target
    assert read(target).photos[0]["results"][0]["href"].startswith("../out/a%20%231%20%3F")
    for wrong, problem in ((tmp_path / "a.png", "ends with .html or .htm"), ("s3://b/a.html", "found the URL")):
        with pytest.raises(OptionError, match=re.escape(problem)):
            rk.restore_folder(speckle, photos, tmp_path / "out", GaussianPrior(), report=wrong, **QUICK)
    with pytest.raises(OptionError, match="report: found 3, allowed: True, False or a path"):
        rk.restore_folder(speckle, photos, report=3)


def test_a_report_that_cannot_be_written_is_a_failure(photos: Path, tmp_path: Path, monkeypatch) -> None:
    def full(*values):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("restorekit.run.report_page.page", full)
    report = run(photos / NASTY, tmp_path / "out")
    assert report.page is None
    assert len(report.restored) == 1
    ((path, message),) = report.failed
    assert path == tmp_path / "out" / "report.html"
    assert "cannot be written (No space left on device)" in message
    assert not path.exists()


def test_full_temporary_folders_only_cost_thumbnails(photos: Path, tmp_path: Path, monkeypatch) -> None:
    def full(*values):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("restorekit.run.thumbnails.webp_files", full)
    report = run(photos, tmp_path / "out")
    assert [p["state"] for p in read(report.page).photos] == ["restored", "failed", "restored"]
    assert "the thumbnails are incomplete (No space left on device)" in report.page.read_text(encoding="utf-8")


def test_the_default_place_is_the_folder_that_all_results_share(tmp_path: Path, monkeypatch) -> None:
    def path_for(*targets: str | Path) -> Path | None:
        plan = Plan(tuple(Job(Path(f"{i}.png"), (Path(target),), {}) for i, target in enumerate(targets)))
        return report_path(True, plan, overwrite=False)

    monkeypatch.chdir(tmp_path)
    assert path_for("a/1.png", "a/2.png") == Path("a/report.html")
    assert path_for("a/1.png", "a/b/2.png") == Path("a/report.html")
    assert path_for("a/1.png", "b/2.png") == Path("report.html")
    assert path_for("../1.png", "b/2.png") == tmp_path.parent / "report.html"
    assert path_for(tmp_path / "x" / "1.png", "y/2.png") == tmp_path / "report.html"
    with pytest.raises(OptionError, match="no common folder"):
        path_for("/a/1.png", "/b/2.png")


def test_addresses_are_relative(tmp_path: Path) -> None:
    assert address(tmp_path / "a" / "x:y #.png", tmp_path / "b") == "../a/x%3Ay%20%23.png"
    assert address(Path("a/../b.png"), Path("a")) == "../b.png"


def test_command_line(photos: Path, tmp_path: Path, restorekit) -> None:
    words = ("denoise", photos, "-o", tmp_path / "out", "--sigma", "20", "--device", "cpu", "--precision", "float32")
    code, out, _ = restorekit(*words, "--report", "--dry-run", prior=GaussianPrior())
    assert code == 0
    assert not (tmp_path / "out").exists()
    code, out, _ = restorekit(*words, "--report", prior=GaussianPrior())
    path = tmp_path / "out" / "report.html"
    assert (code, out.splitlines()[-1]) == (1, f"report: {path}")
    text = path.read_text(encoding="utf-8")
    assert "--sigma 20" in text
    assert "sigma 20.0" in text
    code, out, _ = restorekit(*words, "--report", "--json", prior=GaussianPrior())
    assert json.loads(out)["report"] == str(path)
    path.unlink()
    code, out, _ = restorekit(*words, "--json", prior=GaussianPrior())
    assert json.loads(out)["report"] is None
    assert not path.exists()
    code, _, err = restorekit("denoise", "-", "--report")
    assert (code, err) == (2, "error: --report: found - (standard input or output), allowed: files and folders\n")


def test_texts_of_the_page_are_escaped() -> None:
    nasty = "<b onclick=alert(1)>\x1b&"
    found = Parsed("".join(page(nasty, {"restored": nasty}, {nasty: nasty}, [], [])))
    assert not any(tag == "b" or "onclick" in attributes for tag, attributes in found.elements)
    assert "\x1b" not in "".join(page(nasty, {"restored": nasty}, {"options": nasty}, [], []))


def test_the_place_of_an_unreadable_photo_stays_empty(tmp_path: Path) -> None:
    with Thumbnails(1) as thumbnails:
        thumbnails.add(0, tmp_path / "missing.png", (save(tmp_path / "b.png", 30, 40, 3),))
        ((_, texts),) = thumbnails.lines()
        assert [bool(text) for text in json.loads(texts)] == [False, True]
        assert (thumbnails.shown[0].size, thumbnails.shown[0].result_size) == (None, (40, 30))


def test_thumbnails_take_a_bounded_share(tmp_path: Path) -> None:
    source, result = save(tmp_path / "a.png", 300, 400, 3), save(tmp_path / "b.png", 300, 400, 3, seed=1)
    sizes = {}
    for count in (1, 1000, 5000):
        with Thumbnails(count) as thumbnails:
            thumbnails.add(0, source, (result,))
            ((_, texts),) = thumbnails.lines()
        sizes[count] = len(texts)
        assert len(json.loads(texts)) == (2 if count == 5000 else 4)
    assert sizes[5000] * 5000 < 58e6
    assert sizes[1000] * 1000 < 58e6
    assert sizes[1] < 200_000


def test_writing_needs_no_memory_for_the_thumbnails() -> None:
    texts = '["' + "A" * 10_000 + '"]'
    parts = page("t", {}, {}, [], ((i, texts) for i in range(5000)))
    assert sum(len(part) for part in parts) > 50e6
    largest = max(map(len, page("t", {}, {}, [], ((i, texts) for i in range(5000)))))
    assert largest < 100_000


def test_the_wheel_contains_the_template() -> None:
    builder = pytest.importorskip("hatchling.builders.wheel").WheelBuilder(str(Path(rk.__file__).parents[1]))
    found = {Path(file.distribution_path).as_posix() for file in builder.recurse_included_files()}
    assert {f"restorekit/run/page/report.{suffix}" for suffix in ("html", "css", "js")} <= found


@pytest.mark.skipif(sys.platform == "win32", reason="names are unicode there")
def test_names_that_are_not_unicode(tmp_path: Path) -> None:
    name = b"\xff\n.png".decode("utf-8", "surrogateescape")
    save(tmp_path / "in" / name, 9, 9, 3)
    report = run(tmp_path / "in", tmp_path / "out")
    (photo,) = read(report.page).photos
    assert photo["source"]["href"] == "../in/%FF%0A.png"
    assert photo["name"] == "\\udcff\\n.png"


def test_thumbnails_show_the_images(photos: Path, tmp_path: Path) -> None:
    import base64
    import io

    Image.new("RGB", (90, 60), (200, 30, 40)).save(photos / "z.png")
    found = read(run(photos, tmp_path / "out", stops).page)
    shown = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))).mean((0, 1)) for text in json.loads(found.data["p3"])
    ]
    after = np.array([200, 30, 40]) / 2 + 127.5 / 2
    for image, want in zip(shown, ((200, 30, 40), after, (200, 30, 40), after), strict=True):
        assert np.abs(image - want).max() < 3
    assert torch.is_grad_enabled()


@pytest.fixture
def remote(stores) -> str:
    """The URL of a folder with photos in memory."""
    for number in range(3):
        MEMORY.pipe_file(f"/bucket/in/{number}.png", png(number))
    MEMORY.pipe_file("/bucket/in/bad.png", b"no image")
    return "memory://bucket/in"


def remote_page(name: str = "out/report.html") -> Parsed:
    return Parsed(MEMORY.cat_file(f"/bucket/{name}").decode())


def test_remote_results_have_a_report_beside_them(remote: str, tmp_path: Path) -> None:
    report = run(remote, "memory://bucket/out")
    assert len(report.restored) == 3
    found = remote_page()
    assert [(p["name"], p["state"]) for p in found.photos] == [
        ("memory://bucket/in/0.png", "restored"),
        ("memory://bucket/in/1.png", "restored"),
        ("memory://bucket/in/2.png", "restored"),
        ("memory://bucket/in/bad.png", "failed"),
    ]
    assert found.photos[0]["source"]["href"] == "../in/0.png"
    assert found.photos[0]["results"][0]["href"] == "0.png"
    assert len(json.loads(found.data["p0"])) == 4
    assert "restorekit-mirror" not in MEMORY.cat_file("/bucket/out/report.html").decode()
    assert found.photos[0]["seconds"] is not None
    run(remote, "memory://bucket/out")
    again = remote_page()
    assert [p["state"] for p in again.photos] == ["skipped"] * 3 + ["failed"]
    assert json.loads(again.data["p0"]) == json.loads(found.data["p0"])
    MEMORY.pipe_file("/bucket/out/report.html", b"mine")
    with pytest.raises(ImageError, match=r"memory://bucket/out/report\.html: exists, but is not a report"):
        run(remote, "memory://bucket/out")


def test_remote_photos_with_local_results_have_no_links(remote: str, tmp_path: Path) -> None:
    photo = read(run(remote, tmp_path / "out").page).photos[0]
    assert photo["source"] == {"text": "photo", "href": ""}
    assert photo["results"] == [{"text": "result", "href": "0.png"}]
    with pytest.raises(OptionError, match="report: found engine ray with URLs"):
        run(remote, tmp_path / "out", prior="ddpm-photo", engine="ray")
