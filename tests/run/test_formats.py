"""What the formats store: checks before the restoration, options of the encoders, and AVIF, HEIF and JPEG 2000."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from restorekit.core.files import HAS_HEIF, IMAGE_SUFFIXES, readable_formats
from restorekit.errors import ImageError, OptionError
from restorekit.run.formats import FORMATS
from restorekit.run.images import Encoding, Photo, check_target, encode_photo, read_photo, write_photo
from restorekit.run.jpeg import quality_of
from tests.run.test_images import SRGB, pixels

heif = pytest.mark.skipif(not HAS_HEIF, reason="needs the extra 'heif'")
NEW = [".avif", ".jp2", pytest.param(".heic", marks=heif), pytest.param(".heif", marks=heif)]


def smooth(channels: int = 3) -> np.ndarray:
    ramp = np.linspace(0, 255, 40)[:, None, None] * np.linspace(0.2, 1, 24)[None, :, None]
    return (ramp * np.linspace(0.5, 1, channels)).round().astype(np.uint8)


@pytest.mark.parametrize("suffix", NEW)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("has_alpha", [False, True])
def test_new_formats_are_written_and_read(tmp_path: Path, suffix: str, channels: int, has_alpha: bool) -> None:
    photo = Photo(smooth(channels), pixels(40, 24) if has_alpha else None)
    write_photo(photo, tmp_path / f"a{suffix}")
    found = read_photo(tmp_path / f"a{suffix}")
    difference = np.abs(found.pixels.astype(int) - photo.pixels)
    assert found.pixels.shape[:2] == (40, 24)
    assert difference.max() <= (0 if suffix == ".jp2" else 8)
    assert (found.alpha is None) is not has_alpha
    assert found.notes == ()


LOSSLESS = [".webp", ".jp2", ".png", ".tif", ".bmp", pytest.param(".heic", marks=heif)]


@pytest.mark.parametrize("suffix", LOSSLESS)
@pytest.mark.parametrize("has_alpha", [False, True])
def test_lossless_files_are_exact(tmp_path: Path, suffix: str, has_alpha: bool) -> None:
    if suffix == ".bmp" and has_alpha:
        return
    photo = Photo(pixels(40, 24, 3), pixels(40, 24, seed=1) if has_alpha else None)
    write_photo(photo, tmp_path / f"a{suffix}", Encoding(lossless=True))
    np.testing.assert_array_equal(read_photo(tmp_path / f"a{suffix}").stacked(), photo.stacked())


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".avif", pytest.param(".heic", marks=heif)])
def test_quality_changes_the_size(suffix: str) -> None:
    photo, path = Photo(pixels(64, 64, 3)), Path(f"a{suffix}")
    sizes = [len(encode_photo(photo, path, Encoding(quality=quality))[0]) for quality in (30, 60, 95)]
    assert sizes[0] < sizes[1] < sizes[2]


@pytest.mark.parametrize(
    ("suffix", "options", "message"),
    [
        (".png", {"quality": 90}, r"a\.png: --output-quality: PNG has no quality; allowed: \.avif, .*\.webp"),
        (".jp2", {"quality": 90}, "JPEG2000 has no quality"),
        (".jpg", {"lossless": True}, r"a\.jpg: --lossless: JPEG is lossy; allowed: .*\.webp"),
        (".avif", {"lossless": True}, "--lossless: AVIF is lossy"),
        (".png", {"lossless": False}, r"a\.png: --no-lossless: PNG is lossless; allowed: .*\.webp"),
        (".gif", {}, r"unknown suffix '\.gif'"),
        ("", {}, "unknown suffix ''"),
    ],
)
def test_options_that_a_format_does_not_have_are_refused(suffix: str, options: dict, message: str) -> None:
    photo, path = Photo(pixels(4, 4, 3)), Path(f"a{suffix}")
    for function in (check_target, encode_photo, write_photo):
        with pytest.raises(OptionError, match=message):
            function(photo, path, Encoding(**options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quality": 0}, "found 0, allowed: 1 to 100"),
        ({"quality": 101}, "found 101, allowed: 1 to 100"),
        ({"quality": 90, "lossless": True}, "exclude each other"),
    ],
)
def test_invalid_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Encoding(**options)


@pytest.mark.parametrize("suffix", [suffix for suffix in IMAGE_SUFFIXES if suffix not in (".png", ".tif", ".tiff")])
def test_16_bit_photos_are_refused_before_the_restoration(suffix: str) -> None:
    if IMAGE_SUFFIXES[suffix] == "HEIF" and not HAS_HEIF:
        return
    with pytest.raises(ImageError, match=r"stores 8 bits per channel.*allowed: \.png, \.tif, \.tiff$"):
        check_target(Photo(pixels(4, 4, 3, top=65535)), Path(f"a{suffix}"))


@pytest.mark.parametrize("suffix", [".jpg", ".bmp"])
def test_alpha_is_refused_before_the_restoration(suffix: str) -> None:
    with pytest.raises(ImageError, match=r"stores no alpha channel; allowed: \.avif.*\.webp$"):
        check_target(Photo(pixels(4, 4, 3), pixels(4, 4)), Path(f"a{suffix}"))


@pytest.mark.parametrize(("suffix", "side"), [(".webp", 16384), (".jpg", 65501)])
def test_sizes_that_a_format_does_not_store_are_refused_before_the_restoration(suffix: str, side: int) -> None:
    with pytest.raises(ImageError, match=f"1 x {side} pixels; allowed in .*: {side - 1}"):
        check_target(Photo(np.zeros((side, 1, 1), np.uint8)), Path(f"a{suffix}"))


def test_every_suffix_has_a_format_whose_check_passes() -> None:
    for suffix, name in IMAGE_SUFFIXES.items():
        assert name in FORMATS
        if name != "HEIF" or HAS_HEIF:
            check_target(Photo(pixels(4, 4, 3)), Path(f"a{suffix.upper()}"))


def test_without_pillow_heif_the_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("restorekit.core.files.HAS_HEIF", False)
    readable_formats.cache_clear()
    try:
        (tmp_path / "a.jpg").write_bytes(b"\0\0\0\x18ftypheic" + bytes(50))
        with pytest.raises(ImageError, match=r"a\.jpg: .*pip install 'restorekit\[heif\]'"):
            read_photo(tmp_path / "a.jpg")
        with pytest.raises(ImageError, match=r"a\.heic: cannot be written; .*restorekit\[heif\]"):
            check_target(Photo(pixels(4, 4, 3)), Path("a.heic"))
    finally:
        readable_formats.cache_clear()


def saved_jpeg(path: Path, **options) -> Path:
    Image.fromarray(pixels(32, 32, 3)).save(path, "JPEG", **options)
    return path


@pytest.mark.parametrize(("quality", "expected"), [(30, 95), (95, 95), (97, 97), (98, 98), (100, 100)])
def test_jpeg_is_written_at_no_less_than_the_quality_of_the_source(tmp_path: Path, quality: int, expected: int) -> None:
    photo = read_photo(saved_jpeg(tmp_path / "a.jpg", quality=quality))
    assert photo.jpeg_quality == expected
    write_photo(photo.with_tensor(photo.tensor()[0]), tmp_path / "b.jpg")
    saved_jpeg(tmp_path / "c.jpg", quality=expected)
    with Image.open(tmp_path / "b.jpg") as ours, Image.open(tmp_path / "c.jpg") as reference:
        assert ours.quantization == reference.quantization


@pytest.mark.parametrize("component", [0, 1])
def test_quality_follows_the_finest_step_of_any_table(component: int) -> None:
    # The step at this position is 16 or 47 at quality 50 (ITU-T T.81, tables K.1 and K.2), scaled by 2 - quality / 50.
    tables = [[99] * 64, [99] * 64]
    tables[component][3] = 1
    buffer = io.BytesIO()
    Image.fromarray(pixels(8, 8, 3)).save(buffer, "JPEG", qtables=tables)
    with Image.open(buffer) as image:
        assert isinstance(image, JpegImageFile)
        assert quality_of(image) == (99 if component else 96)


def test_a_given_quality_has_precedence_over_that_of_the_source(tmp_path: Path) -> None:
    photo = read_photo(saved_jpeg(tmp_path / "a.jpg", quality=100))
    write_photo(photo, tmp_path / "b.jpg", Encoding(quality=40))
    assert (tmp_path / "b.jpg").stat().st_size < (tmp_path / "a.jpg").stat().st_size / 2


@pytest.mark.parametrize("suffix", [".avif", pytest.param(".heic", marks=heif)])
def test_more_than_8_bits_are_reduced_with_a_note(tmp_path: Path, suffix: str) -> None:
    imagecodecs = pytest.importorskip("imagecodecs")
    path, values = tmp_path / f"a{suffix}", pixels(16, 16, 3, top=65535)
    if suffix == ".avif":
        path.write_bytes(imagecodecs.avif_encode(values >> 6, bitspersample=10))
    else:
        import pillow_heif

        pillow_heif.encode("RGB;16", (16, 16), values.tobytes(), path)
    photo = read_photo(path)
    assert photo.pixels.dtype == np.uint8
    assert photo.notes[0] in ("10 bits per channel were reduced to 8", "12 bits per channel were reduced to 8")


def test_16_bit_colour_jpeg_2000_is_reduced_with_a_note(tmp_path: Path) -> None:
    imagecodecs = pytest.importorskip("imagecodecs")
    (tmp_path / "a.jp2").write_bytes(imagecodecs.jpeg2k_encode(pixels(16, 16, 3, top=65535), codecformat="jp2"))
    assert read_photo(tmp_path / "a.jp2").notes == ("16 bits per channel were reduced to 8",)


@pytest.mark.parametrize("suffix", [".avif", ".webp", pytest.param(".heic", marks=heif)])
def test_profile_exif_and_xmp_are_kept(tmp_path: Path, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x010E] = "a description"
    photo = Photo(pixels(16, 16, 3), None, SRGB, exif.tobytes(), xmp=b"<x:xmpmeta/>")
    write_photo(photo, tmp_path / f"a{suffix}")
    found = read_photo(tmp_path / f"a{suffix}")
    assert (found.icc, found.xmp, found.notes) == (SRGB, b"<x:xmpmeta/>", ())
    assert found.exif is not None
    assert b"a description" in found.exif
