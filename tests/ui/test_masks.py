"""Masks that are painted or loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import restorekit as rk
from restorekit.errors import ImageError, OptionError
from restorekit.plugins.discovery import recipes
from restorekit.run.side_images import Reading
from restorekit.ui.masks import forget, layer_of, load_mask, mask_for, mask_parameter, painted_pixels, remember
from restorekit.ui.visitor import Upload, Visitor, Visitors
from tests.run.test_folder import save
from tests.ui.conftest import upload_of

INPAINT = recipes()["inpaint"]
MASK = mask_parameter(INPAINT)
assert MASK is not None


@pytest.fixture
def visitor(visitors: Visitors) -> Visitor:
    return visitors.get("one")


def photo(visitor: Visitor, tmp_path: Path, height: int = 40, width: int = 60, side: int = 0) -> Upload:
    """A photo of a visitor, whose preview has another long side."""
    upload = visitor.add(upload_of(save(tmp_path / "a.png", height, width, 3), visitor.folder.parent), "a.png")
    if side:
        upload.preview_size = (side, round(side * height / width))
    return upload


def editor(upload: Upload, *areas: tuple[slice, slice]) -> dict[str, Any]:
    """What the editor contains after painting areas of the preview."""
    width, height = upload.preview_size
    layer = np.zeros((height, width, 4), np.uint8)
    for area in areas:
        layer[area] = (255, 40, 90, 160)
    return {"background": np.zeros((height, width, 4), np.uint8), "layers": [layer], "composite": None}


def mask_file(visitor: Visitor, marked: np.ndarray[Any, Any]) -> Path:
    path = visitor.new_folder("upload") / "m.png"
    Image.fromarray(marked.astype(np.uint8) * 255).save(path)
    return path


def pixels(path: Path) -> np.ndarray[Any, Any]:
    with Image.open(path) as image:
        assert image.mode == "L"
        return np.asarray(image)


def test_the_mask_of_a_recipe(every_option: rk.Recipe) -> None:
    assert mask_parameter(recipes()["denoise"]) is None
    assert mask_parameter(every_option).name == "mask"  # type: ignore[union-attr]


def test_layers_and_marked_pixels() -> None:
    marked = np.zeros((5, 7), bool)
    marked[2, 3:5] = True
    assert np.array_equal(painted_pixels({"layers": [layer_of(marked)]}), marked)  # type: ignore[arg-type]
    assert painted_pixels({"layers": [layer_of(marked), None, layer_of(~marked)]}).all()  # type: ignore[union-attr]
    for empty in (None, {"layers": []}, {"layers": None}, {"layers": [layer_of(np.zeros((5, 7), bool))]}):
        assert painted_pixels(empty) is None


def test_a_painted_mask_is_scaled_to_the_photo(visitor: Visitor, tmp_path: Path) -> None:
    upload = photo(visitor, tmp_path, 400, 600, side=60)
    remember(upload, editor(upload, (slice(10, 20), slice(30, 50))))
    path, reading = mask_for(visitor, upload, MASK, INPAINT, Reading(True, "red", True))
    found = pixels(path)
    assert (path.name, found.shape, reading) == ("a_mask.png", (400, 600), Reading(True))
    assert set(np.unique(found)) == {0, 255}
    assert found[105:195, 305:495].all()
    assert not found[:95].any()
    assert found.astype(bool).sum() == pytest.approx(100 * 200, rel=0.02)


def test_thin_strokes_are_kept(visitor: Visitor, tmp_path: Path) -> None:
    upload = photo(visitor, tmp_path, 400, 600, side=60)
    remember(upload, editor(upload, (slice(10, 11), slice(5, 55))))
    found = pixels(mask_for(visitor, upload, MASK, INPAINT, Reading())[0])
    assert found[105, 60:540].all()


def test_the_editor_of_another_photo_is_ignored(visitor: Visitor, tmp_path: Path) -> None:
    upload = photo(visitor, tmp_path)
    remember(upload, editor(upload, (slice(0, 5), slice(0, 5))))
    upload.preview_size, before = (30, 20), upload.painted
    remember(upload, {"background": np.zeros((40, 60, 4)), "layers": []})
    remember(upload, None)
    remember(upload, {"background": None, "layers": [], "composite": None})
    assert upload.painted is before


def test_no_mask(visitor: Visitor, tmp_path: Path) -> None:
    upload = photo(visitor, tmp_path)
    remember(upload, editor(upload))
    with pytest.raises(OptionError, match=r"^inpaint: the mask of a\.png is empty; paint it or load a file$"):
        mask_for(visitor, upload, MASK, INPAINT, Reading())


def test_a_loaded_file_is_used_as_it_is(visitor: Visitor, tmp_path: Path) -> None:
    upload, marked = photo(visitor, tmp_path, 400, 600, side=60), np.zeros((400, 600), bool)
    marked[100, 50:550] = True
    file = mask_file(visitor, marked)
    assert load_mask(upload, file, MASK, Reading()) == []
    # A line of one pixel is visible in the preview.
    assert upload.painted is not None
    assert upload.painted[10, 5:55].all()
    remember(upload, {**editor(upload), "layers": [layer_of(upload.painted)]})
    reading = Reading(False, "luminance", True)
    assert mask_for(visitor, upload, MASK, INPAINT, reading) == (file, reading)
    forget(upload)
    with pytest.raises(OptionError, match="is empty"):
        mask_for(visitor, upload, MASK, INPAINT, reading)


def test_an_edited_file_keeps_its_detail_elsewhere(visitor: Visitor, tmp_path: Path) -> None:
    upload, marked = photo(visitor, tmp_path, 400, 600, side=60), np.zeros((400, 600), bool)
    marked[100, 50:550] = True
    marked[303:307, 100:200] = True
    load_mask(upload, mask_file(visitor, marked), MASK, Reading())
    assert upload.painted is not None
    edited = upload.painted.copy()
    edited[30] = False  # the eraser
    edited[20:25, 20:30] = True  # the brush
    remember(upload, {**editor(upload), "layers": [layer_of(edited)]})
    path, reading = mask_for(visitor, upload, MASK, INPAINT, Reading())
    found = pixels(path).astype(bool)
    assert reading == Reading()
    assert np.array_equal(found[90:110], marked[90:110])
    assert not found[295:].any()
    assert found[205:245, 205:295].all()


def test_a_file_of_another_size(visitor: Visitor, tmp_path: Path) -> None:
    upload, marked = photo(visitor, tmp_path), np.zeros((20, 30), bool)
    marked[5:8] = True
    file = mask_file(visitor, marked)
    with pytest.raises(ImageError, match="is 30 x 20, allowed: 60 x 40"):
        load_mask(upload, file, MASK, Reading())
    assert (upload.mask_file, upload.painted) == (None, None)
    load_mask(upload, file, MASK, Reading(resized=True))
    assert upload.painted is not None
    assert upload.painted[10:16].all()


def test_notes_on_a_loaded_file(visitor: Visitor, tmp_path: Path) -> None:
    upload, marked = photo(visitor, tmp_path), np.ones((40, 60), bool)
    marked[20, 20] = False
    notes = load_mask(upload, mask_file(visitor, marked), MASK, Reading())
    assert len(notes) == 1
    assert "% of the pixels are filled" in visitor.plain(notes[0])
