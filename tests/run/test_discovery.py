"""Photos that files, folders and patterns name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path, PurePath

import pytest

from restorekit.errors import OptionError
from restorekit.run.discovery import Inputs, describe_skipped, find_photos, matches
from tests.core.test_files import NOT_UTF8, lock, touch


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with two photos and some other files."""
    monkeypatch.chdir(tmp_path)
    touch(tmp_path, "p/a.jpg", "p/b.png", "p/raw.cr2", "p/notes.txt", "p/.hidden.png", "p/sub/c.jpg", "p/sub/er/d.jpg")
    return tmp_path


def find(*inputs: str, ignored: Sequence[str] = (), exclude: Sequence[str] = ()) -> Inputs:
    return find_photos([Path(text) for text in inputs], [Path(text) for text in ignored], exclude)


def names(found: Inputs) -> list[str]:
    return [photo.path.as_posix() for photo in found.photos]


def test_folder_is_searched_with_its_sub_folders(folder: Path) -> None:
    found = find("p")
    assert names(found) == ["p/a.jpg", "p/b.png", "p/sub/c.jpg", "p/sub/er/d.jpg"]
    assert found.skipped == [(Path("p/raw.cr2"), ".cr2")]
    assert {(photo.root, photo.in_folder) for photo in found.photos} == {(Path("p"), True)}


def test_order_of_the_inputs_is_kept(folder: Path) -> None:
    assert names(find("p/b.png", "p/sub", "p/a.jpg")) == ["p/b.png", "p/sub/c.jpg", "p/sub/er/d.jpg", "p/a.jpg"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("p/*.jpg", ["p/a.jpg"]),
        ("p/*", ["p/a.jpg", "p/b.png", "p/sub/c.jpg", "p/sub/er/d.jpg"]),
        ("p/[a-b].*", ["p/a.jpg", "p/b.png"]),
        ("*/?.png", ["p/b.png"]),
        ("p/*/*.jpg", ["p/sub/c.jpg"]),
        ("p/**/*.jpg", ["p/a.jpg", "p/sub/c.jpg", "p/sub/er/d.jpg"]),
        ("**/er/*.jpg", ["p/sub/er/d.jpg"]),
        ("p/**", ["p/a.jpg", "p/b.png", "p/sub/c.jpg", "p/sub/er/d.jpg"]),
    ],
)
def test_pattern_stands_for_the_images_that_match(folder: Path, pattern: str, expected: list[str]) -> None:
    found = find(pattern)
    assert names(found) == expected
    assert found.failed == []
    assert names(find(str(folder / pattern))) == [f"{folder.as_posix()}/{name}" for name in expected]


def test_pattern_reports_only_what_matches(folder: Path) -> None:
    (folder / "p" / "link").symlink_to("sub")
    os.mkfifo(folder / "p" / "fifo.jpg")
    assert find("p/*.jpg").skipped == [(Path("p/fifo.jpg"), "FIFO")]
    assert find("p/**/*.png").skipped == [(Path("p/link"), "linked folder")]
    assert find("p/*.cr2", "p/b.png").skipped == [(Path("p/raw.cr2"), ".cr2")]


def test_links_that_form_a_loop_do_not_repeat_photos(folder: Path) -> None:
    for name in ("one", "two"):
        (folder / "p" / "sub" / name).symlink_to(folder / "p")
    assert len(find("p").photos) == len(find("p/**/*").photos) == 4


def test_root_of_a_pattern_is_its_part_without_wildcards(folder: Path) -> None:
    assert [photo.relative.as_posix() for photo in find("p/**/d.jpg", "p/a.*").photos] == ["sub/er/d.jpg", "a.jpg"]
    assert find("*/*.png").photos[0].relative == Path("p/b.png")


def test_existing_file_with_wildcards_in_its_name_is_no_pattern(folder: Path) -> None:
    touch(folder, "p/[a-b].png")
    assert names(find("p/[a-b].png")) == ["p/[a-b].png"]


def test_pattern_without_a_match_and_wrong_patterns_are_errors(folder: Path) -> None:
    ((path, reason),) = find("p/*.webp").failed
    assert (path, reason) == (Path("p/*.webp"), f"no image matches this pattern (in {folder})")
    assert find("p/*.txt").failed[0][1].startswith("no image matches")
    with pytest.raises(OptionError, match=r"p/\*\*x: .*allowed: \*\* between slashes"):
        find("p/**x")


