"""Metadata are kept where the format stores them; a note reports the rest."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from restorekit.run.images import Photo, encode_photo, read_photo, write_photo
from restorekit.run.metadata import EXIF_DIRECTORY, ORIENTATION, PIXEL_HEIGHT_AND_WIDTH
from restorekit.run.png16 import chunks, encode_png16
from tests.run.test_images import SRGB, pixels

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="%d"/></x:xmpmeta>'


def exif_of(photo: Photo) -> Image.Exif:
    assert photo.exif is not None
    tags = Image.Exif()
    tags.load(photo.exif)
    return tags


def described(deep: bool = False) -> Photo:
    """Return a photo with all metadata."""
    exif = Image.Exif()
    exif[0x010E] = "a description"
    values = pixels(6, 7, 3, top=65535 if deep else 255)
    text = (("Title", "a title"), ("Comment", "größer"), ("Author", "日本"))
    return Photo(values, None, SRGB, exif.tobytes(), xmp=XMP % 1, dpi=(300.0, 150.0), text=text)


@pytest.mark.parametrize("deep", [False, True])
def test_png_keeps_all_metadata(tmp_path: Path, deep: bool) -> None:
    photo = described(deep)
    write_photo(photo, tmp_path / "a.png")
    found = read_photo(tmp_path / "a.png")
    np.testing.assert_array_equal(found.pixels, photo.pixels)
    assert (found.icc, found.exif, found.xmp, found.text) == (photo.icc, photo.exif, photo.xmp, photo.text)
    assert found.dpi == pytest.approx(photo.dpi, rel=1e-3)
    assert found.notes == ()


def test_jpeg_keeps_all_metadata_except_texts_with_keywords(tmp_path: Path) -> None:
    data, notes = encode_photo(described(), tmp_path / "a.jpg")
    (tmp_path / "a.jpg").write_bytes(data)
    found, photo = read_photo(tmp_path / "a.jpg"), described()
    assert (found.icc, found.xmp, found.dpi, found.text) == (photo.icc, photo.xmp, (300, 150), ())
    assert exif_of(found)[0x010E] == "a description"
    assert notes == ("JPEG does not store the texts; dropped",)


def test_comment_of_jpeg_is_kept(tmp_path: Path) -> None:
    Image.fromarray(pixels(6, 7, 3)).save(tmp_path / "a.jpg", comment="größer")
    photo = read_photo(tmp_path / "a.jpg")
    assert photo.text == (("Comment", "größer"),)
    for suffix in (".jpg", ".png"):
        write_photo(photo, tmp_path / f"b{suffix}")
        assert read_photo(tmp_path / f"b{suffix}").text == photo.text


@pytest.mark.parametrize(
    ("suffix", "note"),
    [
        (".bmp", "BMP does not store the colour profile, EXIF, XMP and texts; dropped"),
        (".webp", "WEBP does not store the resolution (DPI) and texts; dropped"),
        (".avif", "AVIF does not store the resolution (DPI) and texts; dropped"),
        (".tif", "TIFF does not store the texts; dropped"),
        (".jp2", "JPEG2000 does not store the colour profile, EXIF, XMP, resolution (DPI) and texts; dropped"),
    ],
)
def test_metadata_that_a_format_does_not_store_are_reported(suffix: str, note: str) -> None:
    assert encode_photo(described(), Path(f"a{suffix}"))[1] == (note,)
    assert encode_photo(Photo(pixels(4, 4, 3)), Path(f"a{suffix}"))[1] == ()


def test_metadata_that_are_too_large_for_jpeg_are_reported() -> None:
    exif = Image.Exif()
    exif[0x010E] = "x" * 70_000
    photo = Photo(pixels(4, 4, 3), exif=exif.tobytes(), xmp=bytes(70_000))
    data, notes = encode_photo(photo, Path("a.jpg"))
    assert notes == ("too large for JPEG: EXIF and XMP; dropped",)
    assert Image.open(io.BytesIO(data)).size == (4, 4)
    assert encode_photo(photo, Path("a.webp"))[1] == ()


def test_16_bit_png_written_as_tiff_keeps_exif(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode_png16(pixels(6, 7, 3, top=65535), SRGB, described().exif))
    data, notes = encode_photo(read_photo(tmp_path / "a.png"), tmp_path / "b.tif")
    (tmp_path / "b.tif").write_bytes(data)
    found = read_photo(tmp_path / "b.tif")
    assert exif_of(found)[0x010E] == "a description"
    assert (found.pixels.dtype, found.icc, notes) == (np.uint16, SRGB, ())


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_turned_jpeg_has_the_upright_size_in_its_exif(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    exif[EXIF_DIRECTORY] = dict(zip(PIXEL_HEIGHT_AND_WIDTH, (6, 9), strict=True))
    Image.fromarray(pixels(6, 9, 3)).save(tmp_path / "a.jpg", exif=exif)
    photo = read_photo(tmp_path / "a.jpg")
    inner = exif_of(photo).get_ifd(EXIF_DIRECTORY)
    assert tuple(inner[tag] for tag in PIXEL_HEIGHT_AND_WIDTH) == photo.pixels.shape[:2]
    assert photo.pixels.shape[:2] == ((9, 6) if orientation in (6, 8) else (6, 9))
    assert ORIENTATION not in exif_of(photo)


@pytest.mark.parametrize("deep", [False, True])
def test_orientation_in_xmp_is_applied_once(tmp_path: Path, deep: bool) -> None:
    values = pixels(6, 9, 3, top=65535 if deep else 255)
    write_photo(Photo(values, xmp=XMP % 6), tmp_path / "a.png")
    photo = read_photo(tmp_path / "a.png")
    np.testing.assert_array_equal(photo.pixels, np.rot90(values, -1))
    assert photo.xmp == XMP % 1
    write_photo(photo, tmp_path / "b.png")
    np.testing.assert_array_equal(read_photo(tmp_path / "b.png").pixels, photo.pixels)


def test_damaged_exif_is_dropped_with_a_note(tmp_path: Path) -> None:
    values = pixels(6, 7, 3)
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x69\x87\x02\0\x01\0\0\0\x08\0\0\0" + bytes(4)
    for broken in (exif, b"Exif\0\0nothing", b"Exif\0\0"):
        data = encode_png16(values.astype(np.uint16) * 257, None, broken)
        (tmp_path / "a.png").write_bytes(data)
        photo = read_photo(tmp_path / "a.png")
        np.testing.assert_array_equal(photo.pixels, values.astype(np.uint16) * 257)
        assert photo.exif is None or photo.exif.startswith(b"Exif")
        write_photo(photo, tmp_path / "b.tif")


def test_exif_of_imagemagick_is_kept_once(tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    exif = described().exif
    assert exif is not None
    info.add_text("Raw profile type exif", f"\nexif\n{len(exif):8}\n{exif.hex()}\n")
    Image.fromarray(pixels(6, 7, 3)).save(tmp_path / "a.png", pnginfo=info)
    photo = read_photo(tmp_path / "a.png")
    assert exif_of(photo)[0x010E] == "a description"
    assert photo.text == ()


def test_metadata_of_results_of_another_size_are_kept() -> None:
    photo = described()
    result = photo.with_tensor(photo.tensor()[0].repeat(1, 2, 2))
    assert (result.xmp, result.dpi, result.text) == (photo.xmp, photo.dpi, photo.text)
    assert result.jpeg_tables is None


def test_chunks_with_a_wrong_checksum_are_an_error() -> None:
    data = bytearray(encode_png16(pixels(3, 3, 3, top=65535)))
    data[20] ^= 1
    with pytest.raises(ValueError, match="wrong checksum in the chunk 'IHDR'"):
        list(chunks(bytes(data)))
