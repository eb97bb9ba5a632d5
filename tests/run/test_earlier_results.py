"""Results of earlier runs among the photos of a run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from restorekit.run.earlier_results import find_earlier_results
from restorekit.run.manifest import MANIFEST, Manifest, Record
from tests.core.test_files import NOT_UTF8

REQUEST = {"recipe": "inpaint"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def results(names: Sequence[str], recipe: str = "denoise") -> list[str]:
    return sorted(path.as_posix() for path in find_earlier_results([Path(name) for name in names], recipe))


@pytest.mark.parametrize("name", ["b-denoise.png", "b-denoise.jpg", "b-denoise-1.png", "b-denoise-12.png"])
def test_result_next_to_its_photo_is_recognised_by_name(name: str) -> None:
    assert results(["re/b.png", f"re/{name}", "re/c.png"]) == [f"re/{name}"]
    assert results([f"re/{name}", "re/c.png"]) == [], "its photo is not restored"
    assert results([f"re/{name}", "other/b.png"]) == [], "its photo is in another folder"
    assert results(["re/b.png", f"re/{name}"], recipe="inpaint") == []


@pytest.mark.parametrize(
    "name", ["b-denoised.png", "b-denoise-x.png", "b-denoise-0.png", "c-denoise.png", "-denoise.png"]
)
def test_other_names_are_photos(name: str) -> None:
    assert results(["b.png", name]) == []


def test_results_of_results_are_recognised() -> None:
    names = ["b.png", "b-denoise.png", "b-denoise-denoise.png"]
    assert results(names) == sorted(names[1:])


def test_folder_of_results_next_to_its_folder_is_recognised_by_name() -> None:
    names = ["p/x/a.jpg", "p/x/s/b.png", "p/x-denoise/a.png", "p/x-denoise/s/b-2.png", "p/x-denoise/new.png"]
    assert results(names) == ["p/x-denoise/a.png", "p/x-denoise/s/b-2.png"]
    assert results(names[2:]) == [], "a folder of results on its own is an input like any other"


def test_result_is_recognised_by_the_manifest_whatever_its_name_and_recipe(folder: Path) -> None:
    (folder / "out").mkdir()
    manifest = Manifest(Path("out"))
    manifest.append(Record("x.png", REQUEST, {"source": "../in/a.png"}, sha256="0", size=1))
    manifest.append(Record(f"{NOT_UTF8}.png", REQUEST, {"source": f"{NOT_UTF8}.jpg"}, sha256="0", size=1))
    manifest.append(Record("failed.png", REQUEST, {"source": "../in/a.png"}, error="no memory"))
    names = ["out/x.png", "out/failed.png", f"out/{NOT_UTF8}.png", "out/y.png"]
    assert results([*names, "in/a.png"]) == ["out/x.png"]
    assert results([str(folder / "out" / "x.png"), "in/a.png"]) == [(folder / "out" / "x.png").as_posix()]
    assert results([*names, f"out/{NOT_UTF8}.jpg"]) == [f"out/{NOT_UTF8}.png"]
    assert results(names) == [], "a folder of results can be restored with another recipe"


def test_results_in_a_folder_with_the_name_of_their_photos_are_photos(folder: Path) -> None:
    """`mv out in` after the photos were deleted: every record names the file itself as its source."""
    (folder / "in").mkdir()
    manifest = Manifest(Path("in"))
    for name in ("a.png", "b.png"):
        manifest.append(Record(name, REQUEST, {"source": f"../in/{name}"}, sha256="0", size=1))
    assert results(["in/a.png", "in/b.png"]) == []


def test_source_that_is_no_path_is_ignored(folder: Path) -> None:
    Manifest(Path()).append(Record("x.png", REQUEST, {"source": "a\0/a.png"}, sha256="0", size=1))
    assert results(["a.png", "x.png"]) == []


def test_links_to_the_folders_do_not_matter(folder: Path) -> None:
    (folder / "in").mkdir()
    (folder / "link").symlink_to("in")
    Manifest(Path("in")).append(Record("x.png", REQUEST, {"source": "a.png"}, sha256="0", size=1))
    assert results(["link/a.png", "in/x.png"]) == ["in/x.png"]
    assert results(["link/a.png", "in/a-denoise.png"]) == ["in/a-denoise.png"]


def test_damaged_lines_of_a_manifest_are_ignored(folder: Path) -> None:
    good = json.dumps({"output": "x.png", "request": {}, "files": {"source": "a.png"}})
    wrong = json.dumps({"output": "y.png", "request": {}, "files": {"source": 3}})
    (folder / MANIFEST).write_bytes(b'\xff\xfe\x00{"output"\n[1]\nnull\n' + f"{wrong}\n{good}\n{{".encode())
    assert results(["a.png", "x.png", "y.png"]) == ["x.png"]
    (folder / MANIFEST).unlink()
    (folder / MANIFEST).mkdir()
    assert results(["a.png", "x.png"]) == []


def test_manifest_that_cannot_be_read_is_ignored(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / MANIFEST).write_text("{}\n")

    def refuse(self, *arguments, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert results(["a.png", "x.png", "a-denoise.png"]) == ["a-denoise.png"]
