"""Photos as a screen shows them, and the place where two of them differ."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from restorekit.errors import ImageError
from restorekit.run.display import (
    changed_part,
    data_uri,
    mean_change,
    most_different,
    read_8_bits,
    read_shown,
    shrunk,
    to_8_bits,
    to_srgb,
    webp_files,
)
from restorekit.run.images import Photo, write_photo
from restorekit.run.metadata import ORIENTATION
from tests.run.test_images import SRGB, pixels

LINEAR_GREY = 128


def smooth(height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return np.dstack([rows * 255 // height, columns * 255 // width, 0 * rows + 90]).astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_16_bits_are_rounded_to_8(channels: int) -> None:
    deep = pixels(70, 5, channels, top=65535)
    image = to_8_bits(Photo(deep, alpha=deep[..., 0]))
    want = np.round(deep / 257).astype(np.uint8)
    np.testing.assert_array_equal(np.asarray(image), np.dstack([want, want[..., 0]]))
    assert to_srgb(image).mode == "RGBA"


def test_a_colour_profile_is_applied_and_a_wrong_one_ignored() -> None:
    values = smooth(8, 8)
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    for icc in (None, SRGB, b"damaged", lab):
        shown = np.asarray(to_srgb(to_8_bits(Photo(values, icc=icc))))
        assert np.abs(shown.astype(int) - values).max() <= 1
    grey = to_srgb(to_8_bits(Photo(values[..., :1], icc=SRGB)))
    np.testing.assert_array_equal(np.asarray(grey), np.repeat(values[..., :1], 3, 2))


def test_values_of_another_profile_are_converted(linear: bytes) -> None:
    image = to_srgb(to_8_bits(Photo(np.full((2, 2, 3), LINEAR_GREY, np.uint8), icc=linear)))
    assert abs(int(np.asarray(image)[0, 0, 0]) - 188) <= 1  # sRGB of 128 / 255 in linear light
    assert "icc_profile" not in image.info


@pytest.fixture
def linear() -> bytes:
    """An RGB profile with the primaries of sRGB and linear light: that of sRGB with other curves."""
    data = bytearray(SRGB)
    count = int.from_bytes(data[128:132], "big")
    for start in range(132, 132 + 12 * count, 12):
        if data[start : start + 4] in (b"rTRC", b"gTRC", b"bTRC"):
            offset = int.from_bytes(data[start + 4 : start + 8], "big")
            data[offset : offset + 12] = b"curv" + bytes(8)  # no points: the identity
    return bytes(data)


@pytest.mark.parametrize("side", [None, 40])
def test_a_jpeg_is_upright_at_every_size(tmp_path: Path, side: int | None) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    values = smooth(400, 640)
    Image.fromarray(values).save(tmp_path / "a.jpg", exif=exif, quality=95, icc_profile=SRGB)
    image, size = read_8_bits(tmp_path / "a.jpg", side)
    assert size == (400, 640)
    assert image.size == ((400, 640) if side is None else (50, 80))
    want = np.rot90(np.asarray(Image.fromarray(values).resize(image.size[::-1])), 3)
    assert np.abs(np.asarray(image, int) - want).mean() < 3
    assert image.info["icc_profile"] == SRGB


@pytest.mark.parametrize("side", [None, 40])
@pytest.mark.parametrize("data", [b"no image", b"\xff\xd8\xff\xe0 not a photo", None])
def test_damaged_files_are_image_errors(tmp_path: Path, data: bytes | None, side: int | None) -> None:
    if data is not None:
        (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(ImageError, match=r"a\.jpg"):
        read_8_bits(tmp_path / "a.jpg", side)
    assert read_shown(tmp_path / "a.jpg", 40) is None


def test_a_small_image_keeps_its_pixels(tmp_path: Path) -> None:
    values = smooth(30, 40)
    write_photo(Photo(values), tmp_path / "a.png")
    shown = read_shown(tmp_path / "a.png", 40)
    assert shown is not None
    np.testing.assert_array_equal(np.asarray(shown), values)
    assert shrunk(shown, 20).size == (20, 15)
    assert shrunk(Image.new("L", (1000, 1)), 10).size == (10, 1)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA"])
def test_the_part_that_differs_the_most_is_found(mode: str) -> None:
    one = Image.fromarray(smooth(150, 210)).convert(mode)
    other = one.copy()
    other.paste(one.crop((0, 0, 20, 20)), (133, 97))
    left, top, right, bottom = most_different([one, one, other], 40, 40)
    assert (right - left, bottom - top) == (40, 40)
    assert left <= 133
    assert top <= 97
    assert right >= 153
    assert bottom >= 117
    assert most_different([one, one], 40, 40) == (85, 55, 125, 95)
    assert most_different([one, other], 500, 500) == (0, 0, 210, 150)
    assert most_different([one.crop((0, 0, 3, 5)), other.crop((1, 0, 4, 5))], 2, 9)[3] == 5


def test_mean_change() -> None:
    one, other = Image.new("L", (7, 5), 10), Image.new("RGBA", (7, 5), (13, 10, 10, 0))
    assert mean_change(one, other) == pytest.approx(1)


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_the_changed_part_has_the_size_of_the_result(factor: int) -> None:
    before = Image.fromarray(smooth(240, 300))
    after = before.copy()
    after.paste((255, 255, 255), (200, 100, 220, 120))
    part = changed_part(before, after.resize((300 * factor, 240 * factor)), 120)
    assert part is not None
    left, top, right, bottom = part.box
    assert left <= 200
    assert right >= 220
    assert top <= 100
    assert bottom >= 120
    assert part.before.size == part.after.size == ((right - left) * factor, (bottom - top) * factor)
    assert abs(part.after.width - min(120, 80 * factor)) <= factor
    assert part.change > 0
    assert np.asarray(part.after).max() == 255


def test_smaller_results_and_other_shapes_have_no_changed_part() -> None:
    before = Image.fromarray(smooth(240, 300))
    assert changed_part(before, before.resize((150, 120)), 50) is None
    assert changed_part(before, before.resize((300, 300)), 50) is None


def test_images_fit_into_the_limit_and_keep_a_common_size() -> None:
    noisy = Image.fromarray(pixels(200, 300, 3))
    files = webp_files([noisy, Image.new("RGB", (300, 200), "red")], 5000)
    assert sum(map(len, files)) <= 5000
    sizes = {Image.open(io.BytesIO(file)).size for file in files}
    assert len(sizes) == 1
    width, height = sizes.pop()
    assert width < 300
    assert abs(width / height - 1.5) < 0.05
    best = webp_files([noisy], 10**6)[0]
    assert Image.open(io.BytesIO(best)).size == (300, 200)
    assert len(webp_files([noisy], 10)) == 1  # tiny, whatever the limit is
    assert base64.b64decode(data_uri(best).removeprefix("data:image/webp;base64,")) == best
