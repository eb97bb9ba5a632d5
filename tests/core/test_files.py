"""Searching folders for images, kinds of paths, and temporary files."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from restorekit.core import files
from restorekit.core.files import (
    IMAGE_SUFFIXES,
    KNOWN_SUFFIXES,
    PARTIAL,
    atomic_path,
    find_images,
    path_kind,
    remove_partial_files,
    search_images,
)
from restorekit.errors import ImageError

NOT_UTF8 = os.fsdecode(b"caf\xe9")
DEAD = 2**22 + 1


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def lock(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Make listing a folder fail, also for root."""
    iterdir = Path.iterdir

    def refuse(self):
        if self == folder:
            raise PermissionError(13, "Permission denied")
        return iterdir(self)

    monkeypatch.setattr(Path, "iterdir", refuse)


def test_images_of_all_sub_folders_are_found_sorted_whatever_the_case_of_the_suffix(tmp_path: Path) -> None:
    touch(tmp_path, "b.JPG", "a.png", "deep/er/c.TiFF", "notes.txt", "d", "deep/.xmp")
    names = ["a.png", "b.JPG", "deep/er/c.TiFF"]
    assert [path.relative_to(tmp_path).as_posix() for path in find_images(tmp_path)] == names
    assert search_images(tmp_path).images == tuple(find_images(tmp_path))
    assert search_images(tmp_path).skipped == search_images(tmp_path).failed == ()


def test_hidden_files_and_folders_are_ignored(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "._a.png", ".b.cr2", ".thumbnails/a.png", ".cache/x.nef")
    found = search_images(tmp_path)
    assert [path.name for path in found.images] == ["a.png"]
    assert found.skipped == found.failed == ()
    assert [path.name for path in search_images(tmp_path / ".thumbnails").images] == ["a.png"]


def test_everything_that_is_left_out_has_a_kind(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "x.CR2", "y.gif", "real/b.png")
    (tmp_path / "broken.png").symlink_to("nowhere.png")
    (tmp_path / "itself.png").symlink_to("itself.png")
    (tmp_path / "loop").symlink_to(".")
    (tmp_path / "more").symlink_to("real")
    (tmp_path / "good.png").symlink_to("a.png")
    os.mkfifo(tmp_path / "pipe.png")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket.png"))
        found = search_images(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in found.images] == ["a.png", "good.png", "real/b.png"]
    assert {path.name: kind for path, kind in found.skipped} == {
        "broken.png": "broken link",
        "itself.png": "broken link",
        "loop": "linked folder",
        "more": "linked folder",
        "pipe.png": "FIFO",
        "socket.png": "socket",
        "x.CR2": ".cr2",
        "y.gif": ".gif",
    }
    assert list(found.skipped) == sorted(found.skipped)


def test_kinds_of_single_paths(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "notes.txt", "a.NEF")
    kinds = [path_kind(tmp_path / name) for name in ("a.png", "notes.txt", "a.NEF", "", "none", "a.png/below")]
    assert kinds == ["image", "file", ".nef", "folder", "missing", "missing"]
    assert path_kind(Path(os.devnull)) == "device"
    assert not IMAGE_SUFFIXES.keys() & {".cr2", ".nef", ".gif"}
    assert {".cr2", ".dng", ".gif", ".heic", ".ppm"} <= KNOWN_SUFFIXES | IMAGE_SUFFIXES.keys()


def test_heif_files_are_images_with_the_extra_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.HEIC", "b.heif", "c.png")
    monkeypatch.setattr(files, "HAS_HEIF", True)
    assert len(find_images(tmp_path)) == 3
    monkeypatch.setattr(files, "HAS_HEIF", False)
    assert [path.name for path in find_images(tmp_path)] == ["c.png"]
    assert [kind for _, kind in search_images(tmp_path).skipped] == [".heic", ".heif"]


def test_missing_folder_has_no_images(tmp_path: Path) -> None:
    assert find_images(tmp_path / "none") == []
    assert search_images(tmp_path / "none").failed[0][1].startswith("cannot be searched (")


