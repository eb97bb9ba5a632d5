"""Pairs of degraded and true photos, with recipes and photos made here."""

from __future__ import annotations

import math
import re
import warnings
from pathlib import Path
from typing import Annotated

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from torch import Tensor

from restorekit.core.denoiser import GREY_LEVEL
from restorekit.core.options import ImageOption, JpegTables, Option
from restorekit.core.recipe import recipe
from restorekit.errors import ImageError, OptionError, RestorekitWarning
from restorekit.evaluation import pairs as module
from restorekit.evaluation.baselines import STRENGTHS, best_strength
from restorekit.evaluation.metrics import psnr, ssim
from restorekit.evaluation.pair_files import find_pairs
from restorekit.evaluation.pairs import Row, evaluate, find_recipe, summarize
from restorekit.run.engine import make_engine
from restorekit.run.folder import Settings, run_jobs
from restorekit.run.images import read_photo
from restorekit.run.plan import plan_jobs
from restorekit.run.png16 import encode_png16
from restorekit.run.runner import Runner
from restorekit.testing import GaussianPrior

ENGINE = make_engine("cpu", "float32")
PRIOR = GaussianPrior(0.0, 0.5)


@recipe("speckle")
def speckle(y, prior, noise, *, amount: Annotated[float, Option("Amount.")] = 0.01):
    """Add noise."""
    return y + amount * noise.like(y)


@recipe("warn")
def warn(y, prior, noise):
    """Warn."""
    warnings.warn(RestorekitWarning("no noise found; image unchanged"), stacklevel=2)
    return y


@recipe("broken")
def broken(y, prior, noise):
    """Return NaN."""
    return y * math.nan


@recipe("enlarge", size=lambda height, width, options: (2 * height, 2 * width))
def enlarge(y, prior, noise):
    """Double the size."""
    return y.repeat(1, 1, 2, 2)


@recipe("fill")
def fill(y, prior, noise, *, mask: Annotated[Tensor | None, ImageOption("What to fill.")] = None):
    """Fill."""
    return y


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        save(folder / name, np.zeros((12, 12, 3), np.uint8))
    return folder


