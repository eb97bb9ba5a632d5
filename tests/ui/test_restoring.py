"""Restoring the photos of a visitor writes what the command writes."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from restorekit.errors import OptionError
from restorekit.plugins.discovery import recipes
from restorekit.run.images import write_photo
from restorekit.run.photo import Photo
from restorekit.ui.jobs import Job
from restorekit.ui.order import make_order, photo_orders
from restorekit.ui.restoring import Restoration, restore_photos
from restorekit.ui.visitor import Visitor, Visitors
from tests.models.small import small_model
from tests.run.test_folder import pixels, save
from tests.ui.conftest import upload_of

SECONDS = 120


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(small_model(tmp_path_factory.mktemp("model")))


@pytest.fixture
def visitor(visitors: Visitors) -> Visitor:
    return visitors.get("one")


def photo_with_metadata(path: Path) -> Path:
    """A JPEG file with EXIF, a colour profile and a resolution."""
    image = Image.fromarray(pixels(40, 30, 3))
    exif = Image.Exif()
    exif[0x010F], exif[0x8298] = "Camera", "Author"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image.save(path, quality=90, exif=exif, icc_profile=profile, dpi=(300, 300))
    return path


def deep_photo(path: Path) -> Path:
    """A PNG file of 16 bits per channel."""
    write_photo(Photo(pixels(40, 30, 3).astype(np.uint16) * 257 + 3), path)
    return path


def restored(
    visitors: Visitors,
    visitor: Visitor,
    recipe: str,
    values: dict[str, Any],
    on_change: Callable[[Job], None] = lambda job: None,
    **common: Any,
) -> Job:
    """The job at its end; its result is a `Restoration`."""
    orders = photo_orders(visitor, make_order(recipes()[recipe], values, common), "cpu")
    job, done = Job(lambda job: restore_photos(job, visitor, orders)), threading.Event()
    job._listeners.add(lambda: on_change(job))
    visitors.start(visitor, job)
    job.when_finished(done.set)
    assert done.wait(SECONDS)
    return job


def result_of(job: Job) -> Restoration:
    assert job.state == "done", (job.state, job.error)
    assert isinstance(job.result, Restoration)
    assert job.result.failures == ()
    return job.result


def run_shown_command(restorekit: Any, command: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the command that the page shows in a folder."""
    monkeypatch.chdir(folder)
    program, *words = shlex.split(command)
    code, _, err = restorekit(*words, "--device", "cpu")
    assert (program, code) == ("restorekit", 0), err


@pytest.mark.parametrize(
    ("make", "name", "recipe", "values", "common"),
    [
        (photo_with_metadata, "a b.jpg", "denoise", {"sigma": "25"}, {}),
        (photo_with_metadata, "a.jpg", "denoise", {"mode": "sample", "sigma": "25", "steps": 3}, {"seed": 7}),
        (photo_with_metadata, "a.jpg", "denoise", {"sigma": 25}, {"quality": 80, "format": "webp"}),
        (deep_photo, "deep.png", "denoise", {"sigma": 25.0, "strength": 0.5}, {"format": ""}),
    ],
)
def test_the_result_is_that_of_the_command(
    restorekit, visitors, visitor, model, tmp_path, monkeypatch, make, name, recipe, values, common
) -> None:
    file = make(tmp_path / name)
    visitor.add(upload_of(file, visitors.root), name)
    photo = result_of(restored(visitors, visitor, recipe, {"model": model, **values}, **common)).photos[0]
    run_shown_command(restorekit, photo.command, tmp_path, monkeypatch)
    suffix = f".{common['format']}" if common.get("format") else file.suffix
    expected = (tmp_path / "restored" / name).with_suffix(suffix)
    assert [path.name for path in photo.files] == [expected.name]
    assert photo.files[0].read_bytes() == expected.read_bytes()
    if name == "a b.jpg":
        with Image.open(photo.files[0]) as image:
            assert (image.getexif()[0x8298], "icc_profile" in image.info) == ("Author", True)


def test_samples_of_a_painted_mask(restorekit, visitors, visitor, model, tmp_path, monkeypatch) -> None:
    file = save(tmp_path / "a.png", 40, 30, 3)
    upload = visitor.add(upload_of(file, visitors.root), "a.png")
    upload.painted = np.zeros((40, 30), bool)
    upload.painted[10:20, 5:25] = True
    values = {"model": model, "mode": "sample", "steps": 2, "invert_mask": False}
    photo = result_of(restored(visitors, visitor, "inpaint", values, samples=3, seed=1)).photos[0]
    *results, mask = photo.files
    assert [path.name for path in photo.files] == ["a-1.png", "a-2.png", "a-3.png", "a_mask.png"]
    (tmp_path / "a_mask.png").write_bytes(mask.read_bytes())
    run_shown_command(restorekit, photo.command, tmp_path, monkeypatch)
    for path in results:
        assert path.read_bytes() == (tmp_path / "restored" / path.name).read_bytes()
    assert len(photo.after) == 3
    assert photo.spread is not None
    assert photo.spread.is_file()


def test_an_inverted_mask(restorekit, visitors, visitor, model, tmp_path, monkeypatch) -> None:
    file = save(tmp_path / "a.png", 40, 30, 3)
    upload = visitor.add(upload_of(file, visitors.root), "a.png")
    upload.painted = np.ones((40, 30), bool)
    upload.painted[10:20, 5:25] = False
    values = {"model": model, "mode": "mean", "steps": 2, "invert_mask": True}
    photo = result_of(restored(visitors, visitor, "inpaint", values)).photos[0]
    with Image.open(photo.files[0]) as after, Image.open(file) as before:
        changed = (np.asarray(after) != np.asarray(before)).any(2)
    assert not changed[upload.painted].any()
    assert changed[10:20, 5:25].mean() > 0.9
    assert "--invert-mask" in photo.command