def test_sub_folder_that_cannot_be_listed_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.png", "locked/b.png")
    lock(monkeypatch, tmp_path / "locked")
    found = search_images(tmp_path)
    assert [path.name for path in found.images] == ["a.png"]
    assert found.failed == ((tmp_path / "locked", "cannot be searched (Permission denied)"),)
    with pytest.raises(ImageError, match=r"locked: cannot be searched \(Permission denied\)"):
        find_images(tmp_path)


def test_file_that_cannot_be_examined_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.png", "b.png")
    stat = Path.stat

    def refuse(self, **kwargs):
        if self.name == "b.png":
            raise PermissionError(13, "Permission denied")
        return stat(self, **kwargs)

    monkeypatch.setattr(Path, "stat", refuse)
    assert search_images(tmp_path).failed == ((tmp_path / "b.png", "cannot be examined (Permission denied)"),)


def test_ignored_folders_are_not_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.png", "out/b.png", "c.png")
    lock(monkeypatch, tmp_path / "out")
    found = search_images(tmp_path, lambda path: path.name in ("out", "c.png"))
    assert [path.name for path in found.images] == ["a.png"]
    assert found.failed == ()


def test_names_that_are_not_utf8_are_found_and_sorted(tmp_path: Path) -> None:
    touch(tmp_path, f"{NOT_UTF8}.png", "a.png", f"{NOT_UTF8}/z.jpg")
    names = {path.relative_to(tmp_path).as_posix() for path in find_images(tmp_path)}
    assert names == {"a.png", f"{NOT_UTF8}.png", f"{NOT_UTF8}/z.jpg"}
    assert find_images(tmp_path) == sorted(find_images(tmp_path))


@pytest.mark.parametrize("name", ["n" * 251 + ".png", "ü" * 125 + ".png", "\N{GRINNING FACE}" * 62 + ".png", NOT_UTF8])
def test_temporary_file_of_every_possible_name_can_be_written(tmp_path: Path, name: str) -> None:
    with atomic_path(tmp_path / name) as part:
        part.write_bytes(b"x")
        assert part.name.startswith(".")
        assert len(os.fsencode(part.name)) <= 255
    assert (tmp_path / name).read_bytes() == b"x"
    assert len(list(tmp_path.iterdir())) == 1


def test_temporary_files_of_dead_processes_are_removed(tmp_path: Path) -> None:
    dead = [
        f".x.png.{DEAD}{PARTIAL}",
        f".{NOT_UTF8}.{DEAD}{PARTIAL}",
        f".x\ny.{DEAD}{PARTIAL}",
        f".x.{10**30}{PARTIAL}",
    ]
    touch(tmp_path, *dead, f".x.png.{os.getpid()}{PARTIAL}")
    remove_partial_files(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f".x.png.{os.getpid()}{PARTIAL}"]


def test_what_restorekit_has_not_written_is_never_removed(tmp_path: Path) -> None:
    others = [
        f"{DEAD}{PARTIAL}",
        f".x.abc{PARTIAL}",
        f".x.²{PARTIAL}",
        f".x.٩٩٩٩٩٩٩٩{PARTIAL}",
        f".x.{PARTIAL}",
        f".x.0{PARTIAL}",
        f".x.-1{PARTIAL}",
        PARTIAL,
    ]
    touch(tmp_path, *others, f"x.{DEAD}{PARTIAL}", f".folder.{DEAD}{PARTIAL}/a.png", "target")
    (tmp_path / f".link.{DEAD}{PARTIAL}").symlink_to("target")
    before = sorted(tmp_path.rglob("*"))
    remove_partial_files(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def test_part_files_of_other_hosts_are_kept(tmp_path: Path) -> None:
    name = f".x.png.{DEAD}.{'0' * 8}.restorekit-part"
    touch(tmp_path, name)
    remove_partial_files(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_removing_temporary_files_never_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remove_partial_files(tmp_path / "none")
    touch(tmp_path, f".x.{DEAD}{PARTIAL}", "file")
    remove_partial_files(tmp_path / "file")

    def refuse(self, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    remove_partial_files(tmp_path)
    lock(monkeypatch, tmp_path)
    remove_partial_files(tmp_path)