def save_pair(folder: Path, name: str, offset: int = 0, sigma: float = 8) -> None:
    """Save a crop of a photo with and without Gaussian noise of sigma grey levels."""
    true = data.astronaut()[60 + offset : 108 + offset, 180:232]
    noise = np.random.default_rng(offset).normal(0, sigma, true.shape)
    save(folder / f"{name}_mean.png", true)
    save(folder / f"{name}_real.png", (true + noise).round().clip(0, 255).astype(np.uint8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i, name in enumerate(("canon_1", "canon_2", "nikon_1")):
        save_pair(tmp_path / "photos", name, 10 * i)
    return tmp_path / "photos"


def pixels(path: Path) -> Tensor:
    return read_photo(path).tensor()[0]


# Files


def test_photos_of_one_folder_are_paired_by_suffix(tmp_path: Path) -> None:
    touch(tmp_path, "b_mean.png", "b_real.JPG", "sub/a_real.png", "sub/a_mean.tif")
    assert find_pairs(tmp_path) == [
        ("b", tmp_path / "b_real.JPG", tmp_path / "b_mean.png"),
        ("sub/a", tmp_path / "sub/a_real.png", tmp_path / "sub/a_mean.tif"),
    ]


def test_the_suffixes_can_be_chosen_and_one_can_be_empty(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "a_noisy.png")
    assert find_pairs(tmp_path, suffixes=("_noisy", "")) == [("a", tmp_path / "a_noisy.png", tmp_path / "a.png")]


def test_photos_of_two_folders_are_paired_by_relative_path(tmp_path: Path) -> None:
    touch(tmp_path, "in/sub/a_real.png", "in/b.png", "true/sub/a_real.jpg", "true/b.png")
    assert find_pairs(tmp_path / "in", tmp_path / "true") == [
        ("b", tmp_path / "in/b.png", tmp_path / "true/b.png"),
        ("sub/a_real", tmp_path / "in/sub/a_real.png", tmp_path / "true/sub/a_real.jpg"),
    ]


@pytest.mark.parametrize(
    ("files", "arguments", "message"),
    [
        ([], ("in",), r"in: no such folder \(in "),
        (["in/sub/a.png"], ("in",), r"in/sub/a.png: the name has no suffix, allowed: .*_real"),
        (["in/a_real.png"], ("in/a_real.png",), r"in/a_real.png: no such folder"),
        (
            ["in/a_real.png", "in/a_mean.png", "in/b_real.png", "in/c_real.png"],
            ("in",),
            r"b_real.png: no true photo \*_mean.\* in in \(2 without a partner\); allowed: pairs of \*_real.\* and",
        ),
        (["in/a_mean.png"], ("in",), r"a_mean.png: no degraded photo \*_real.\* in in \(1 without"),
        (["in/a.png", "true/a.png", "true/b.png"], ("in", "true"), r"true/b.png: no degraded photo in in \(1 without"),
        (["in/a.png", "in/b.png", "true/a.png"], ("in", "true"), r"in/b.png: no true photo in true \(1 without"),
        (["in/a.png"], ("in", "true"), r"true: no such folder"),
        (
            ["in/a.png", "in/a.jpg", "true/a.png"],
            ("in", "true"),
            r"in: a.jpg and a.png have the same name, allowed: one",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list | tuple) else "",
)
def test_photos_without_a_partner_are_reported(tmp_path: Path, monkeypatch, files, arguments, message: str) -> None:
    monkeypatch.chdir(touch(tmp_path, *files))
    with pytest.raises(ImageError, match=message):
        find_pairs(*map(Path, arguments))


def test_an_empty_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"no image in this folder; allowed: .*\.bmp"):
        find_pairs(tmp_path)


def test_inconsistent_suffixes_are_reported(folder: Path) -> None:
    with pytest.raises(OptionError, match="--suffixes: found '_a' twice, allowed: two different suffixes"):
        find_pairs(folder, suffixes=("_a", "_a"))
    with pytest.raises(OptionError, match="--suffixes: found two folders, allowed: with one folder only"):
        find_pairs(folder, folder, ("_a", "_b"))


# Measurements


@pytest.mark.parametrize("deep", [False, True])
def test_results_are_those_of_the_file_that_the_command_writes(tmp_path: Path, deep: bool) -> None:
    folder = tmp_path / "photos"
    save_pair(folder, "a")
    if deep:
        for path in folder.iterdir():
            path.write_bytes(encode_png16(np.asarray(Image.open(path)).astype(np.uint16) * 257 + 3, None, None))
    degraded, true = folder / "a_real.png", folder / "a_mean.png"
    target = tmp_path / "out.png"
    run_jobs(plan_jobs([degraded], target, speckle, {}), Runner(speckle, PRIOR, {}, ENGINE), Settings(seed=5))
    (row,) = evaluate(folder, speckle, ENGINE, model=PRIOR, seed=5, baselines=False).rows
    expected = [psnr(pixels(degraded), pixels(true)), psnr(pixels(target), pixels(true))]
    assert [row.psnr_before, row.psnr_after] == expected
    assert row.gain == expected[1] - expected[0] < 0
    assert row.ssim_before == ssim(pixels(degraded), pixels(true)) > row.ssim_after
    assert row.ssim_after == ssim(pixels(target), pixels(true))
    assert row.seconds > 0
    (other,) = evaluate(folder, speckle, ENGINE, model=PRIOR, seed=6, baselines=False).rows
    assert other.psnr_after != row.psnr_after


def test_the_table_is_written_line_by_line(folder: Path) -> None:
    lines: list[str] = []
    options = {"amount": "0.02"}
    report = evaluate(folder, speckle, ENGINE, model=PRIOR, options=options, write_line=lines.append)
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for text in lines for line in text.splitlines()]
    assert {len(row) for row in cells} == {8}
    assert [row[0] for row in cells[2:8]] == 2 * ["canon_1", "canon_2", "nikon_1"]
    label = "speckle (amount=0.02, model=GaussianPrior)"
    assert [row[1] for row in cells[2:5]] == 3 * [label]
    assert re.fullmatch(r"(NLM|BM3D) \(sigma \d+\)", cells[5][1])
    assert [row[0] for row in cells[8::2]] == [row[0] for row in cells[9::2]]
    assert [row[1] for row in cells[8::2]] == 4 * [label]
    assert cells[8][0] == "mean of 3"
    assert cells[10][0].startswith("smallest gain: ")
    assert [row[0] for row in cells[12::2]] == ["canon: mean of 2", "nikon: mean of 1"]
    assert len(report.rows) == 6
    assert len(report.totals) == 8
    first = report.rows[0]
    assert cells[2][2:5] == [f"{first.psnr_before:.2f}", f"{first.psnr_after:.2f}", f"{first.gain:+.2f}"]


def test_a_baseline_at_its_best_strength_removes_noise(folder: Path) -> None:
    report = evaluate(folder, speckle, ENGINE, model=PRIOR)
    speckled, denoised = report.totals[:2]
    assert speckled.gain < 0
    assert denoised.gain > 0.5


def test_bm3d_is_the_baseline_if_it_is_installed(folder: Path, monkeypatch) -> None:
    methods = {"NLM": lambda x, sigma: x, "BM3D": lambda x, sigma: torch.zeros_like(x)}
    for names, expected in ((("NLM",), "NLM"), (("NLM", "BM3D"), "BM3D")):
        monkeypatch.setattr(module, "denoisers", lambda names=names: {name: methods[name] for name in names})
        report = evaluate(folder, speckle, ENGINE, model=PRIOR)
        assert report.rows[-1].method.startswith(f"{expected} (sigma ")
        assert (report.rows[-1].gain == 0) == (expected == "NLM")


def test_the_best_strength_is_that_of_the_highest_mean_psnr() -> None:
    true = [torch.zeros(3, 4, 4), torch.zeros(3, 4, 4)]
    used: list[float] = []

    def method(degraded: Tensor, sigma: float) -> Tensor:
        used.append(sigma / GREY_LEVEL)
        return torch.full_like(degraded, sigma) - 8.2 * GREY_LEVEL

    assert best_strength(method, [(x, x) for x in true]) == 8
    assert max(used) == pytest.approx(10), "the search ends when the PSNR is 1 dB below the highest"
    assert best_strength(lambda x, sigma: x + sigma, [(x, x) for x in true]) == STRENGTHS[0]
    assert best_strength(lambda x, sigma: x + 1 - sigma, [(x, x) for x in true]) == STRENGTHS[-1]


def test_the_search_continues_after_a_small_loss() -> None:
    errors = dict(zip(STRENGTHS, [1.0, 1.05, 0.5, *[2.0] * len(STRENGTHS)], strict=False))
    true = torch.zeros(3, 4, 4)
    assert best_strength(lambda x, sigma: x + errors[round(sigma / GREY_LEVEL)], [(true, true)]) == STRENGTHS[2]


def test_every_nth_pair_is_used(folder: Path) -> None:
    report = evaluate(folder, speckle, ENGINE, model=PRIOR, every=2, baselines=False)
    assert [row.photo for row in report.rows] == ["canon_1", "nikon_1"]


def test_warnings_become_notes_and_no_lines_of_the_table(folder: Path) -> None:
    lines: list[str] = []
    report = evaluate(folder, warn, ENGINE, model=PRIOR, baselines=False, write_line=lines.append)
    assert report.notes == [
        f"{folder / name}_real.png: no noise found; image unchanged" for name in ("canon_1", "canon_2", "nikon_1")
    ]
    assert "no noise" not in "\n".join(lines)


def test_equal_photos_have_an_infinite_psnr_and_no_gain(folder: Path) -> None:
    report = evaluate(folder, warn, ENGINE, true_folder=folder, model=PRIOR, baselines=False)
    assert {(row.psnr_before, row.psnr_after, row.gain) for row in report.totals} == {(math.inf, math.inf, 0.0)}
    changed = evaluate(folder, speckle, ENGINE, true_folder=folder, model=PRIOR, baselines=False)
    assert changed.totals[0].psnr_after < 60
    assert changed.totals[0].gain == -math.inf


def test_jpeg_tables_of_the_degraded_file_reach_the_recipe(tmp_path: Path) -> None:
    seen: list[Tensor | None] = []

    @recipe("see")
    def see(y, prior, noise, *, quality: Annotated[Tensor | None, JpegTables("Quality.")]):
        """Record the tables."""
        seen.append(quality)
        return y

    save(tmp_path / "a_mean.png", np.zeros((16, 16, 3), np.uint8))
    Image.new("RGB", (16, 16)).save(tmp_path / "a_real.jpg", quality=10)
    evaluate(tmp_path, see, ENGINE, model=PRIOR, baselines=False)
    assert seen[0] is not None
    assert torch.equal(seen[0][0], torch.from_numpy(read_photo(tmp_path / "a_real.jpg").jpeg_tables))


def row(photo: str, gain: float = 1.0) -> Row:
    return Row(photo, "m", 30, 30 + gain, gain, 0.5, 0.7, 2)


def test_the_summary_has_mean_and_smallest_gain() -> None:
    mean, worst = summarize([row("a", 1), row("b", -2), row("c", 4)])
    assert (mean.photo, mean.method, mean.psnr_before, mean.psnr_after, mean.gain) == ("mean of 3", "m", 30, 31, 1)
    assert (mean.ssim_before, mean.ssim_after, mean.seconds) == pytest.approx((0.5, 0.7, 2))
    assert (worst.photo, worst.psnr_after, worst.gain) == ("smallest gain: b", 28, -2)


def test_the_summary_has_a_mean_per_camera_if_there_are_several() -> None:
    rows = [row("sub/a_1", 1), row("a_2", 3), row("sub/b_1", 5)]
    assert [(r.photo, r.gain) for r in summarize(rows)[2:]] == [("a: mean of 2", 2), ("b: mean of 1", 5)]
    for names in (("a_1", "a_2", "a_3"), ("a_1", "b_1"), ("a_1", "a_2", "b")):
        assert len(summarize([row(name) for name in names])) == 2


# Errors


def test_photos_of_different_shape_are_reported_before_the_table(folder: Path) -> None:
    lines: list[str] = []
    save(folder / "z_real.png", np.zeros((20, 30, 3), np.uint8))
    save(folder / "z_mean.png", np.zeros((20, 30), np.uint8))
    message = r"z_real.png and .*z_mean.png: found 30 x 20 pixels, 3 channels and 30 x 20 pixels, 1 channels, allowed:"
    with pytest.raises(ImageError, match=message):
        evaluate(folder, speckle, ENGINE, model=PRIOR, write_line=lines.append)
    assert lines == []


def test_photos_smaller_than_the_window_of_ssim_are_reported(tmp_path: Path) -> None:
    for name in ("a_real.png", "a_mean.png"):
        save(tmp_path / name, np.zeros((10, 40, 3), np.uint8))
    with pytest.raises(ImageError, match=r"a_real.png: found 40 x 10 pixels, allowed: 11 x 11 or more"):
        evaluate(tmp_path, speckle, ENGINE, model=PRIOR)


def test_recipes_that_change_the_size_are_reported(folder: Path) -> None:
    with pytest.raises(OptionError, match=r"--recipe: enlarge changes the size or the channels of .*canon_1_real.png"):
        evaluate(folder, enlarge, ENGINE, model=PRIOR)


def test_side_images_and_unknown_options_are_reported(folder: Path) -> None:
    with pytest.raises(OptionError, match=r"--set: unknown option 'mask'. Allowed: none"):
        evaluate(folder, fill, ENGINE, model=PRIOR, options={"mask": "m.png"})
    with pytest.raises(OptionError, match=r"speckle: unknown option 'amuont'. Did you mean 'amount'"):
        evaluate(folder, speckle, ENGINE, model=PRIOR, options={"amuont": "1"})


def test_a_failure_of_the_recipe_names_the_photo(folder: Path) -> None:
    with pytest.raises(ImageError, match=r"canon_1_real.png: the result contains values that are not finite"):
        evaluate(folder, broken, ENGINE, model=PRIOR)


def test_recipes_are_found_by_name() -> None:
    assert find_recipe("denoise").name == "denoise"
    with pytest.raises(OptionError, match=r"--recipe: unknown recipe 'denois'. Did you mean 'denoise'. Allowed: .*den"):
        find_recipe("denois")
    with pytest.raises(OptionError, match=r"--recipe: inpaint requires an additional image per photo, allowed: .*den"):
        find_recipe("inpaint")