@pytest.mark.parametrize(
    ("exclude", "expected"),
    [
        (["*.jpg"], ["p/b.png"]),
        (["sub"], ["p/a.jpg", "p/b.png"]),
        (["sub/"], ["p/a.jpg", "p/b.png"]),
        (["er", "b.*"], ["p/a.jpg", "p/sub/c.jpg"]),
        (["sub/er/*"], ["p/a.jpg", "p/b.png", "p/sub/c.jpg"]),
        (["p", "*.JPG"], ["p/a.jpg", "p/b.png", "p/sub/c.jpg", "p/sub/er/d.jpg"]),
    ],
)
@pytest.mark.parametrize("text", ["p", "p/**/*"])
def test_excluded_files_and_folders_are_left_out(folder: Path, exclude: list[str], expected: list[str], text) -> None:
    assert names(find(text, exclude=exclude)) == expected


def test_excluded_inputs_are_counted_and_excluded_folders_are_not_searched(folder: Path, monkeypatch) -> None:
    lock(monkeypatch, Path("p/sub"))
    found = find("p", "p/b.png", exclude=["sub", "b.png"])
    assert found.skipped == [
        (Path("p/b.png"), "excluded"),
        (Path("p/raw.cr2"), ".cr2"),
        (Path("p/sub"), "excluded"),
        (Path("p/b.png"), "excluded"),
    ]
    assert found.failed == []
    assert find("p").failed == [(Path("p/sub"), "cannot be searched (Permission denied)")]
    assert find("p/**/*.jpg").failed == [(Path("p/sub"), "cannot be searched (Permission denied)")]


def test_patterns_do_not_apply_to_the_folders_of_absolute_paths(folder: Path) -> None:
    path = str(folder / "p" / "b.png")
    assert len(find(path, exclude=["p", folder.name]).photos) == 1
    assert len(find("p/b.png", exclude=["p"]).photos) == len(find(path, exclude=["b.*"]).photos) == 0


def test_ignored_folders_inside_an_input_are_not_searched_but_its_parents_are(folder: Path) -> None:
    (folder / "p" / "z.jpg").symlink_to("sub/c.jpg")
    assert names(find("p", ignored=["p/sub"])) == ["p/a.jpg", "p/b.png"], "nor through a link"
    assert names(find("p/**/*", ignored=["p/sub"])) == ["p/a.jpg", "p/b.png"]
    assert names(find("p/sub/er", ignored=["p", "p/sub", "p/sub/er"])) == ["p/sub/er/d.jpg"]


def test_inputs_that_are_no_images_fail_and_the_others_are_found(folder: Path) -> None:
    os.mkfifo(folder / "fifo.png")
    (folder / "broken.png").symlink_to("nowhere.png")
    (folder / "empty").mkdir()
    touch(folder, "raw/x.nef", "raw/y.nef")
    found = find("fifo.png", "none.png", "broken.png", "empty", "raw", "n" * 300, "p/b.png")
    assert names(found) == ["p/b.png"]
    reasons = [reason for _, reason in found.failed]
    assert reasons[0] == "found a FIFO, allowed: an image file or a folder"
    assert reasons[1] == f"no such file or folder (in {folder})"
    assert reasons[2] == "found a broken link, allowed: an image file or a folder"
    assert reasons[3].startswith("no image in this folder; allowed: ")
    assert reasons[4].endswith("; found 2 .nef (not readable by restorekit)")
    assert reasons[5].startswith("cannot be examined (")


def test_link_to_a_folder_is_searched_if_it_is_an_input(folder: Path) -> None:
    (folder / "link").symlink_to("p")
    assert len(find("link").photos) == len(find("l*k").photos) == 4


def test_names_that_are_not_utf8_are_found(folder: Path) -> None:
    touch(folder, f"q/{NOT_UTF8}.png")
    assert names(find("q", f"q/{NOT_UTF8}.png", "q/*", "q/**/*.png")) == [f"q/{NOT_UTF8}.png"] * 4
    assert find("q", exclude=[f"{NOT_UTF8}*"]).photos == []


def test_patterns_match_the_relative_path_its_folders_and_their_names() -> None:
    path = PurePath("a/b/c.png")
    for pattern in ("c.png", "*.png", "b", "a", "a/b", "a/", "a/*", "a/b/c.png", "?/b"):
        assert matches(path, [pattern]), pattern
    for pattern in ("*.PNG", "c", "b/c.png", "a/b/c", ""):
        assert not matches(path, [pattern]), pattern


def test_description_counts_every_kind() -> None:
    kinds = [".cr2", ".cr2", "broken link", "linked folder", "linked folder", "FIFO", "FIFO", "excluded", "excluded"]
    skipped = [(Path(str(number)), kind) for number, kind in enumerate([*kinds, *["result of restorekit"] * 2])]
    assert describe_skipped(skipped) == (
        "2 .cr2 (not readable by restorekit), 2 FIFOs, 1 broken link, 2 excluded (--exclude), "
        "2 linked folders (not followed; name it as an input), 2 results of restorekit"
    )
    assert describe_skipped([]) == ""
    assert describe_skipped([(Path("a.heic"), ".heic")]) == "1 .heic (requires the extra 'heif')"
