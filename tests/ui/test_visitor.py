"""The folders of visitors, their photos and previews."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from restorekit.errors import ImageError
from restorekit.run.photo import Photo
from restorekit.ui.jobs import Job
from restorekit.ui.visitor import Visitors, safe_name, write_preview
from tests.run.test_folder import save
from tests.ui.conftest import upload_of

SECONDS = 30


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a b (1).jpg", "a b (1).jpg"),
        ("../../etc/passwd", "passwd"),
        ("C:\\photos\\a.png", "a.png"),
        (".hidden.png", "hidden.png"),
        ("..", "photo"),
        ("", "photo"),
        ("a\0.png", "a.png"),
        ("é" * 200 + ".tiff", "é" * 125 + ".tiff"),
    ],
)
def test_names_of_uploads(name: str, expected: str) -> None:
    assert safe_name(name) == expected


def test_a_photo_moves_to_the_folder_of_its_visitor(visitors: Visitors, tmp_path: Path) -> None:
    visitor, other = visitors.get("one"), visitors.get("two")
    assert visitors.get("one") is visitor
    file = upload_of(save(tmp_path / "a.png", 30, 40, 3), visitors.root)
    upload = visitor.add(file, "my photo.png")
    assert (upload.name, upload.size, upload.preview_size) == ("my photo.png", (40, 30), (40, 30))
    assert not file.exists()
    for path in (upload.path, upload.preview):
        assert path.is_relative_to(visitor.folder)
        assert not path.is_relative_to(other.folder)
    assert stat.S_IMODE(visitors.root.stat().st_mode) == 0o700
    assert len(visitor.folder.name) >= 32
    visitors.remove("one")
    assert not visitor.folder.exists()
    assert other.folder.exists()


def test_a_file_that_is_no_photo_is_deleted(visitors: Visitors, tmp_path: Path) -> None:
    visitor = visitors.get("one")
    (tmp_path / "a.jpg").write_text("no photo")
    with pytest.raises(ImageError, match=r"^a\.jpg: not a readable image; allowed: \.avif"):
        visitor.add(upload_of(tmp_path / "a.jpg", visitors.root), "a.jpg")
    assert (visitor.uploads, list(visitor.folder.iterdir())) == ([], [])


def test_messages_contain_names_only(visitors: Visitors) -> None:
    visitor = visitors.get("one")
    text = f"{visitor.folder}/upload-1/a b.png: --mask {visitor.folder}/mask-2/m.png is empty"
    assert visitor.plain(text) == "a b.png: --mask m.png is empty"


def test_the_files_of_a_visitor_who_left_are_deleted_after_the_job(visitors: Visitors) -> None:
    visitor, started, written = visitors.get("one"), threading.Event(), threading.Event()

    def work(job: Job) -> None:
        started.set()
        while not job.is_stopped:
            written.wait(0.01)
        visitor.folder.mkdir(exist_ok=True)
        (visitor.folder / "late.png").touch()

    job, done = Job(work), threading.Event()
    visitors.start(visitor, job)
    assert started.wait(SECONDS)
    visitors.remove("one")
    job.when_finished(done.set)
    assert done.wait(SECONDS)
    assert (job.state, visitor.folder.exists()) == ("stopped", False)
    assert visitors.get("one") is not visitor


def test_a_visitor_has_one_job(visitors: Visitors) -> None:
    visitor = visitors.get("one")
    started, done = threading.Event(), threading.Event()

    def work(job: Job) -> None:
        started.set()
        while True:
            done.wait(0.01)
            job.check()

    first, second = Job(work), Job(lambda job: 2)
    visitors.start(visitor, first)
    assert started.wait(SECONDS)
    visitors.start(visitor, second)
    second.when_finished(done.set)
    assert done.wait(SECONDS)
    assert (first.state, second.result) == ("stopped", 2)


def test_the_preview_of_24_megapixels(tmp_path: Path) -> None:
    pixels = np.tile(data.astronaut(), (8, 12, 1))[:4000, :6000]
    path, size = write_preview(Photo(pixels), tmp_path)
    with Image.open(path) as preview:
        assert size == preview.size == (1600, 1067)
        assert (preview.format, preview.mode) == ("WEBP", "RGB")
    assert path.stat().st_size < 1_500_000


@pytest.mark.parametrize(("channels", "alpha", "mode"), [(1, False, "RGB"), (3, False, "RGB"), (3, True, "RGBA")])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_previews_of_all_kinds(tmp_path: Path, channels: int, alpha: bool, mode: str, dtype: type) -> None:
    largest = np.iinfo(dtype).max
    half = np.full((20, 30), largest // 2, dtype)
    photo = Photo(np.full((20, 30, channels), largest, dtype), half if alpha else None)
    with Image.open(write_preview(photo, tmp_path)[0]) as preview:
        assert (preview.size, preview.mode, preview.getpixel((5, 5))[:3]) == ((30, 20), mode, (255, 255, 255))
