"""Files that are damaged, are of another format than their suffix says, or are no regular files."""

from __future__ import annotations

import io
import os
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restorekit.errors import ImageError
from restorekit.run.images import Photo, read_photo, write_photo
from restorekit.run.limits import check_declared_size, read_scans
from restorekit.run.png16 import SIGNATURE, chunks, encode_png16, make_chunk
from tests.run.test_images import pixels


def png(head: bytes, deflated: bytes) -> bytes:
    return SIGNATURE + make_chunk(b"IHDR", head) + make_chunk(b"IDAT", deflated) + make_chunk(b"IEND", b"")


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Damage the deflate data of a PNG file, or what it contains, behind valid checksums."""
    (_, head), (_, deflated), _ = chunks(data)
    raw = bytearray(deflated if rng.random() < 0.5 else zlib.decompress(deflated))
    is_raw = len(raw) != len(deflated)
    for _ in range(rng.integers(1, 20)):
        raw[rng.integers(len(raw))] = rng.integers(256)
    raw = raw[: rng.integers(1, len(raw))] if rng.random() < 0.3 else raw
    return png(head, zlib.compress(raw) if is_raw else bytes(raw))


def test_mutated_16_bit_png_raises_or_has_the_right_size(tmp_path: Path) -> None:
    rng, failed, path = np.random.default_rng(0), 0, tmp_path / "a.png"
    for channels in (2, 3, 4):
        whole = encode_png16(pixels(30, 20, channels, top=65535))
        for _ in range(60):
            path.write_bytes(mutated(whole, rng))
            try:
                assert read_photo(path).stacked().shape == (30, 20, channels)
            except ImageError as error:
                failed += "\n" not in str(error)
    assert failed > 90


@pytest.mark.parametrize(("colour_type", "depth"), [(0, 8), (0, 16), (2, 8), (2, 16), (3, 8), (6, 8), (6, 16)])
def test_tiny_png_that_declares_many_pixels_is_refused_at_once(tmp_path: Path, colour_type: int, depth: int) -> None:
    head = struct.pack(">IIBBBBB", 13000, 13000, depth, colour_type, 0, 0, 0)
    palette = make_chunk(b"PLTE", bytes(768)) if colour_type == 3 else b""
    data = (
        SIGNATURE
        + make_chunk(b"IHDR", head)
        + palette
        + make_chunk(b"IDAT", zlib.compress(b""))
        + make_chunk(b"IEND", b"")
    )
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(ImageError, match=f"13000 x 13000 pixels cannot be stored in {len(data)} bytes"):
        read_photo(tmp_path / "a.png")


def test_uniform_images_are_not_refused(tmp_path: Path) -> None:
    for suffix in (".png", ".jpg", ".tif", ".webp"):
        write_photo(Photo(np.zeros((2000, 3000, 1), np.uint8)), tmp_path / f"a{suffix}")
        assert read_photo(tmp_path / f"a{suffix}").pixels.shape[:2] == (2000, 3000)
    Image.new("1", (3000, 2000)).save(tmp_path / "mask.png", optimize=True)
    assert read_photo(tmp_path / "mask.png").pixels.shape == (2000, 3000, 1)


def jpeg_with_scans(count: int, side: int = 512) -> bytes:
    """Return a progressive JPEG file whose last scan is repeated."""
    buffer = io.BytesIO()
    Image.fromarray(pixels(side, side, 1).squeeze()).save(buffer, "JPEG", progressive=True, quality=10)
    data = buffer.getvalue()
    start = data.rindex(b"\xff\xda")
    found, _ = read_scans(data)
    return data[:start] + data[start:-2] * (count - found + 1) + data[-2:]


def test_scan_bomb_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg_with_scans(101))
    with pytest.raises(ImageError, match="101 scans of 512 x 512 pixels; allowed: 100"):
        read_photo(tmp_path / "a.jpg")
    with Image.open(io.BytesIO(jpeg_with_scans(26, 16))) as image:
        image._size = (9000, 9000)  # type: ignore[attr-defined]
        with pytest.raises(ValueError, match="26 scans of 9000 x 9000 pixels; allowed: 24"):
            check_declared_size(image, io.BytesIO(jpeg_with_scans(26, 16)))


def test_scans_are_counted_in_the_first_image_only() -> None:
    data = jpeg_with_scans(20, side=16)
    trailer = b"\xff\xda" * 500
    preview = b"\xff\xe1" + struct.pack(">H", 2 + len(trailer)) + trailer
    assert read_scans(data) == (20, False)
    assert read_scans(data[:2] + preview + data[2:] + bytes(2) + data[2:]) == (20, False)


def test_tiny_jpeg_that_declares_many_pixels_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "JPEG")
    data = bytearray(buffer.getvalue())
    start = data.index(b"\xff\xc0") + 5
    data[start : start + 4] = struct.pack(">HH", 12000, 12000)
    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(ImageError, match="12000 x 12000 pixels cannot be stored"):
        read_photo(tmp_path / "a.jpg")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
@pytest.mark.parametrize("content", ["EPS", "GIF", "PPM", "ICO"])
def test_formats_that_are_not_ours_are_not_opened(tmp_path: Path, content: str, suffix: str, monkeypatch) -> None:
    buffer = io.BytesIO()
    Image.fromarray(pixels(16, 16, 3)).save(buffer, content)
    (tmp_path / f"a{suffix}").write_bytes(buffer.getvalue())

    def fail(*args, **kwargs) -> None:
        raise AssertionError("a program was started")

    monkeypatch.setattr("subprocess.Popen", fail)
    with pytest.raises(ImageError, match=r"not a readable image; allowed: \.avif"):
        read_photo(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("content", ["PNG", "TIFF", "BMP", "WEBP"])
def test_content_of_another_format_of_ours_is_read_with_a_note(tmp_path: Path, content: str) -> None:
    values = pixels(6, 7, 3)
    options = {"lossless": True} if content == "WEBP" else {}
    Image.fromarray(values).save(tmp_path / "a.jpg", content, **options)
    photo = read_photo(tmp_path / "a.jpg")
    np.testing.assert_array_equal(photo.pixels, values)
    assert photo.notes == (f"the content is {content}, but the suffix is that of JPEG",)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_pipes_and_devices_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    start = time.monotonic()
    with pytest.raises(ImageError, match=r"a\.png: found a pipe, allowed: a regular file"):
        read_photo(tmp_path / "a.png")
    with pytest.raises(ImageError, match="found a device"):
        read_photo(Path("/dev/zero"))
    assert time.monotonic() - start < 10


def test_names_with_null_characters_are_an_error() -> None:
    with pytest.raises(ImageError, match="cannot be read"):
        read_photo(Path("a\0.png"))


def test_warnings_of_the_decoder_become_notes(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(pixels(6, 7, 3)).save(buffer, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\x05\0" + bytes(9))
    (tmp_path / "a.jpg").write_bytes(buffer.getvalue())
    assert any("EXIF" in note for note in read_photo(tmp_path / "a.jpg").notes)
