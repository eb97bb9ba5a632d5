"""The report of a run on the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restorekit.cli.report import _location
from restorekit.plugins.discovery import recipes
from restorekit.testing import GaussianPrior, run_command
from tests.plugins.test_discovery import GOOD
from tests.run.test_folder import save

WITH_IMAGE = GOOD.replace("*, amount", "*, kernel: Annotated[Tensor, rk.ImageOption('A kernel.')], amount")
NOTE = "JPEG is lossy"


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.fromarray(np.full((12, 16), 255, np.uint8)).save(tmp_path / "white.png")
    return save(tmp_path / "a.png", 12, 16, 3)


def test_complete_and_inpaint_keep_pixels() -> None:
    assert [name for name in ("complete", "denoise", "inpaint") if recipes()[name].keeps_pixels] == [
        "complete",
        "inpaint",
    ]


@pytest.mark.parametrize("suffix", ["png", "jpg", "jpeg"])
def test_recipes_that_keep_pixels_have_a_note_about_jpeg(photo: Path, suffix: str) -> None:
    words = ["inpaint", photo, "--mask", photo.with_name("white.png"), "--mode", "mean", "--steps", "1"]
    code, _, err = run_command(*words, "--format", suffix, prior=GaussianPrior())
    assert code == 0
    assert (NOTE in err) == (suffix != "png")
    code, _, err = run_command(*words, "--format", suffix, prior=GaussianPrior())
    assert (code, NOTE in err) == (0, False), "nothing was written"


def test_other_recipes_have_no_note_about_jpeg(install, photo: Path) -> None:
    install(light=WITH_IMAGE)
    for words in (["denoise"], ["lighten", "--kernel", photo.with_name("white.png")]):
        code, out, err = run_command(words[0], photo, *words[1:], "--format", "jpg", prior=GaussianPrior())
        assert (code, "1 restored" in out, NOTE in err) == (0, True, False), err


@pytest.mark.parametrize(
    ("targets", "text"),
    [
        ([], ""),
        (["a/b.png"], " to a/b.png"),
        (["a/b.png", "a/c.png"], " to a"),
        (["a/b/c.png", "a/d/e.png"], " to a"),
        (["a/b.png", "c/d.png"], " to ."),
        (["a/b.png", "/c/d.png"], ""),
    ],
)
def test_common_folder_of_the_results_is_printed(targets: list[str], text: str) -> None:
    assert _location([Path(target) for target in targets]) == text
