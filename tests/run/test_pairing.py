"""Pairing of photos with masks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from restorekit.errors import ImageError
from restorekit.run.pairing import SideFolder, check_side_image
from tests.core.test_files import NOT_UTF8, lock, touch


def find(masks: Path, source: str = "a.jpg", root: str = "in", option: str = "mask") -> str:
    """Return the mask of a photo, relative to the folder of masks."""
    folder = masks.parent / root
    return SideFolder(option, masks).find(folder / source, folder).relative_to(masks).as_posix()


@pytest.mark.parametrize("mask", ["a.jpg", "a.png", "a.TIF", "a_mask.png", "a-mask.PNG"])
def test_mask_has_the_stem_of_the_photo_or_ends_with_mask(tmp_path: Path, mask: str) -> None:
    touch(tmp_path / "m", mask, "b.png", "b_mask.png", "aa.png", "a_masks.png", "sub/a.png")
    assert find(tmp_path / "m") == mask
    assert find(tmp_path / "m", "sub/a.jpg") == "sub/a.png"


def test_suffix_of_the_stem_is_the_name_of_the_option(tmp_path: Path) -> None:
    touch(tmp_path / "m", "a_blur_kernel.png", "b-blur-kernel.png", "a_mask.png")
    assert find(tmp_path / "m", option="blur_kernel") == "a_blur_kernel.png"
    assert find(tmp_path / "m", "b.png", option="blur_kernel") == "b-blur-kernel.png"


@pytest.mark.parametrize("masks", [("a.png", "a.bmp"), ("a.png", "a_mask.png"), ("a_mask.png", "a-mask.png")])
def test_two_masks_of_a_photo_are_an_error(tmp_path: Path, masks: tuple[str, str]) -> None:
    touch(tmp_path / "m", *masks)
    with pytest.raises(ImageError, match=rf"--mask: .*a\.jpg matches 2 files: {', '.join(sorted(masks))}"):
        find(tmp_path / "m")


def test_missing_mask_is_an_error_that_names_what_is_expected(tmp_path: Path) -> None:
    touch(tmp_path / "m", "b.png")
    with pytest.raises(ImageError, match=r"--mask: .*m/x/a\.png: no such file, nor .* as a_mask or a-mask"):
        find(tmp_path / "m", "x/a.jpg")


def test_masks_in_the_folder_of_the_photos_need_the_suffix(tmp_path: Path) -> None:
    touch(tmp_path / "in", "a.jpg", "a.png", "a_mask.png", "b.jpg")
    assert find(tmp_path / "in") == "a_mask.png"
    with pytest.raises(ImageError, match=r"in/b_mask\.png: no such file"):
        find(tmp_path / "in", "b.jpg")


def test_fifo_in_a_mask_folder_is_an_error(tmp_path: Path) -> None:
    touch(tmp_path / "m", "b.gif")
    os.mkfifo(tmp_path / "m" / "a.png")
    with pytest.raises(ImageError, match=r"a\.png: found a FIFO, allowed: an image file"):
        find(tmp_path / "m")
    with pytest.raises(ImageError, match=r"b\.gif: found a \.gif, allowed: an image file"):
        find(tmp_path / "m", "b.jpg")


def test_mask_folder_that_cannot_be_listed_is_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "m", "x/a.png", "a.png")
    lock(monkeypatch, tmp_path / "m" / "x")
    with pytest.raises(ImageError, match=r"m/x: cannot be searched \(Permission denied\)"):
        find(tmp_path / "m", "x/a.jpg")
    assert find(tmp_path / "m") == "a.png"


def test_names_that_are_not_utf8_are_paired(tmp_path: Path) -> None:
    touch(tmp_path / "m", f"{NOT_UTF8}_mask.png")
    assert find(tmp_path / "m", f"{NOT_UTF8}.jpg") == f"{NOT_UTF8}_mask.png"


def test_single_mask_must_be_a_file_or_a_folder(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "m/a.png")
    os.mkfifo(tmp_path / "fifo.png")
    (tmp_path / "broken.png").symlink_to("nowhere")
    check_side_image("mask", tmp_path / "a.png")
    check_side_image("mask", tmp_path / "m")
    for name, message in [
        ("none.png", "no such file or folder"),
        ("fifo.png", "found a FIFO, allowed: an image file or a folder"),
        ("broken.png", "found a broken link"),
        ("n" * 300, "cannot be examined"),
    ]:
        with pytest.raises(ImageError, match=f"--mask: .*{name}: {message}"):
            check_side_image("mask", tmp_path / name)
