"""Traces of the estimates, beside the results."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import restorekit as rk
from restorekit.core.files import BY_PRODUCT, find_images, path_kind
from restorekit.core.recipe import recipe
from restorekit.errors import ImageError, OptionError
from restorekit.run.display import to_8_bits, to_srgb
from restorekit.run.folder import run_jobs
from restorekit.run.images import Photo, read_photo
from restorekit.run.metadata import ORIENTATION
from restorekit.run.plan import plan_jobs
from restorekit.run.runner import Runner
from restorekit.run.settings import Settings, Trace
from restorekit.run.trace import CAPTION, DURATION, GAP, LAST_DURATION, MAX_SIDE, MIN_SIDE, TraceRecorder, trace_path
from restorekit.run.verify import verify
from restorekit.testing import GaussianPrior
from tests.run.remote import find, put, run_remote
from tests.run.remote import png as remote_png
from tests.run.test_display import linear, smooth
from tests.run.test_folder import ENGINE, save, speckle
from tests.run.test_images import SRGB

__all__ = ["linear"]
PRIOR = GaussianPrior(0.0, 0.3)
SIGMAS = (2.0, 1.0, 0.5, 0.25)


@recipe("steps", samples=True)
def steps(y, prior, noise):
    """Four evaluations of the prior."""
    for sigma in SIGMAS:
        y = prior(y + 0.1 * sigma * noise.like(y), torch.full((len(y),), sigma))
    return y


def restore(photos: Path, output: Path, trace: Trace | None, made=steps, samples: int = 1, **settings):
    plan = plan_jobs([photos], output, made, {}, samples=samples)
    return run_jobs(plan, Runner(made, PRIOR, {}, ENGINE), Settings(trace=trace, **settings))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def recorder(count: int, frames: int = 9, kind="strip", side: int = 8) -> TraceRecorder:
    found = TraceRecorder(Trace(kind, frames))
    for number in range(count):
        found.record(torch.tensor([float(count - number)]), torch.full((1, 3, side, side), number / count * 2 - 1))
    return found


def first_pixels(data: bytes, side: int = MIN_SIDE) -> list[int]:
    """Return the value at the center of every cell of a strip of square frames, row by row, without empty places."""
    image = Image.open(io.BytesIO(data)).convert("L")
    xs = range(GAP + side // 2, image.width, side + GAP)
    ys = range(GAP + side // 2, image.height, side + CAPTION + GAP)
    return [image.getpixel((x, y)) for y in ys for x in xs]


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 17, 18, 19, 100, 1000])
def test_frames_are_spread_over_a_run_of_unknown_length(count: int) -> None:
    found, photo = recorder(count), Photo(np.full((8, 8, 3), 250, np.uint8))
    assert len(found._kept) <= 18
    values = first_pixels(found.encoded(photo, photo))
    shown = [value for value in values if value != 255]  # an empty place is white
    *estimates, result = shown
    assert result == 250
    assert len(estimates) == min(8, count)
    assert estimates == sorted(estimates)
    assert estimates[0] == 0
    gaps = np.diff([*estimates, 255 * (count - 1) // count])
    assert gaps.max(initial=0) <= 2 * 255 / min(8, count) + 2


def test_an_animation_ends_with_the_result_and_shows_it_longer() -> None:
    photo = Photo(np.full((8, 8, 3), 250, np.uint8))
    image = Image.open(io.BytesIO(recorder(50, 5, "webp").encoded(photo, photo)))
    assert (image.format, image.n_frames) == ("WEBP", 5)
    durations, values = [], []
    for number in range(5):
        image.seek(number)
        image.load()
        durations.append(image.info["duration"])
        values.append(image.convert("L").getpixel((image.width // 2, MIN_SIDE // 2)))
    assert durations == [DURATION] * 4 + [LAST_DURATION]
    assert values == sorted(values)
    assert abs(values[-1] - 250) <= 3


def test_frames_of_large_and_of_different_sizes_are_bounded() -> None:
    found = TraceRecorder(Trace("strip", 3))
    for side in (8, 2000):
        found.record(torch.ones(1), torch.zeros(1, 1, side, side // 2))
    assert max(max(pixels.shape[:2]) for _, pixels in found._kept) == MAX_SIDE
    photo = Photo(np.full((3000, 1500, 1), 9, np.uint8))
    image = Image.open(io.BytesIO(found.encoded(photo, photo)))
    assert image.width <= 3 * (MAX_SIDE + GAP) + GAP
    assert image.height <= 2 * (MAX_SIDE + CAPTION + GAP) + GAP


@pytest.mark.parametrize("deep", [False, True])
def test_colours_are_those_that_a_screen_shows(linear: bytes, deep: bool) -> None:
    values = smooth(MIN_SIDE, MIN_SIDE)
    photo = Photo(values.astype(np.uint16) * 257 if deep else values, icc=linear)
    found = TraceRecorder(Trace("strip", 2))
    found.record(torch.ones(1), photo.tensor())
    image = np.asarray(Image.open(io.BytesIO(found.encoded(photo, photo))))
    want = np.asarray(to_srgb(to_8_bits(photo))).astype(int)
    estimate = image[GAP : GAP + MIN_SIDE, GAP : GAP + MIN_SIDE]
    result = image[GAP : GAP + MIN_SIDE, 2 * GAP + MIN_SIDE : 2 * (GAP + MIN_SIDE)]
    assert np.abs(want - values).max() > 20
    assert np.abs(estimate - want).max() <= 1
    assert np.abs(result - want).max() <= 1


def test_a_trace_is_upright(tmp_path: Path) -> None:
    values = np.zeros((MIN_SIDE // 2, MIN_SIDE, 3), np.uint8)
    values[:, : MIN_SIDE // 2] = 200
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # the first row of the file is the right side of the photo
    (tmp_path / "in").mkdir()
    Image.fromarray(values).save(tmp_path / "in" / "a.jpg", exif=exif, quality=95, icc_profile=SRGB)

    @recipe("copy")
    def copy(y, prior, noise):
        """The photo after an evaluation of the prior."""
        prior(y, torch.ones(1))
        return y

    restore(tmp_path / "in", tmp_path / "out", Trace("strip", 2), copy)
    image = Image.open(tmp_path / "out" / "a.jpg.trace.png").convert("L")
    left = 2 * GAP + MIN_SIDE // 2
    assert image.getpixel((left + 40, GAP + 40)) > 190
    assert image.getpixel((left + 40, GAP + MIN_SIDE - 40)) < 10


@pytest.mark.parametrize("kind", ["strip", "webp"])
def test_a_trace_is_beside_the_result_which_it_does_not_change(tmp_path: Path, kind) -> None:
    for number in range(3):
        save(tmp_path / "in" / f"{number}.png", 20, 24, 3, seed=number)
    plain = restore(tmp_path / "in", tmp_path / "plain", None)
    traced = restore(tmp_path / "in", tmp_path / "traced", Trace(kind), batch=2)
    assert len(traced.restored) == 3
    assert traced.failed == []
    traces = [trace_path(target, Trace(kind)) for target in traced.results]
    assert names(tmp_path / "traced") == sorted(path.name for path in (*traced.results, *traces))
    for one, other in zip(plain.results, traced.results, strict=True):
        assert one.read_bytes() == other.read_bytes()
    with Image.open(traces[0]) as image:
        assert image.format == {"strip": "PNG", "webp": "WEBP"}[kind]


def test_later_runs_do_not_take_traces_for_photos(tmp_path: Path, restorekit) -> None:
    save(tmp_path / "in" / "a.png", 20, 24, 3)
    out = tmp_path / "out"
    restore(tmp_path / "in", out, Trace("strip"))
    trace = out / "a.png.trace.png"
    assert path_kind(trace) == BY_PRODUCT
    assert [path.name for path in find_images(out)] == ["a.png"]
    for inputs in ([out], [Path(f"{out}/*.png")], [Path(f"{out}/**/*")], sorted(out.glob("*.png"))):
        plan = plan_jobs(inputs, tmp_path / "other", speckle, {})
        assert [job.source.name for job in plan.jobs] == ["a.png"], inputs
        assert plan.skipped == ((trace, BY_PRODUCT),)
    with pytest.raises(ImageError, match="no photo to restore; found 1 by-product of restorekit"):
        plan_jobs([trace], tmp_path / "other", speckle, {})
    assert [(path.name, state) for path, state in verify([out])] == [("a.png", "ok")]


def test_names_of_other_photos_are_no_by_products(tmp_path: Path) -> None:
    for name in ("a.trace.png", "trace.png", "a.png.traces.png", "mean.png", "x.jpg.png", ".png.mean.png"):
        save(tmp_path / name, 2, 2, 3)
        assert path_kind(tmp_path / name) == "image", name
    for name in ("a.png.trace.webp", "A.JPG.mean.JPG", "b.tif.std.png", "c.webp.uncertainty.png"):
        (tmp_path / name).write_bytes(b"")
        assert path_kind(tmp_path / name) == BY_PRODUCT, name


def test_resumed_runs_keep_traces_and_changed_results_lose_theirs(tmp_path: Path) -> None:
    photo = save(tmp_path / "in" / "a.png", 20, 24, 3)
    out = tmp_path / "out"
    restore(photo.parent, out, Trace("strip"), samples=2)
    before = {name: (out / name).read_bytes() for name in names(out)}
    assert list(before) == ["a-1.png", "a-1.png.trace.png", "a-2.png", "a-2.png.trace.png"]
    for trace in (Trace("strip"), None):
        assert restore(photo.parent, out, trace, samples=2).skipped == [photo]
        assert {name: (out / name).read_bytes() for name in names(out)} == before
    (out / "a-2.png").unlink()
    restore(photo.parent, out, Trace("webp"), samples=2)
    assert names(out) == ["a-1.png", "a-1.png.trace.png", "a-2.png", "a-2.png.trace.webp"]
    restore(photo.parent, out, None, samples=2, overwrite=True)
    assert names(out) == ["a-1.png", "a-2.png"], "traces of other results are deleted"


@pytest.mark.parametrize("kind", ["strip", "webp"])
def test_files_of_others_with_the_names_of_traces_are_kept(tmp_path: Path, kind) -> None:
    photo, out = save(tmp_path / "in" / "a.png", 20, 24, 3), tmp_path / "out"
    other = save(trace_path(out / "a.png", Trace(kind)), 8, 8, 3)
    before = other.read_bytes()
    failed = restore(photo.parent, out, Trace(kind)).failed
    assert [message for _, message in failed] == [
        f"{other}: exists, and nothing shows that restorekit wrote it; --overwrite replaces it"
    ]
    assert restore(photo.parent, out, None).restored == [photo]
    assert restore(photo.parent, out, None, overwrite=True).restored == [photo]
    assert other.read_bytes() == before
    assert restore(photo.parent, out, Trace(kind), overwrite=True).restored == [photo]
    assert other.read_bytes() != before
    restore(photo.parent, out, None, overwrite=True)
    assert names(out) == ["a.png"]


def test_a_recipe_that_does_not_use_the_prior_has_no_trace(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png", 6, 5, 3)
    report = restore(tmp_path / "in", tmp_path / "out", Trace("strip"), speckle)
    assert report.notes == [f"{tmp_path / 'in' / 'a.png'}: no trace: the recipe did not evaluate a prior"]
    assert names(tmp_path / "out") == ["a.png"]


def test_a_trace_that_cannot_be_written_fails_the_photo(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png", 20, 24, 3)
    (tmp_path / "out" / "a.png.trace.png").mkdir(parents=True)
    report = restore(tmp_path / "in", tmp_path / "out", Trace("strip"))
    assert report.failed[0][1].startswith(f"{tmp_path / 'out' / 'a.png.trace.png'}: exists, and nothing shows")
    assert names(tmp_path / "out") == ["a.png.trace.png"]


@pytest.mark.usefixtures("stores")
def test_traces_of_remote_results_are_stored_with_them() -> None:
    put(bucket_in_a=remote_png(shape=(20, 24, 3)))
    report = run_remote("memory://bucket/in", "memory://bucket/out", steps, trace=Trace("strip"))
    assert (len(report.restored), report.failed) == (1, [])
    assert find("bucket/out") == [".restorekit.jsonl", "a.png", "a.png.trace.png"]


def test_python_and_the_command_write_the_same_trace(tmp_path: Path, restorekit) -> None:
    photo = save(tmp_path / "in" / "a.png", 24, 20, 3)
    report = rk.restore_folder("denoise", photo, tmp_path / "a", trace="strip", trace_frames=3, sigma=25, device="cpu")
    words = "denoise", photo, "-o", tmp_path / "b", "--trace", "strip", "--trace-frames", "3", "--sigma", "25"
    code, _, err = restorekit(*words, "--device", "cpu")
    assert code == 0, err
    assert names(tmp_path / "a") == names(tmp_path / "b") == ["a.png", "a.png.trace.png"]
    assert report.results == [tmp_path / "a" / "a.png"]
    assert (tmp_path / "a" / "a.png.trace.png").read_bytes() == (tmp_path / "b" / "a.png.trace.png").read_bytes()
    assert read_photo(tmp_path / "a" / "a.png.trace.png").pixels.shape[2] == 3


def test_wrong_traces_are_one_line(tmp_path: Path, restorekit) -> None:
    photo = save(tmp_path / "a.png", 6, 5, 3)
    for values, message in [
        ({"trace": "gif"}, "trace: found 'gif', allowed: strip, webp"),
        ({"trace": "strip", "trace_frames": 1}, "trace_frames: found 1, allowed: 2 to 64"),
        ({"trace": "strip", "trace_frames": 2.5}, "trace_frames: found 2.5, allowed: an integer"),
        ({"trace_frames": 3}, "trace_frames requires trace"),
    ]:
        with pytest.raises(OptionError, match=message):
            rk.restore_folder(steps, photo, tmp_path / "out", PRIOR, **values)
    assert restorekit("denoise", photo, "--trace", "gif")[0] == 2
    code, _, err = restorekit("denoise", photo, "--trace-frames", "3")
    assert (code, err) == (2, "error: --trace-frames requires --trace\n")
    code, _, err = restorekit("denoise", "-", "-o", "-", "--trace", "strip")
    assert (code, err) == (2, "error: --trace: found - (standard input or output), allowed: files and folders\n")
