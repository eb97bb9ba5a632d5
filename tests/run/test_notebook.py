"""Images before and after a restoration in notebooks."""

from __future__ import annotations

import base64
import copy
import io
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import restorekit as rk
from restorekit.core.recipe import recipe
from restorekit.errors import ImageError, OptionError
from restorekit.run.api import restore
from restorekit.run.images import read_photo
from restorekit.run.metadata import ORIENTATION
from restorekit.run.notebook import SHOWN
from restorekit.testing import GaussianPrior
from tests.run.test_folder import save, speckle
from tests.run.test_images import pixels

QUICK = {"device": "cpu", "precision": "float32"}


@recipe("inverted", samples=True)
def inverted(y, prior, noise):
    """Invert."""
    import warnings

    warnings.warn(rk.RestorekitWarning("--sigma is <b>0</b>"), stacklevel=2)
    return -y


def images_in(text: str) -> list[Image.Image]:
    found = re.findall(r'src="data:image/webp;base64,([^"]+)"', text)
    return [Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB") for data in found]


@pytest.fixture
def result(tmp_path: Path) -> rk.RestoredImage:
    Image.new("RGB", (60, 40), (200, 100, 50)).save(tmp_path / "a.png")
    with pytest.warns(rk.RestorekitWarning, match="sigma is"):
        return restore(inverted, tmp_path / "a.png", GaussianPrior(), **QUICK)


def test_results_of_paths_and_pil_images_remember_the_photo(result: rk.RestoredImage, tmp_path: Path) -> None:
    assert isinstance(result, rk.RestoredImage)
    assert result.before == Image.new("RGB", (60, 40), (200, 100, 50))
    assert result == Image.new("RGB", (60, 40), (55, 155, 205))
    assert result.notes == ("sigma is <b>0</b>",)
    assert result.seconds > 0
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.new("L", (60, 40), 7).save(tmp_path / "b.jpg", exif=exif)
    with Image.open(tmp_path / "b.jpg") as photo, pytest.warns(rk.RestorekitWarning):
        several = restore(inverted, [photo, tmp_path / "b.jpg"], GaussianPrior(), samples=2, **QUICK)
    assert [image.before.size for images in several for image in images] == [(40, 60)] * 4
    with pytest.warns(rk.RestorekitWarning):
        array = restore(inverted, pixels(8, 8, 3), GaussianPrior(), **QUICK)
    assert type(array) is np.ndarray


def test_a_result_is_a_normal_image(result: rk.RestoredImage, tmp_path: Path) -> None:
    assert np.asarray(result).shape == (40, 60, 3)
    assert np.asarray(result)[0, 0].tolist() == [55, 155, 205]
    for name in ("x.png", "x.jpg", "x.tif"):
        result.save(tmp_path / name)
        assert read_photo(tmp_path / name).pixels.shape == (40, 60, 3)
    plain = Image.new("RGB", (60, 40), (55, 155, 205))
    for other in (result.convert("RGB"), result.crop((0, 0, 60, 40)), result.resize((60, 40))):
        assert np.asarray(other).tolist() == np.asarray(plain).tolist()
    assert result == plain
    assert type(result.convert("L")) is Image.Image
    assert result != result.convert("L")
    assert result != 3
    restored_twice = restore(speckle, result, GaussianPrior(), **QUICK)
    assert restored_twice.before == result
    result.putpixel((0, 0), (1, 2, 3))
    assert result.getpixel((0, 0)) == (1, 2, 3)
    assert result.before.getpixel((0, 0)) == (200, 100, 50)
    with pytest.raises(TypeError, match="unhashable"):
        hash(result)


@pytest.mark.parametrize(
    "copied", [rk.RestoredImage.copy, copy.copy, copy.deepcopy, lambda image: pickle.loads(pickle.dumps(image))]
)
def test_copies_keep_what_the_result_was_made_from(result: rk.RestoredImage, copied) -> None:
    other = copied(result)
    assert isinstance(other, rk.RestoredImage)
    assert (other, other.before, other.notes) == (result, result.before, result.notes)
    other.putpixel((0, 0), (1, 2, 3))
    assert result.getpixel((0, 0)) == (55, 155, 205)


def test_notebooks_show_before_and_after(result: rk.RestoredImage) -> None:
    text = result._repr_html_()
    before, after = images_in(text)
    assert np.abs(np.asarray(before, int) - (200, 100, 50)).max() < 4
    assert np.abs(np.asarray(after, int) - (55, 155, 205)).max() < 4
    assert "<li>sigma is &lt;b&gt;0&lt;/b&gt;</li>" in text
    assert 'width="240"' in text, "a small image is enlarged"
    picture = Image.open(io.BytesIO(result._repr_png_()))
    assert picture.size == (60 + 8 + 60, 40)
    assert picture.getpixel((127, 0)) == (55, 155, 205, 255)
    assert picture.getpixel((63, 0))[3] == 0
    assert result._repr_jpeg_() is None


def test_large_images_are_bounded_and_have_a_detail() -> None:
    before = pixels(1200, 1600, 3)
    after = before.copy()
    after[700:760, 900:960] = 255
    text = rk.before_after(before, after)._repr_html_()
    assert len(text) < 500_000
    shown = images_in(text)
    assert [max(image.size) for image in shown] == [480, 480, 240, 240]
    assert (np.asarray(shown[3]) > 240).all(2).sum() > 3000
    assert len(images_in(rk.before_after(before, before)._repr_html_())) == 2


@pytest.mark.parametrize(
    "image",
    [
        torch.zeros(1, 3, 20, 30),
        torch.zeros(1, 20, 30, dtype=torch.float64),
        np.full((20, 30), 0.5),
        np.full((20, 30, 4), 128, np.uint8),
        np.full((20, 30, 3), 32896, np.uint16),
        Image.new("L", (30, 20), 128),
        "deep.png",
    ],
)
def test_images_of_all_kinds_can_be_compared(image, tmp_path: Path, monkeypatch) -> None:
    from restorekit.run.png16 import encode_png16

    monkeypatch.chdir(tmp_path)
    Path("deep.png").write_bytes(encode_png16(np.full((20, 30, 3), 32896, np.uint16), None, None, None, None))
    pair = rk.before_after(image, torch.ones(3, 40, 60) * 4)
    assert repr(pair) == "<BeforeAfter: 30 x 20 and 60 x 40 pixels>"
    picture = Image.open(io.BytesIO(pair._repr_png_()))
    assert picture.size == (98, 40)
    assert picture.getpixel((5, 5))[:3] == pytest.approx((128, 128, 128), abs=1)
    assert picture.getpixel((90, 20)) == (255, 255, 255, 255)


def test_wrong_images_are_one_line(tmp_path: Path) -> None:
    image = np.zeros((4, 4), np.uint8)
    for wrong, kind, problem in (
        (torch.zeros(2, 3, 4, 4), OptionError, "before_after after: found 2 images, allowed: one"),
        (torch.zeros(2, 4, 4), OptionError, "before_after after: found a tensor"),
        (3, OptionError, "before_after after: found int"),
        (tmp_path / "missing.png", ImageError, "no such file"),
    ):
        with pytest.raises(kind, match=problem):
            rk.before_after(image, wrong)


def test_the_report_of_a_run_is_bounded(tmp_path: Path) -> None:
    for number in range(SHOWN + 2):
        save(tmp_path / "in" / f"{number}<b>.png", 300, 400, 3, seed=number)
    for number in range(30):
        (tmp_path / "in" / f"bad{number}.png").write_bytes(b"no image")
    report = rk.restore_folder(speckle, tmp_path / "in", tmp_path / "out", GaussianPrior(), report=True, **QUICK)
    text = report._repr_html_()
    assert len(images_in(text)) == 2 * SHOWN
    assert len(text) < 300_000
    assert "8 restored" in text
    assert "30 failed" in text
    assert "kept" not in text
    assert "0&lt;b&gt;.png" in text
    assert "and 2 more" in text
    assert text.count("not a readable image") == 10
    assert f"report: {tmp_path / 'out' / 'report.html'}" in text
    for file in (tmp_path / "out").glob("*.png"):
        file.unlink()
    assert not images_in(report._repr_html_())
    assert "no photos" in rk.RunReport()._repr_html_()
