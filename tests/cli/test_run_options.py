"""Options that all recipes share: reports, plans, standard streams, signals and progress."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from restorekit.cli import terminal
from restorekit.cli.terminal import RunProgress
from restorekit.errors import ImageError
from restorekit.plugins.discovery import recipes
from restorekit.run.manifest import MANIFEST
from restorekit.run.plan import Job
from restorekit.run.streams import StandardFiles
from tests.models.small import small_model
from tests.run.test_folder import save

QUICK = "--sigma", "25"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return small_model(tmp_path / "model")


def test_json_report(restorekit, model: Path, tmp_path: Path) -> None:
    photos = tmp_path / "in"
    save(photos / "a.png", 16, 16, 3)
    (photos / "b.png").write_text("no image")
    (photos / "c.gif").write_text("not read")
    words = "denoise", photos, *QUICK, "--model", model, "-o", tmp_path / "out", "--json"
    code, out, err = restorekit(*words)
    found = json.loads(out)
    assert (code, err) == (1, "")
    assert found["restored"] == [{"source": str(photos / "a.png"), "outputs": [str(tmp_path / "out" / "a.png")]}]
    assert [failure["source"] for failure in found["failed"]] == [str(photos / "b.png")]
    assert found["left_out"] == [{"path": str(photos / "c.gif"), "kind": ".gif"}]
    assert (found["recipe"], found["photos"], found["stopped"]) == ("denoise", 2, None)
    assert json.loads(restorekit(*words)[1])["skipped"] == found["restored"]


def test_what_is_left_out_is_reported(restorekit, model: Path, tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png", 16, 16, 3)
    for name in ("b.cr2", "c.cr2", "notes.txt", "._a.png"):
        (tmp_path / "in" / name).write_text("")
    (tmp_path / "in" / "broken.png").symlink_to(tmp_path / "none")
    code, _, err = restorekit("denoise", tmp_path / "in", *QUICK, "--model", model, "-o", tmp_path / "out")
    assert code == 0
    assert err == "skipped: 2 .cr2 (not readable by restorekit), 1 broken link\n"


def test_dry_run_prints_the_plan_and_writes_nothing(restorekit, model: Path, tmp_path: Path) -> None:
    photos, out_folder = tmp_path / "in", tmp_path / "out"
    save(photos / "a.png", 16, 16, 3)
    save(photos / "b.png", 16, 16, 3)
    words = "denoise", photos, *QUICK, "--model", model, "-o", out_folder
    assert restorekit(*words, "--exclude", "b*")[0] == 0
    before = sorted(out_folder.iterdir())
    code, out, err = restorekit(*words, "--dry-run")
    assert (code, err) == (0, "")
    assert out.splitlines()[1:] == [
        f"done  {photos / 'a.png'} -> {out_folder / 'a.png'}",
        f"new  {photos / 'b.png'} -> {out_folder / 'b.png'}",
        "denoise: 2 photos, nothing was written",
    ]
    assert "sigma 25" in out.splitlines()[0]
    assert str(model) in out.splitlines()[0]
    assert sorted(out_folder.iterdir()) == before
    found = json.loads(restorekit(*words, "--dry-run", "--json")[1])
    assert [photo["state"] for photo in found["photos"]] == ["done", "new"]
    assert found["options"]["sigma"] == 25


def test_on_change_is_an_option(restorekit, model: Path, tmp_path: Path) -> None:
    photo = save(tmp_path / "a.png", 16, 16, 3)
    words = "denoise", photo, "--model", model, "-o", tmp_path / "b.png"
    assert restorekit(*words, "--sigma", "25")[0] == 0
    code, _, err = restorekit(*words, "--sigma", "20", "--on-change", "fail")
    assert code == 1
    assert "exists with other settings (--sigma); --on-change redo or keep allows it" in err
    code, out, _ = restorekit(*words, "--sigma", "20", "--on-change", "keep")
    assert (code, "1 kept (made from another photo or with other settings, or not by restorekit)" in out) == (0, True)


def test_formats_that_cannot_store_the_photo_fail_before_the_restoration(
    restorekit, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.full((8, 8, 4), 128, np.uint8)
    Image.fromarray(values).save(tmp_path / "a.png")
    monkeypatch.setattr("restorekit.run.folder.restore_photo", lambda *arguments: pytest.fail("the photo was restored"))
    code, _, err = restorekit("denoise", tmp_path / "a.png", *QUICK, "--model", model, "--format", "jpg")
    assert code == 1
    assert "stores no alpha channel" in err


class Stream(io.TextIOWrapper):
    """A text stream over bytes in memory."""

    def __init__(self, data: bytes = b"") -> None:
        super().__init__(io.BytesIO(data), encoding="utf-8", write_through=True)

    @property
    def data(self) -> bytes:
        return self.buffer.getvalue()  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize(("words", "file_format"), [((), "PNG"), (("--format", "jpg"), "JPEG"), (("-o", "-"), "PNG")])
def test_standard_streams(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], file_format: str
) -> None:
    from restorekit.cli import app

    photo = save(tmp_path / "a.png", 16, 20, 3)
    out, err = Stream(), Stream()
    monkeypatch.setattr(sys, "argv", ["restorekit", "denoise", "-", *QUICK, "--model", str(model), *words])
    monkeypatch.setattr(sys, "stdin", Stream(photo.read_bytes()))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    with pytest.raises(SystemExit) as end:
        app.main()
    assert end.value.code == 0
    with Image.open(io.BytesIO(out.data)) as image:
        assert (image.format, image.size) == (file_format, (20, 16))
    assert "1 restored" in err.data.decode()


@pytest.mark.parametrize("data", [b"", b"this is no image", b"%!PS-Adobe-3.0 EPSF-3.0\n"])
def test_standard_input_that_is_no_image(model: Path, monkeypatch: pytest.MonkeyPatch, restorekit, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", Stream(data))
    code, _, err = restorekit("denoise", "-", *QUICK, "--model", model)
    assert code == 1
    assert err.startswith(f"error: -: found {f'{len(data)} bytes' if data else 'nothing'} on standard input, allowed: ")


def test_standard_input_is_one_photo(restorekit, model: Path, tmp_path: Path) -> None:
    photo = save(tmp_path / "a.png", 16, 16, 3)
    code, _, err = restorekit("denoise", "-", photo, *QUICK, "--model", model)
    assert (code, "standard input and output are one image" in err) == (2, True)


@pytest.mark.parametrize("name", ["in", "in/*.png"])
def test_standard_output_is_one_image(restorekit, model: Path, tmp_path: Path, name: str) -> None:
    save(tmp_path / "in" / "a.png", 16, 16, 3)
    kind = "a folder" if name == "in" else "a pattern"
    code, out, err = restorekit("denoise", tmp_path / name, "-o", "-", *QUICK, "--model", model)
    assert (code, out) == (2, "")
    reason = f"--output: - is one image, but the input {tmp_path / name} is {kind}; allowed: one photo"
    assert err == f"error: {reason}\n"


@pytest.mark.parametrize("name", ["folder", "folder.png", "new", "x.gif"])
def test_standard_input_is_not_written_to_a_folder(
    restorekit, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for folder in ("folder", "folder.png"):
        (tmp_path / folder).mkdir()
    monkeypatch.setattr(sys, "stdin", Stream(save(tmp_path / "a.png", 16, 16, 3).read_bytes()))
    before = sorted(tmp_path.rglob("*"))
    code, _, err = restorekit("denoise", "-", "-o", tmp_path / name, *QUICK, "--model", model)
    assert (code, sorted(tmp_path.rglob("*"))) == (2, before)
    start = f"error: --output: {tmp_path / name} is no image file, but the input is -; allowed: - or a file (.avif, "
    assert err.startswith(start)


@pytest.mark.parametrize(("stream", "text"), [("<&-", "standard input"), (">&-", "standard output")])
def test_closed_standard_stream(tmp_path: Path, stream: str, text: str) -> None:
    photo = save(tmp_path / "a.png", 16, 16, 3)
    source = "-" if stream == "<&-" else photo
    words = f"{sys.executable} -m restorekit denoise {source} -o - {stream}"
    done = subprocess.run(["sh", "-c", words], stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (1, f"error: -: {text} is closed\n")


class Broken(io.RawIOBase):
    """A stream that fails."""

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        raise OSError(5, "Input/output error")

    def write(self, data: object) -> int:
        raise BrokenPipeError(32, "Broken pipe")


def test_standard_streams_that_fail(restorekit, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = SimpleNamespace(buffer=Broken())
    monkeypatch.setattr(sys, "stdin", broken)
    code, _, err = restorekit("denoise", "-", *QUICK, "--model", model)
    assert (code, err) == (1, "error: -: standard input cannot be read (Input/output error)\n")
    (tmp_path / "x.png").write_bytes(b"data")
    monkeypatch.setattr(sys, "stdout", broken)
    with pytest.raises(ImageError, match=r"^-: standard output cannot be written \(Broken pipe\)$"):
        StandardFiles(tmp_path, tmp_path / "x.png", True).write_output()


@pytest.mark.parametrize(
    ("number", "code", "text"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_signal_ends_a_run_with_a_report(tmp_path: Path, number: int, code: int, text: str) -> None:
    for i in range(200):
        save(tmp_path / "in" / f"{i:03}.png", 64, 64, 3, seed=i)
    model = small_model(tmp_path / "model")
    words = "-m", "restorekit", "denoise", tmp_path / "in", *QUICK, "--model", model, "-o", tmp_path / "out"
    process = subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (tmp_path / "out" / "001.png").exists() and time.monotonic() < deadline:
        os.sched_yield()
    process.send_signal(number)
    out, err = process.communicate()
    assert process.returncode == code
    done = len(list((tmp_path / "out").glob("*.png")))
    assert 2 <= done < 200
    assert err.splitlines()[-1] == f"denoise: {text}; {done} of 200 done; the same command resumes"
    assert out.startswith(f"denoise: {done} restored")
    assert sorted(path.name for path in (tmp_path / "out").glob(".*")) == [MANIFEST]


JOBS = [Job(Path(f"{number}.png"), (Path(f"out/{number}.png"),), {}) for number in range(4)]


def test_progress_without_a_terminal_is_a_line_every_30_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr(terminal, "time", SimpleNamespace(monotonic=lambda: now))
    with RunProgress("denoise", 4) as progress:
        photo = progress.observe(JOBS[0], 0)
        now = 29.0
        photo.windows(1, 8)
        assert capsys.readouterr().err == ""
        now = 30.0
        photo.windows(8, 8)
        now = 59.0
        photo.windows(4, 8)
        now = 60.0
        progress.photo_done(JOBS[0])
        now = 95.0
        progress.observe(JOBS[1], 0).windows(4, 8)
    assert capsys.readouterr().err.splitlines() == [
        "denoise: 0 of 4 photos, step 1, window 8 of 8",
        "denoise: 1 of 4 photos, about 0:03:00 left",
        "denoise: 1 of 4 photos, step 1 of 1, window 4 of 8, about 0:02:38 left",
    ]


def test_progress_within_a_photo_needs_the_number_of_evaluations(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr(terminal, "time", SimpleNamespace(monotonic=lambda: now))
    with RunProgress("denoise", 1) as progress:
        progress.steps = 1
        photo = progress.observe(JOBS[0], 0)
        now = 60.0
        photo.windows(10, 100)
    assert capsys.readouterr().err == "denoise: 0 of 1 photos, step 1 of 1, window 10 of 100, about 0:09:00 left\n"


def test_progress_counts_the_photos_that_are_restored_at_the_same_time_and_their_samples(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr(terminal, "time", SimpleNamespace(monotonic=lambda: now))
    second = replace(JOBS[1], targets=(Path("out/1-1.png"), Path("out/1-2.png")))
    with RunProgress("inpaint", 2) as progress:
        progress.steps = 2
        first = progress.observe(JOBS[0], 0)
        first.windows(1, 1)
        first.windows(1, 1)
        photo = progress.observe(second, 1)
        now = 60.0
        photo.windows(1, 1)
        assert capsys.readouterr().err == "inpaint: 0 of 2 photos, 2 in progress, about 0:00:09 left\n"
        now = 90.0
        progress.photo_done(JOBS[0])
        now = 120.0
        photo.windows(1, 2)
    assert capsys.readouterr().err.splitlines() == [
        "inpaint: 1 of 2 photos, about 0:00:13 left",
        "inpaint: 1 of 2 photos, step 2 of 2, window 1 of 2, about 0:00:08 left",
    ]


def test_recipes_state_their_evaluations() -> None:
    evaluations = recipes()["denoise"].evaluations
    assert evaluations is not None
    assert (evaluations({"mode": "mean"}), evaluations({"mode": "sample"})) == (1, None)


def test_windows_of_a_large_photo_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, restorekit, model: Path
) -> None:
    counts: list[tuple[int, int, int | None]] = []

    def windows_done(self: RunProgress, photo: object, done: int, total: int) -> None:
        counts.append((done, total, self.steps))

    monkeypatch.setattr(RunProgress, "windows_done", windows_done)
    photo = save(tmp_path / "a.png", 40, 24, 3)
    assert restorekit("denoise", photo, *QUICK, "--model", model, "--tile", "16", "--noise", "gaussian")[0] == 0
    done, total, steps = counts[-1]
    assert (done, steps) == (total, 1)
    assert total > 1
