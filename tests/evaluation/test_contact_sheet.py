"""Contact sheets, and PSNR and SSIM of photos of any size."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFont

from restorekit.errors import ImageError, OptionError
from restorekit.evaluation import contact_sheet
from restorekit.evaluation import photo_scores as scores_module
from restorekit.evaluation.comparison import find_comparison
from restorekit.evaluation.contact_sheet import BORDER, GAP, MARK, Crop, layout_of, parse_crop, write_sheet
from restorekit.evaluation.metrics import psnr, ssim
from restorekit.evaluation.photo_scores import photo_scores
from restorekit.run.images import Photo
from tests.run.test_folder import save
from tests.run.test_images import pixels

COLOURS = {"a": (200, 30, 40), "b": (20, 160, 60), "c": (30, 60, 200)}


def folder(path: Path, *names: str, colour: tuple[int, int, int], size: tuple[int, int] = (120, 80)) -> Path:
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, colour).save(path / name)
    return path


@pytest.mark.parametrize("shapes", [((90, 70, 3), (90, 70, 3)), ((40, 33, 1), (40, 33, 3)), ((11, 11, 1), (11, 11, 1))])
@pytest.mark.parametrize("at_once", [100, 700, 10**6])
def test_scores_are_those_of_whole_images(shapes, at_once: int, monkeypatch) -> None:
    monkeypatch.setattr(scores_module, "PIXELS_AT_ONCE", at_once)
    one, other = (Photo(pixels(*shape, top=65535 if i else 255, seed=i)) for i, shape in enumerate(shapes))
    tensors = [photo.tensor().expand(1, shapes[1][2], -1, -1) for photo in (one, other)]
    found = photo_scores(one, other)
    assert found == pytest.approx((psnr(*tensors), ssim(*tensors)), abs=1e-9)


def test_scores_of_equal_small_and_different_photos() -> None:
    photo = Photo(pixels(20, 30, 3))
    assert photo_scores(photo, photo) == pytest.approx((math.inf, 1))
    assert photo_scores(photo, Photo(pixels(30, 20, 3))) is None
    small = photo_scores(Photo(pixels(5, 30, 3)), Photo(pixels(5, 30, 3, seed=1)))
    assert small is not None
    assert math.isnan(small[1])
    assert small[0] > 0


def test_photos_of_folders_are_paired_by_name(tmp_path: Path) -> None:
    a = folder(tmp_path / "x" / "a", "1.png", "sub/2.jpg", "3.png", "4.png", colour=COLOURS["a"])
    b = folder(tmp_path / "y" / "a", "1.jpg", "sub/2.png", colour=COLOURS["b"])
    found = find_comparison([a, b])
    assert [row.name for row in found.rows] == ["1", "sub/2"]
    assert found.rows[1].files == (a / "sub/2.jpg", b / "sub/2.png")
    assert found.labels == ("x/a", "y/a")
    assert found.notes == (f"{a}: 3.png and 1 more left out, since not all folders have it",)
    truth = folder(tmp_path / "t", "1.png", "9.png", colour=COLOURS["c"])
    with_truth = find_comparison([a, b], truth, ["before", "after"])
    assert [(row.name, row.truth) for row in with_truth.rows] == [("1", truth / "1.png")]
    assert with_truth.labels == ("before", "after")
    assert not any(str(truth) in note for note in with_truth.notes)


def test_files_are_one_row(tmp_path: Path) -> None:
    folder(tmp_path, "a.png", "b.png", "sub/a.png", colour=COLOURS["a"])
    found = find_comparison([tmp_path / "a.png", tmp_path / "b.png"])
    assert (found.labels, [row.name for row in found.rows]) == (("a", "b"), ["a.png"])
    assert find_comparison([tmp_path / "sub/a.png", tmp_path / "a.png"]).labels[0] == "sub/a.png"


def test_wrong_columns_are_one_line(tmp_path: Path) -> None:
    a = folder(tmp_path / "a", "1.png", colour=COLOURS["a"])
    b = folder(tmp_path / "b", "2.png", colour=COLOURS["b"])
    for columns, kind, problem in (
        ([a, a / "1.png"], OptionError, "allowed: only files or only folders"),
        ([a, tmp_path / "missing"], ImageError, "missing: no such file or folder"),
        ([a, b], ImageError, "no photo has the same relative path and name in"),
    ):
        with pytest.raises(kind, match=problem):
            find_comparison(columns)
    with pytest.raises(OptionError, match="label: found 1, allowed: one for each of the 2 columns"):
        find_comparison([a, a], labels=["x"])


@pytest.mark.parametrize("text", ["", "1", "1,2,3", "a,b", "0,4", "1,-2,3,4", "1,2,3,0", "1.5,2"])
def test_wrong_crops(text: str) -> None:
    with pytest.raises(OptionError, match="allowed: auto, none, W,H or X,Y,W,H in pixels"):
        parse_crop(text)


def test_crops() -> None:
    assert parse_crop("none") is None
    assert parse_crop("auto") == Crop()
    assert parse_crop("30,40") == Crop((30, 40))
    assert parse_crop("0,2,30,40") == Crop((30, 40), (0, 2))


def opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.copy()


def cells(page: Image.Image, columns: int, y: int) -> list[tuple[int, ...]]:
    """Colours in the middle of the columns at a height."""
    layout = layout_of(page.width, columns)
    return [page.getpixel((layout.left(column) + layout.cell // 2, y)) for column in range(columns)]


def test_columns_show_the_photos_and_the_part_that_differs(tmp_path: Path) -> None:
    a = folder(tmp_path / "a", "1.png", colour=COLOURS["a"])
    b = folder(tmp_path / "b", "1.png", colour=COLOURS["a"])
    with Image.open(b / "1.png") as image:
        image.paste(COLOURS["b"], (60, 40, 90, 60))
        image.save(b / "1.png")
    (path,), notes = write_sheet(find_comparison([a, b]), tmp_path / "sheet.png", width=700)
    assert notes == []
    page, layout = opened(path), layout_of(700, 2)
    height = round(layout.cell * 80 / 120)
    assert page.width == 700
    top = BORDER + 2 * layout.line
    assert cells(page, 2, top + 5) == [COLOURS["a"]] * 2
    assert cells(page, 2, top + height + GAP + height // 2) == [COLOURS["a"], COLOURS["b"]]
    red = tuple(int(MARK[i : i + 2], 16) for i in (1, 3, 5))
    rows, columns = np.nonzero((np.asarray(page)[top : top + height] == red).all(2))
    first = columns < layout.left(1)
    scale = layout.cell / 120
    left, right = ((columns[first].take([0, -1]) - BORDER) / scale).tolist()
    upper, lower = rows[first].min() / scale, rows[first].max() / scale
    assert left < 61
    assert right > 89
    assert right - left == pytest.approx(32, abs=2)
    assert upper < 41
    assert lower > 59


def test_fixed_crops_and_none(tmp_path: Path) -> None:
    a = save(tmp_path / "a.png", 80, 120, 3)
    pair = find_comparison([a, save(tmp_path / "b.png", 80, 120, 3, seed=1)])
    heights = {}
    for crop in (None, Crop((60, 10), (0, 0)), Crop((30, 20))):
        (path,), _ = write_sheet(pair, tmp_path / "sheet.png", width=400, crop=crop, overwrite=True)
        heights[crop] = opened(path).height
    assert heights[None] < heights[Crop((60, 10), (0, 0))] < heights[Crop((30, 20))]
    with pytest.raises(OptionError, match="crop: found 100,70,30,20, allowed: inside of"):
        write_sheet(pair, tmp_path / "c.png", crop=Crop((30, 20), (100, 70)))
    with pytest.raises(OptionError, match="crop: found 130 x 20 pixels, allowed: at most 120 x 80"):
        write_sheet(pair, tmp_path / "c.png", crop=Crop((130, 20)))
    assert not (tmp_path / "c.png").exists()


def test_other_sizes_are_resized_and_other_aspect_ratios_refused(tmp_path: Path) -> None:
    a = save(tmp_path / "a.png", 40, 60, 3)
    pair = find_comparison([a, save(tmp_path / "b.png", 80, 120, 1)])
    _, notes = write_sheet(pair, tmp_path / "sheet.png", width=400)
    assert notes == [f"{tmp_path / 'b.png'}: resized from 120 x 80 to 60 x 40 pixels, those of {a}"]
    pair = find_comparison([a, save(tmp_path / "b.png", 60, 60, 3)])
    with pytest.raises(ImageError, match=r"b\.png: found 60 x 60 pixels, allowed: the aspect ratio of the first photo"):
        write_sheet(pair, tmp_path / "other.png")
    assert not (tmp_path / "other.png").exists()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".pdf"])
def test_pages(tmp_path: Path, suffix: str) -> None:
    names = [f"{number}.png" for number in range(5)]
    columns = [folder(tmp_path / name, *names, colour=colour) for name, colour in COLOURS.items()]
    paths, _ = write_sheet(find_comparison(columns), tmp_path / "new" / f"s{suffix}", width=300, rows=2, crop=None)
    if suffix == ".pdf":
        assert [path.name for path in paths] == ["s.pdf"]
        assert re.findall(rb"/Count (\d+)", paths[0].read_bytes())[-1] == b"3"
        return
    assert [path.name for path in paths] == [f"s-{number}{suffix}" for number in (1, 2, 3)]
    sizes = [opened(path).size for path in paths]
    assert sizes[0] == sizes[1] > sizes[2]
    found = cells(opened(paths[2]).convert("RGB"), 3, BORDER + 2 * layout_of(300, 3).line + 20)
    assert np.abs(np.array(found) - list(COLOURS.values())).max() < 8


def test_existing_files_and_photos_are_not_replaced(tmp_path: Path) -> None:
    a, b = folder(tmp_path, "a.png", "b.png", colour=COLOURS["a"]) / "a.png", tmp_path / "b.png"
    pair = find_comparison([a, b])
    with pytest.raises(OptionError, match=r"a\.png is one of the photos"):
        write_sheet(pair, a, overwrite=True)
    (tmp_path / "s.png").write_text("mine")
    with pytest.raises(ImageError, match=r"s\.png: exists; --overwrite replaces it"):
        write_sheet(pair, tmp_path / "s.png")
    with pytest.raises(OptionError, match=r"allowed: a file that ends with \.png, "):
        write_sheet(pair, tmp_path / "s.gif")
    with pytest.raises(OptionError, match="width: found 150, allowed for 2 columns: at least 168 pixels"):
        write_sheet(pair, tmp_path / "t.png", width=150)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png", "s.png"]


def test_a_page_that_the_format_cannot_store_is_an_error(tmp_path: Path) -> None:
    photos = folder(tmp_path / "a", *(f"{number}.png" for number in range(30)), colour=COLOURS["a"], size=(20, 30))
    with pytest.raises(ImageError, match=r"s\.webp: cannot be written \(.*16383"):
        write_sheet(find_comparison([photos]), tmp_path / "s.webp", width=400, rows=30)
    assert not (tmp_path / "s.webp").exists()


def test_transparent_and_deep_photos(tmp_path: Path) -> None:
    save(tmp_path / "a.png", 40, 60, 4)
    Image.fromarray(pixels(40, 60, top=65535)).save(tmp_path / "b.png")
    (path,), _ = write_sheet(find_comparison([tmp_path / "a.png", tmp_path / "b.png"]), tmp_path / "s.png", width=400)
    assert opened(path).mode == "RGB"


def test_command_line(tmp_path: Path, restorekit) -> None:
    a = folder(tmp_path / "a", "1.png", "2.png", colour=(100, 100, 100))
    b = folder(tmp_path / "b", "1.png", colour=(110, 100, 100))
    t = folder(tmp_path / "t", "1.png", colour=(110, 100, 100))
    sheet = tmp_path / "s.png"
    code, out, err = restorekit("compare", a, b, "--truth", t, "-o", sheet, "--width", "600", "--crop", "20,20")
    assert (code, out) == (0, f"compare: 1 photo in 2 columns in {sheet}\n")
    assert err == f"note: {a}: 2.png left out, since not all folders have it\n"
    assert cells(opened(sheet), 3, 100)[2] == (110, 100, 100)
    code, out, err = restorekit("compare", a, b, "-o", sheet, "--overwrite", "--json")
    assert json.loads(out)["files"] == [str(sheet)]
    code, out, err = restorekit("compare", a, b, "-o", sheet)
    assert (code, err) == (1, f"error: {sheet}: exists; --overwrite replaces it\n")
    code, out, err = restorekit("compare", a / "1.png", "-o", tmp_path / "one.png")
    assert (code, out) == (0, f"compare: 1 photo in 1 column in {tmp_path / 'one.png'}\n")
    code, out, err = restorekit("compare", a, "s3://bucket/b")
    assert (code, err) == (2, "error: s3://bucket/b: found a URL, allowed: a file or folder of this machine\n")


def test_without_fonts_of_the_system_the_font_of_pillow_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contact_sheet, "FONTS", ("no such font.ttf",))
    contact_sheet._font.cache_clear()
    font = contact_sheet._font(20)
    contact_sheet._font.cache_clear()
    assert font.getbbox("a") == ImageFont.load_default(20).getbbox("a")
