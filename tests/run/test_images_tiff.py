"""TIFF files of every orientation, mode, compression and bit depth."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from restorekit.errors import ImageError
from restorekit.run.images import Photo, read_photo, write_photo
from restorekit.run.metadata import EXIF_DIRECTORY, GPS_DIRECTORY, ORIENTATION
from tests.run.test_images import SRGB, pixels

# The upright image of a stored one (TIFF 6.0, section 8, Orientation).
UPRIGHT = {
    1: lambda v: v,
    2: lambda v: v[:, ::-1],
    3: lambda v: v[::-1, ::-1],
    4: lambda v: v[::-1],
    5: lambda v: v.swapaxes(0, 1),
    6: lambda v: v[::-1].swapaxes(0, 1),
    7: lambda v: v[::-1, ::-1].swapaxes(0, 1),
    8: lambda v: v[:, ::-1].swapaxes(0, 1),
}
HEIGHT, WIDTH = 5, 11
MODES = {"1": 1, "L": 1, "LA": 2, "P": 1, "RGB": 3, "RGBA": 4, "CMYK": 4}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_deflate", "packbits"])
@pytest.mark.parametrize("mode", MODES)
def test_8_bit_tiff_is_upright(tmp_path: Path, mode: str, compression: str | None, orientation: int) -> None:
    values = pixels(HEIGHT, WIDTH, MODES[mode])
    if mode == "1":
        values = np.where(values > 127, 255, 0).astype(np.uint8)
    image = Image.fromarray(values.squeeze()).convert("1") if mode == "1" else _image(values, mode)
    image.save(tmp_path / "a.tif", compression=compression, tiffinfo={ORIENTATION: orientation})
    photo = read_photo(tmp_path / "a.tif")
    expected = np.asarray(_image(values, mode).convert("RGB")) if mode in ("P", "CMYK") else values
    found = photo.stacked()
    np.testing.assert_array_equal(found, UPRIGHT[orientation](expected))
    assert photo.exif is None


def _image(values: np.ndarray, mode: str) -> Image.Image:
    image = Image.frombytes("L" if mode in ("1", "P") else mode, (WIDTH, HEIGHT), values.tobytes())
    if mode == "P":
        image.putpalette([*range(256)] * 3)
    return image


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("compression", [None, "lzw", "deflate", "packbits"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bit_tiff_is_upright(tmp_path: Path, channels: int, compression: str | None, orientation: int) -> None:
    values = pixels(HEIGHT, WIDTH, channels, top=65535)
    tifffile.imwrite(
        tmp_path / "a.tif",
        values.squeeze(),
        photometric="rgb" if channels > 2 else "minisblack",
        planarconfig="contig" if channels > 1 else None,
        extrasamples=["unassalpha"] if channels in (2, 4) else None,
        compression=compression,
        predictor=compression in ("lzw", "deflate"),
        extratags=[(ORIENTATION, 3, 1, orientation, True)],
    )
    np.testing.assert_array_equal(read_photo(tmp_path / "a.tif").stacked(), UPRIGHT[orientation](values))


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("has_alpha", [False, True])
def test_written_tiff_is_read(tmp_path: Path, kind: type, channels: int, has_alpha: bool) -> None:
    top = np.iinfo(kind).max
    photo = Photo(pixels(7, 5, channels, top=top), pixels(7, 5, top=top) if has_alpha else None)
    write_photo(photo, tmp_path / "a.tif")
    found = read_photo(tmp_path / "a.tif")
    np.testing.assert_array_equal(found.stacked(), photo.stacked())
    assert found.pixels.dtype == kind
    assert found.notes == ()


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_tiff_keeps_exif_gps_xmp_resolution_and_profile(tmp_path: Path, kind: type) -> None:
    exif = Image.Exif()
    exif[0x010E], exif[0x010F] = "a description", "Müller"
    exif[0x4746], exif[0x9C9B] = 5, "Titel".encode("utf-16-le")
    exif[EXIF_DIRECTORY] = {0x9003: "2026:01:02 03:04:05", 0x829A: IFDRational(1, 250), 0xA005: {1: "R98"}}
    exif[GPS_DIRECTORY] = {1: "N", 2: (IFDRational(48), IFDRational(8), IFDRational(1, 3))}
    values = pixels(7, 5, 3, top=np.iinfo(kind).max)
    photo = Photo(values, None, SRGB, exif.tobytes(), xmp=b"<x:xmpmeta/>", dpi=(300.0, 150.0))
    write_photo(photo, tmp_path / "a.tif")
    found = read_photo(tmp_path / "a.tif")
    assert (found.icc, found.xmp, found.dpi, found.notes) == (SRGB, b"<x:xmpmeta/>", (300.0, 150.0), ())
    tags = Image.Exif()
    assert found.exif is not None
    tags.load(found.exif)
    assert (tags[0x010E], tags[0x4746], tags[0x9C9B]) == ("a description", 5, "Titel".encode("utf-16-le"))
    assert tags.get_ifd(EXIF_DIRECTORY)[0x9003] == "2026:01:02 03:04:05"
    assert float(tags.get_ifd(EXIF_DIRECTORY)[0x829A]) == 1 / 250
    assert tags.get_ifd(0xA005) == {1: "R98"}
    assert [float(v) for v in tags.get_ifd(GPS_DIRECTORY)[2]] == [48, 8, 1 / 3]
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert tiff.pages.first.tags["ExifTag"].value["DateTimeOriginal"] == "2026:01:02 03:04:05"


def tiff_bytes(**options) -> bytearray:
    buffer = io.BytesIO()
    values = pixels(64, 40, 3, top=options.pop("top", 255))
    tifffile.imwrite(buffer, values, photometric="rgb", rowsperstrip=1, metadata=None, **options)
    return bytearray(buffer.getvalue())


@pytest.mark.parametrize("top", [255, 65535])
@pytest.mark.parametrize("compression", [None, "deflate"])
def test_tiff_with_missing_strips_is_refused(tmp_path: Path, top: int, compression: str | None) -> None:
    data = tiff_bytes(top=top, compression=compression)
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        tags = tiff.pages.first.tags
        for name in ("StripOffsets", "StripByteCounts"):
            position = tags[name].offset + 4  # the number of values
            data[position : position + 4] = (32).to_bytes(4, "little")
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(ImageError, match=r"a\.tif: damaged.*32 of 64 strips"):
        read_photo(tmp_path / "a.tif")


@pytest.mark.parametrize("top", [255, 65535])
@pytest.mark.parametrize("compression", ["deflate", "lzw", "packbits", None])
def test_small_tiff_that_declares_many_pixels_is_refused(tmp_path: Path, top: int, compression: str | None) -> None:
    data = tiff_bytes(top=top, compression=compression)
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        for name in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            tag = tiff.pages.first.tags[name]
            size, value = (2, 12000) if tag.dtype == 3 else (4, 12000)
            if name != "ImageWidth":
                value = 10000 if name == "ImageLength" else 65535
            data[tag.valueoffset : tag.valueoffset + size] = value.to_bytes(size, "little")
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(ImageError, match=r"damaged.*12000 x 10000"):
        read_photo(tmp_path / "a.tif")


@pytest.mark.parametrize("top", [255, 65535])
def test_tiff_with_short_strips_is_refused(tmp_path: Path, top: int) -> None:
    import zlib

    data = tiff_bytes(top=top, compression="deflate")
    short = zlib.compress(bytes(30), 0)
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        page = tiff.pages.first
        offset, tag = page.dataoffsets[7], page.tags["StripByteCounts"]
    data[offset : offset + len(short)] = short
    size = {3: 2, 4: 4}[tag.dtype]
    position = tag.valueoffset + 7 * size
    data[position : position + size] = len(short).to_bytes(size, "little")
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(ImageError, match=r"a\.tif: damaged"):
        read_photo(tmp_path / "a.tif")


@pytest.mark.parametrize(("kind", "message"), [(np.int16, "int16"), (np.uint32, "uint32"), (np.int8, "int8")])
def test_tiff_of_other_pixels_is_refused(tmp_path: Path, kind: type, message: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 4), kind))
    with pytest.raises(ImageError, match=f"{message}.*allowed: 8 or 16 bits"):
        read_photo(tmp_path / "a.tif")


@pytest.mark.parametrize("order", ["<", ">"])
def test_tiff_keeps_unicode_comments_of_both_byte_orders(tmp_path: Path, order: str) -> None:
    exif = Image.Exif()
    exif.endian = order
    comment = b"UNICODE\0" + "größer".encode("utf-16-le" if order == "<" else "utf-16-be")
    exif[EXIF_DIRECTORY] = {0x9286: comment}
    values = pixels(7, 5, 3, top=65535)
    write_photo(Photo(values, exif=exif.tobytes()), tmp_path / "a.tif")
    assert (tmp_path / "a.tif").read_bytes().startswith(b"II" if order == "<" else b"MM")
    photo = read_photo(tmp_path / "a.tif")
    np.testing.assert_array_equal(photo.pixels, values)
    tags = Image.Exif()
    assert photo.exif is not None
    tags.load(photo.exif)
    assert (tags.endian, tags.get_ifd(EXIF_DIRECTORY)[0x9286]) == (order, comment)


def test_tiff_without_columns_is_refused(tmp_path: Path) -> None:
    data = tiff_bytes()
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        tag = tiff.pages.first.tags["ImageWidth"]
    data[tag.valueoffset : tag.valueoffset + 2] = bytes(2)
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(ImageError, match=r"a\.tif: damaged.*TIFF pixels of shape"):
        read_photo(tmp_path / "a.tif")


@pytest.mark.parametrize("planar", [False, True])
def test_16_bit_tiff_is_read_in_both_planar_configurations(tmp_path: Path, planar: bool) -> None:
    values = pixels(7, 5, 3, top=65535)
    stored = values.transpose(2, 0, 1) if planar else values
    config = "separate" if planar else "contig"
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=config)
    np.testing.assert_array_equal(read_photo(tmp_path / "a.tif").pixels, values)


def test_16_bit_tiff_with_white_as_zero_is_inverted(tmp_path: Path) -> None:
    values = pixels(7, 5, top=65535)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="miniswhite")
    np.testing.assert_array_equal(read_photo(tmp_path / "a.tif").pixels[..., 0], 65535 - values)


def test_premultiplied_alpha_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", pixels(7, 5, 4, top=65535), photometric="rgb", extrasamples=["assocalpha"])
    with pytest.raises(ImageError, match="premultiplied"):
        read_photo(tmp_path / "a.tif")


@pytest.mark.parametrize("cut", [False, True])
def test_damaged_16_bit_tiff_is_an_error(tmp_path: Path, cut: bool) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels(90, 90, 3, top=65535), photometric="rgb", compression="deflate")
    data = bytearray(path.read_bytes())
    path.write_bytes(data[: len(data) // 2] if cut else data[:8] + bytes(40) + data[48:])
    with pytest.raises(ImageError, match=r"a\.tif: (damaged|not a readable image)"):
        read_photo(path)
