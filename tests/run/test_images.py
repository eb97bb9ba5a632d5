"""Files in, files out, nothing lost."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageCms
from PIL.JpegImagePlugin import get_sampling

from restorekit.core.files import PARTIAL
from restorekit.core.options import ImageOption
from restorekit.errors import ImageError
from restorekit.run.images import Photo, read_photo, write_photo
from restorekit.run.metadata import ORIENTATION
from restorekit.run.png16 import encode_png16
from restorekit.run.side_images import read_side_image

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def pixels(*shape: int, top: int = 255, seed: int = 0) -> np.ndarray:
    kind = np.uint8 if top == 255 else np.uint16
    return np.random.default_rng(seed).integers(0, top + 1, shape).astype(kind)


def roundtrip(path: Path) -> Path:
    photo = read_photo(path)
    target = path.with_name("out" + path.suffix)
    write_photo(photo.with_tensor(photo.tensor()[0]), target)
    return target


WITHOUT_ALPHA = [(suffix, channels) for suffix in (".png", ".webp", ".tif", ".bmp") for channels in (1, 3)]


@pytest.mark.parametrize(("suffix", "channels"), [*WITHOUT_ALPHA, (".png", 4), (".webp", 4), (".tif", 4)])
def test_8_bit_images_round_trip_exactly(tmp_path: Path, suffix: str, channels: int) -> None:
    values = pixels(7, 5, channels)
    path = tmp_path / f"a{suffix}"
    Image.fromarray(values.squeeze()).save(path, **({"lossless": True} if suffix == ".webp" else {}))
    with Image.open(roundtrip(path)) as back:
        want = np.asarray(Image.open(path).convert(back.mode))
        np.testing.assert_array_equal(np.asarray(back), want)
    if suffix != ".webp" or channels == 3:
        np.testing.assert_array_equal(read_photo(path).pixels, values[..., :3])


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bit_images_round_trip_exactly(tmp_path: Path, suffix: str, channels: int) -> None:
    import cv2

    values = pixels(6, 9, channels, top=65535)
    path = tmp_path / f"a{suffix}"
    if suffix == ".png":
        swapped = values if channels == 1 else values[..., [2, 1, 0, 3][:channels]]
        path.write_bytes(cv2.imencode(".png", swapped)[1].tobytes())
    else:
        tifffile.imwrite(path, values.squeeze(), photometric="rgb" if channels > 1 else "minisblack")
    photo = read_photo(path)
    assert photo.pixels.dtype == np.uint16
    np.testing.assert_array_equal(photo.pixels, values[..., :3])
    again = read_photo(roundtrip(path))
    np.testing.assert_array_equal(again.pixels, photo.pixels)
    if channels == 4:
        np.testing.assert_array_equal(again.alpha, values[..., 3])


def test_16_bit_png_and_its_metadata_are_read_by_pillow_and_opencv(tmp_path: Path) -> None:
    import cv2

    exif = Image.Exif()
    exif[0x010E] = "a description"
    from restorekit.run.png16 import encode_png16

    values = pixels(5, 4, 3, top=65535)
    data = encode_png16(values, SRGB, exif.tobytes())
    np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(data, np.uint8), -1)[..., ::-1], values)
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert image.info["icc_profile"] == SRGB
        assert image.getexif()[0x010E] == "a description"


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_icc_profile_and_exif_are_kept(tmp_path: Path, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x010E], exif[0x9003] = "a description", "2026:01:02 03:04:05"
    path = tmp_path / f"a{suffix}"
    Image.fromarray(pixels(8, 8, 3)).save(path, icc_profile=SRGB, exif=exif)
    with Image.open(roundtrip(path)) as back:
        assert back.info["icc_profile"] == SRGB
        assert back.getexif()[0x010E] == "a description"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("deep", [False, True])
def test_orientation_is_applied_once(tmp_path: Path, orientation: int, deep: bool) -> None:
    from restorekit.run.png16 import encode_png16

    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    small = pixels(4, 6, 3)
    upright = np.asarray(_transposed(small, exif))
    path = tmp_path / "a.png"
    if deep:
        path.write_bytes(encode_png16(small.astype(np.uint16) * 257, None, exif.tobytes()))
        upright = upright.astype(np.uint16) * 257
    else:
        Image.fromarray(small).save(path, exif=exif)
    photo = read_photo(path)
    np.testing.assert_array_equal(photo.pixels, upright)
    again = read_photo(roundtrip(path))
    np.testing.assert_array_equal(again.pixels, upright)
    with Image.open(tmp_path / "out.png") as back:
        assert back.getexif().get(ORIENTATION, 1) == 1


def _transposed(values: np.ndarray, exif: Image.Exif) -> Image.Image:
    from PIL import ImageOps

    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG", exif=exif)
    return ImageOps.exif_transpose(Image.open(buffer))


def test_cmyk_is_converted_to_rgb_with_a_note(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(pixels(16, 16, 3)).convert("CMYK").save(path)
    photo = read_photo(path)
    assert photo.pixels.shape == (16, 16, 3)
    assert photo.notes == ("CMYK was converted to RGB",)
    with Image.open(roundtrip(path)) as back:
        assert (back.format, back.mode) == ("JPEG", "RGB")


def test_palette_with_transparency_keeps_its_alpha(tmp_path: Path) -> None:
    rgba = pixels(6, 6, 4)
    rgba[..., 3] = np.where(rgba[..., 3] > 127, 255, 0)
    path = tmp_path / "a.png"
    image = Image.new("P", (6, 6))
    image.putpalette(list(range(256)) * 3)
    image.putdata([1] * 18 + [2] * 18)
    image.info["transparency"] = 1
    image.save(path, transparency=1)
    photo = read_photo(path)
    assert photo.alpha is not None
    assert photo.alpha[0, 0] == 0
    assert photo.alpha[5, 5] == 255
    with Image.open(roundtrip(path)) as back:
        assert back.mode == "RGBA"


def test_damaged_files_raise_one_line_errors(tmp_path: Path) -> None:
    whole = tmp_path / "whole.jpg"
    Image.fromarray(pixels(64, 64, 3)).save(whole)
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(whole.read_bytes()[:600])
    text = tmp_path / "text.png"
    text.write_text("this is no picture")
    frames = tmp_path / "frames.tif"
    Image.fromarray(pixels(4, 4, 3)).save(frames, save_all=True, append_images=[Image.fromarray(pixels(4, 4, 3))])
    deep = tmp_path / "deep.tif"
    tifffile.imwrite(deep, np.zeros((4, 4), np.float32))
    for path, words in [
        (cut, "truncated"),
        (text, "not a readable image"),
        (frames, "2 frames"),
        (deep, "8 or 16 bits"),
    ]:
        with pytest.raises(ImageError, match=words) as caught:
            read_photo(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_formats_that_lose_alpha_or_bit_depth_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(pixels(4, 4, 4)).save(path)
    with pytest.raises(ImageError, match="alpha channel"):
        write_photo(read_photo(path), tmp_path / "a.jpg")
    deep = tmp_path / "deep.tif"
    tifffile.imwrite(deep, pixels(4, 4, 3, top=65535), photometric="rgb")
    with pytest.raises(ImageError, match="16"):
        write_photo(read_photo(deep), tmp_path / "b.webp")


def test_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(pixels(4, 4, 3)).save(path)
    before = path.read_bytes()
    photo = read_photo(path)

    def fail(descriptor: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(ImageError, match="no space left"):
        write_photo(photo, path)
    assert path.read_bytes() == before
    assert not list(tmp_path.glob(f".*{PARTIAL}"))


def test_masks_are_upright_and_must_have_the_photo_size(tmp_path: Path) -> None:
    photo_path, mask_path = tmp_path / "p.png", tmp_path / "m.png"
    Image.fromarray(pixels(4, 6, 3)).save(photo_path)
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    marks = np.zeros((6, 4), np.uint8)
    marks[0] = 255
    Image.fromarray(marks).save(mask_path, exif=exif)
    mask = read_side_image(mask_path, ImageOption("A mask."), read_photo(photo_path), "mask")
    assert mask.shape == (1, 1, 4, 6)
    torch.testing.assert_close(mask[0, 0, :, -1], torch.ones(4))
    assert mask.sum() == 4
    Image.fromarray(marks).save(mask_path)
    with pytest.raises(ImageError, match="4 x 6, allowed: 6 x 4"):
        read_side_image(mask_path, ImageOption("A mask."), read_photo(photo_path), "mask")


def test_transparent_mask_pixels_are_black(tmp_path: Path) -> None:
    photo_path, mask_path = tmp_path / "p.png", tmp_path / "m.png"
    Image.fromarray(pixels(2, 2, 3)).save(photo_path)
    rgba = np.full((2, 2, 4), 255, np.uint8)
    rgba[0, :, 3] = 0
    Image.fromarray(rgba).save(mask_path)
    mask = read_side_image(mask_path, ImageOption("A mask."), read_photo(photo_path), "mask")
    assert mask[0, 0].tolist() == [[0, 0], [1, 1]]


def test_first_picture_of_a_camera_mpo_is_read(tmp_path: Path) -> None:
    photo, preview = (Image.fromarray(pixels(40, 30, 3, seed=i)) for i in range(2))
    photo.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[preview.resize((6, 8))], quality=95)
    got = read_photo(tmp_path / "a.jpg")
    assert got.pixels.shape == (40, 30, 3)
    assert got.notes == ("the file contains 2 images; only the first is kept",)


def test_wrong_checksum_in_16_bit_png_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encode_png16(pixels(20, 20, 3, top=65535), None, None))
    whole = bytearray(path.read_bytes())
    whole[whole.index(b"IEND") - 5] ^= 1
    path.write_bytes(whole)
    with pytest.raises(ImageError, match=r"a\.png: damaged"):
        read_photo(path)


def test_unwritable_targets_raise_an_error_and_leave_no_files(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"a\.tif: cannot be written"):
        write_photo(Photo(pixels(4, 4, 3), exif=b"no EXIF"), tmp_path / "a.tif")
    (tmp_path / "file").write_text("")
    with pytest.raises(ImageError, match="cannot be written"):
        write_photo(Photo(pixels(4, 4, 3)), tmp_path / "file" / "a.png")
    with pytest.raises(ImageError, match="cannot be written"):
        write_photo(Photo(pixels(4, 4, 3)), tmp_path / ("x" * 300 + ".png"))
    write_photo(Photo(pixels(4, 4, 3)), tmp_path / ("x" * 240 + ".png"))
    assert sorted(p.suffix for p in tmp_path.iterdir()) == ["", ".png"]


def test_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no such file"):
        read_photo(tmp_path / "none.png")


def test_webp_keeps_colours_of_transparent_pixels(tmp_path: Path) -> None:
    values = pixels(9, 9, 4)
    values[:4, :, 3] = 0
    write_photo(Photo(values[..., :3], values[..., 3].copy()), tmp_path / "a.webp")
    np.testing.assert_array_equal(read_photo(tmp_path / "a.webp").pixels, values[..., :3])


def test_jpeg_is_written_at_quality_95_without_chroma_subsampling(tmp_path: Path) -> None:
    write_photo(Photo(pixels(32, 32, 3)), tmp_path / "a.jpg")
    Image.fromarray(pixels(32, 32, 3)).save(tmp_path / "b.jpg", quality=95, subsampling=0)
    with Image.open(tmp_path / "a.jpg") as ours, Image.open(tmp_path / "b.jpg") as reference:
        assert get_sampling(ours) == 0
        assert ours.quantization == reference.quantization
