"""Masks on the command line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from restorekit.run import folder
from tests.models.small import small_model
from tests.run.test_folder import save


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return small_model(tmp_path / "model")


def red_strokes(path: Path, width: int, height: int) -> Path:
    image = Image.new("RGB", (width, height), "white")
    ImageDraw.Draw(image).rectangle([width // 4, height // 4, width // 2, height // 2], fill="red")
    path.parent.mkdir(exist_ok=True)
    image.save(path)
    return path


def test_photos_without_a_mask_are_named_before_the_run(
    tmp_path: Path, restorekit, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abcdefgh":
        save(tmp_path / "in" / f"{name}.png", 16, 20, 3)
    red_strokes(tmp_path / "masks" / "a.png", 20, 16)
    printed = []

    def restore(*arguments: object, **named: object) -> object:
        printed.append(sys.stderr.getvalue())  # type: ignore[attr-defined]
        raise KeyboardInterrupt

    monkeypatch.setattr(folder, "run_jobs", restore)
    restorekit("inpaint", tmp_path / "in", "--mask", tmp_path / "masks", "--model", model)
    names = ", ".join(str(tmp_path / "in" / f"{name}.png") for name in "bcdef")
    reason = f"--mask: {tmp_path}/masks/b.png: no such file, nor with another suffix or as b_mask or b-mask"
    assert printed == [f"note: 7 of 8 photos cannot be restored: {names} and 2 more ({reason})\n"]


def test_a_missing_mask_ends_the_command_before_a_model_is_loaded(tmp_path: Path, restorekit) -> None:
    words = "inpaint", save(tmp_path / "a.png", 16, 20, 3), "--model", tmp_path / "none"
    code, _, err = restorekit(*words, "--mask", tmp_path / "m.png")
    assert (code, err) == (1, f"error: --mask: {tmp_path}/m.png: no such file or folder\n")


def test_a_mask_is_read_as_the_options_say_and_replayed(tmp_path: Path, restorekit, model: Path) -> None:
    photo, mask = save(tmp_path / "a.png", 16, 20, 3), red_strokes(tmp_path / "m.png", 40, 32)
    target = tmp_path / "out" / "a.png"
    words = "inpaint", photo, "--mask", mask, "--steps", "2", "--model", model, "-o", target
    code, _, err = restorekit(*words)
    assert code == 1
    assert "m.png: --mask is 40 x 32, allowed: 20 x 16, the size of the upright photo; --resize-mask resizes it" in err
    code, _, err = restorekit(*words, "--resize-mask")
    assert (code, "m.png: --mask: strokes of one colour are filled (--mask-channel colour)" in err) == (0, True)
    assert "1 skipped" in restorekit(*words, "--resize-mask")[1]
    code, out, err = restorekit(*words, "--resize-mask", "--mask-channel", "blue", "--invert-mask")
    assert (code, "1 restored" in out, "--mask" in err) == (0, True, False)
    code, out, _ = restorekit("replay", target)
    assert (code, "is identical" in out) == (0, True)
    code, _, err = restorekit(*words, "--mask-channel", "rad")
    assert code == 2
    assert "--mask-channel" in err
    assert "luminance" in err