def test_notes_and_progress(visitors, visitor, model, tmp_path) -> None:
    visitor.add(upload_of(save(tmp_path / "grey.png", 40, 30, 1), visitors.root), "grey.png")
    texts: list[str] = []
    job = restored(
        visitors, visitor, "denoise", {"model": model, "sigma": 25}, lambda job: texts.append(job.progress.text)
    )
    photo = result_of(job).photos[0]
    assert photo.notes == ("grey image: the colour prior gets three equal channels",)
    assert "loading the model" in texts
    assert any(text.startswith("grey.png: step 1") and ", window 1 of " in text for text in texts), texts
    assert photo.detail is None


def test_a_note_on_lossy_formats(visitors, visitor, model, tmp_path) -> None:
    upload = visitor.add(upload_of(photo_with_metadata(tmp_path / "a.jpg"), visitors.root), "a.jpg")
    upload.painted = np.zeros((40, 30), bool)
    upload.painted[10:20, 5:25] = True
    values = {"model": model, "mode": "mean", "steps": 1}
    assert any(
        "JPEG is lossy" in note for note in result_of(restored(visitors, visitor, "inpaint", values)).photos[0].notes
    )


def test_several_photos_of_which_one_fails(visitors, visitor, model, tmp_path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        visitor.add(upload_of(save(tmp_path / name, 40, 30, 3), visitors.root), name)
    visitor.uploads[1].path.write_bytes(b"damaged later")
    job = restored(visitors, visitor, "denoise", {"model": model, "sigma": 25})
    found = job.result
    assert [photo.name for photo in found.photos] == ["a.png", "c.png"]
    assert len(found.failures) == 1
    assert found.failures[0].startswith("b.png: not a readable image; allowed: ")
    assert (found.total, job.state) == (3, "done")


def test_a_large_photo_has_a_detail(visitors, visitor, model, tmp_path) -> None:
    upload = visitor.add(upload_of(save(tmp_path / "a.png", 60, 1700, 3), visitors.root), "a.png")
    assert upload.preview_size == (1600, 56)
    photo = result_of(restored(visitors, visitor, "denoise", {"model": model, "sigma": 25})).photos[0]
    assert photo.detail is not None
    sizes = []
    for path in photo.detail:
        with Image.open(path) as image:
            sizes.append(image.size)
    assert sizes == [(960, 60)] * 2


@pytest.mark.parametrize(
    ("values", "common", "message"),
    [
        ({"sigma": "999"}, {}, r"denoise sigma: found 999, allowed: a number from 0 to 255, or auto"),
        ({"steps": 2.5}, {}, r"denoise steps: found 2.5, allowed: an integer from 1 to 1000"),
        ({"model": "nothing"}, {}, r"--model: unknown model 'nothing'"),
    ],
)
def test_wrong_options_have_the_messages_of_the_command(visitors, visitor, tmp_path, values, common, message) -> None:
    visitor.add(upload_of(save(tmp_path / "a.png", 40, 30, 3), visitors.root), "a.png")
    job = restored(visitors, visitor, "denoise", values, **common)
    assert job.state == "failed"
    assert message in job.error
    assert "\n" not in job.error


def test_no_photo_and_no_mask(visitors, visitor, tmp_path) -> None:
    order = make_order(recipes()["inpaint"], {}, {})
    with pytest.raises(OptionError, match="inpaint: no photo to restore; drop one first"):
        photo_orders(visitor, order, "cpu")
    visitor.add(upload_of(save(tmp_path / "a.png", 40, 30, 3), visitors.root), "a.png")
    with pytest.raises(OptionError, match=r"inpaint: the mask of a\.png is empty"):
        photo_orders(visitor, order, "cpu")
    with pytest.raises(OptionError, match="inpaint samples: found 65, allowed: an integer from 1 to 64"):
        make_order(recipes()["inpaint"], {}, {"samples": 65})


def test_a_stopped_job_writes_nothing(visitors, visitor, model, tmp_path) -> None:
    visitor.add(upload_of(save(tmp_path / "a.png", 40, 30, 3), visitors.root), "a.png")
    steps: list[str] = []

    def stop_at_the_second_step(job: Job) -> None:
        steps.append(job.progress.text)
        if ": step 2" in job.progress.text:
            job.stop()

    values = {"model": model, "mode": "sample", "sigma": 25, "steps": 500}
    job = restored(visitors, visitor, "denoise", values, stop_at_the_second_step)
    assert (job.state, job.result) == ("stopped", None)
    assert not any(": step 4" in text for text in steps)
    assert [path for path in visitor.folder.rglob("*") if "result" in path.parent.name] == []


def test_a_job_that_is_stopped_keeps_the_photos_before(visitors, visitor, model, tmp_path) -> None:
    for name in ("a.png", "b.png"):
        visitor.add(upload_of(save(tmp_path / name, 40, 30, 3), visitors.root), name)

    def stop(job: Job) -> None:
        if "b.png: step" in job.progress.text:
            job.stop()

    job = restored(visitors, visitor, "denoise", {"model": model, "sigma": 25}, stop)
    assert job.state == "stopped"
    assert [photo.name for photo in job.result.photos] == ["a.png"]
