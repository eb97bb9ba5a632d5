"""Quantisation tables of JPEG files, from the file to the recipe."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from torch import Tensor

from restorekit.core.options import JpegTables
from restorekit.core.recipe import recipe
from restorekit.errors import OptionError
from restorekit.run.api import python_function, restore
from restorekit.run.images import from_pillow, read_photo
from restorekit.run.jpeg import read_tables, standard_tables
from restorekit.run.metadata import ORIENTATION
from restorekit.testing import GaussianPrior
from tests.run.test_folder import run
from tests.run.test_images import pixels

# Steps of luma and chroma at quality 50: the examples of ITU-T T.81, tables K.1 and K.2, first rows and columns.
LUMA_ROW, LUMA_COLUMN = [16, 11, 10, 16, 24, 40, 51, 61], [16, 12, 14, 14, 18, 24, 49, 72]
CHROMA_ROW = [17, 18, 24, 47, 99, 99, 99, 99]


@recipe("tabled")
def tabled(y, prior, noise, *, quality: Annotated[Tensor | None, JpegTables("A quality.")]):
    """Write the first steps of luma and chroma into the photo, or -1."""
    result = torch.full_like(y, -1.0)
    if quality is not None:
        result[:, 0, 0, 0] = quality[:, 0, 0, 1] / 127.5 - 1
        result[:, 1, 0, 0] = quality[:, 1, 0, 1] / 127.5 - 1
    return result


def jpeg(
    path: Path, mode: str = "RGB", height: int = 16, width: int = 24, orientation: int = 0, **options: Any
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if orientation:
        exif[ORIENTATION] = orientation
    channels = {"L": 1, "CMYK": 4}.get(mode, 3)
    image = Image.frombytes(mode, (width, height), pixels(height, width, channels).tobytes())
    image.save(path, "JPEG", **({"quality": 50, "exif": exif} | options))
    return path


def tables_of(path: Path) -> np.ndarray:
    tables = read_photo(path).jpeg_tables
    assert tables is not None
    assert (tables.shape, tables.dtype) == ((3, 8, 8), np.float32)
    return tables


@pytest.mark.parametrize("progressive", [False, True])
def test_tables_are_indexed_by_vertical_and_horizontal_frequency(tmp_path: Path, progressive: bool) -> None:
    luma, cb, cr = tables_of(jpeg(tmp_path / "a.jpg", subsampling=0, progressive=progressive))
    assert (luma[0].tolist(), luma[:, 0].tolist()) == (LUMA_ROW, LUMA_COLUMN)
    assert cb[0].tolist() == cr[0].tolist() == CHROMA_ROW


@pytest.mark.parametrize("options", [{"subsampling": 1}, {"subsampling": 2}, {"mode": "L"}])
def test_tables_of_missing_or_subsampled_chroma_are_zero(tmp_path: Path, options: dict[str, Any]) -> None:
    luma, *chroma = tables_of(jpeg(tmp_path / "a.jpg", **options))
    assert luma[0].tolist() == LUMA_ROW
    assert not np.any(chroma)


@pytest.mark.parametrize("options", [{"mode": "CMYK"}, {"keep_rgb": True}])
def test_files_that_store_no_luma_have_no_tables(tmp_path: Path, options: dict[str, Any]) -> None:
    assert read_photo(jpeg(tmp_path / "a.jpg", **options)).jpeg_tables is None


def test_rgb_files_without_markers_are_recognised_by_the_names_of_their_planes(tmp_path: Path) -> None:
    data = jpeg(tmp_path / "a.jpg", keep_rgb=True).read_bytes()
    start = data.index(b"\xff\xee")
    (tmp_path / "b.jpg").write_bytes(data[:start] + data[start + 16 :])
    assert read_photo(tmp_path / "b.jpg").jpeg_tables is None


def test_files_with_subsampled_luma_have_no_tables(tmp_path: Path) -> None:
    data = jpeg(tmp_path / "a.jpg", subsampling=0).read_bytes()
    start = data.index(b"\xff\xc0") + 10
    with Image.open(io.BytesIO(data[: start + 4] + b"\x22" + data[start + 5 :])) as image:
        assert isinstance(image, JpegImageFile)
        assert image.layer[1][1:3] == (2, 2)
        assert read_tables(image) is None


@pytest.mark.parametrize("orientation", range(1, 9))
def test_tables_are_those_of_the_upright_photo(tmp_path: Path, orientation: int) -> None:
    luma = tables_of(jpeg(tmp_path / "a.jpg", orientation=orientation))[0]
    upright = luma.T if orientation in (5, 6, 7, 8) else luma
    assert (upright[0].tolist(), upright[:, 0].tolist()) == (LUMA_ROW, LUMA_COLUMN)


@pytest.mark.parametrize(("height", "width"), [(16, 23), (15, 24)])
def test_rotated_photos_whose_blocks_do_not_start_in_the_corner_have_no_tables(
    tmp_path: Path, height: int, width: int
) -> None:
    assert read_photo(jpeg(tmp_path / "a.jpg", "RGB", height, width, orientation=6)).jpeg_tables is None
    assert read_photo(jpeg(tmp_path / "b.jpg", "RGB", height, width, orientation=1)).jpeg_tables is not None


def test_other_formats_and_results_have_no_tables(tmp_path: Path) -> None:
    photo = read_photo(jpeg(tmp_path / "a.jpg"))
    assert photo.with_tensor(photo.tensor()[0]).jpeg_tables is None
    with Image.open(tmp_path / "a.jpg") as image:
        assert from_pillow(image).jpeg_tables is not None
        image.save(tmp_path / "a.png")
    assert read_photo(tmp_path / "a.png").jpeg_tables is None


@pytest.mark.parametrize("quality", [1, 20, 50, 100])
def test_tables_of_a_quality_are_those_that_pillow_writes(tmp_path: Path, quality: int) -> None:
    luma, *chroma = standard_tables(quality)
    np.testing.assert_array_equal(luma, tables_of(jpeg(tmp_path / "a.jpg", quality=quality))[0])
    assert not np.any(chroma)


def first_steps(result: Tensor | Image.Image) -> list[int]:
    y = result if isinstance(result, Tensor) else from_pillow(result).tensor()
    return ((y[:, :2, 0, 0] + 1) * 127.5).round().int().flatten().tolist()


def test_recipes_receive_the_tables_of_paths_and_pil_images(tmp_path: Path) -> None:
    path = jpeg(tmp_path / "a.jpg", subsampling=0)
    with Image.open(path) as image:
        assert first_steps(restore(tabled, image, GaussianPrior())) == [11, 18]
        assert first_steps(restore(tabled, image.copy(), GaussianPrior())) == [0, 0]
    assert first_steps(restore(tabled, path, GaussianPrior())) == [11, 18]
    assert first_steps(restore(tabled, path, GaussianPrior(), quality=75)) == [6, 0], "a given quality has precedence"


def test_recipes_receive_given_tables_with_tensors() -> None:
    y, tables = torch.zeros(2, 3, 8, 8), torch.zeros(2, 3, 8, 8)
    tables[:, 0, 0, 1] = torch.tensor([7, 8])
    assert first_steps(restore(tabled, y, GaussianPrior())) == [0, 0, 0, 0]
    assert first_steps(restore(tabled, y, GaussianPrior(), quality=tables)) == [7, 0, 8, 0]
    assert first_steps(restore(tabled, y, GaussianPrior(), quality=tables[:1])) == [7, 0, 7, 0]
    assert first_steps(restore(tabled, y, GaussianPrior(), quality=50)) == [11, 0, 11, 0]


@pytest.mark.parametrize(
    ("quality", "message"),
    [
        (torch.zeros(3, 8, 8), r"quality: found \(3, 8, 8\), allowed: auto, an integer from 1 to 100, or a tensor"),
        (torch.full((1, 3, 8, 8), -1.0), "of values >= 0"),
        (torch.full((1, 3, 8, 8), torch.nan), "of values >= 0"),
        (torch.ones(3, 3, 8, 8), "found 3 tables, allowed: 1 or 2"),
        ([1], "found list, allowed: auto"),
    ],
)
def test_invalid_tables_are_refused(quality: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        restore(tabled, torch.zeros(2, 3, 8, 8), GaussianPrior(), quality=quality)


def test_signature_states_what_a_caller_passes() -> None:
    signature = str(python_function(tabled).__signature__)  # type: ignore[attr-defined]
    assert "quality: 'Tensor | int | str' = 'auto'" in signature


def test_every_photo_of_a_folder_has_its_own_tables_whatever_the_batch(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for name, quality in (("a", 50), ("b", 75), ("d", 75)):
        jpeg(folder / f"{name}.jpg", quality=quality)
    data = io.BytesIO((folder / "a.jpg").read_bytes())
    Image.open(data).save(folder / "c.png")
    for path in folder.glob("*.jpg"):
        path.rename(path.with_suffix(".png"))
    run(folder, tmp_path / "out", tabled, batch=4)
    found = [first_steps(read_photo(path).tensor()) for path in sorted((tmp_path / "out").glob("*.png"))]
    assert found == [[11, 0], [6, 0], [0, 0], [6, 0]]
