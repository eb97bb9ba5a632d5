"""Mean and standard deviation of the samples of a photo."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import restorekit as rk
from restorekit.errors import OptionError
from restorekit.run import by_products, uncertainty
from restorekit.run.images import read_photo
from restorekit.run.plan import plan_jobs
from restorekit.run.uncertainty import COLOURS, MARGIN, MIN_SIDE, Spread, picture
from restorekit.run.verify import verify
from restorekit.testing import GaussianPrior
from tests.run.remote import find, put, run_remote
from tests.run.remote import png as remote_png
from tests.run.test_folder import fill, run, save, save_mask, speckle
from tests.run.test_images import pixels

NAMES = ["a.png.mean.png", "a.png.std.png", "a.png.uncertainty.png"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def samples(folder: Path, count: int, suffix: str = ".png") -> np.ndarray:
    return np.stack([read_photo(folder / f"a-{number}{suffix}").pixels for number in range(1, count + 1)])


@pytest.mark.parametrize(("channels", "top"), [(1, 255), (3, 255), (1, 65535), (3, 65535)])
def test_mean_and_standard_deviation_are_those_of_numpy(channels: int, top: int) -> None:
    images, spread = pixels(7, 150, 5, channels, top=top), Spread()
    images[:, 70:75] = top  # the same in all images
    for image in images:
        spread.add(image)
    values = images.astype(np.float64)
    np.testing.assert_array_equal(spread.mean(), np.rint(values.mean(0)).astype(images.dtype))
    want = np.sqrt(values.std(0, ddof=1) ** 2).reshape(150, 5, channels)
    want = np.sqrt((want**2).mean(-1)) * 255 / top
    np.testing.assert_allclose(spread.std(), want, rtol=1e-6, atol=1e-6)
    assert not spread.std()[70:75].any()


def test_sums_of_many_images_do_not_overflow() -> None:
    for kind in (np.uint8, np.uint16):
        top, spread = np.iinfo(kind).max, Spread()
        image = np.full((1, 2, 3), top, kind)
        for number in range(1000):
            image[0, 1] = top if number % 2 else 0
            spread.add(image)
        assert spread.mean()[0, 0, 0] == top
        np.testing.assert_allclose(spread.std(), [[0, 127.5 * (1000 / 999) ** 0.5]], rtol=1e-6)


def test_files_contain_the_numbers_of_the_written_samples(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png", 40, 30, 3)
    report = run(tmp_path / "in", tmp_path / "out", samples=8, uncertainty=True)
    assert (report.failed, report.notes) == ([], [])
    values = samples(tmp_path / "out", 8).astype(np.float64)
    assert names(tmp_path / "out") == sorted([f"a-{number}.png" for number in range(1, 9)] + NAMES)
    mean, std, shown = (read_photo(tmp_path / "out" / name) for name in NAMES)
    np.testing.assert_array_equal(mean.pixels, np.rint(values.mean(0)))
    assert std.pixels.dtype == np.uint16
    want = np.sqrt((values.std(0, ddof=1) ** 2).mean(-1))
    assert want.max() > 10
    assert np.abs(std.pixels[..., 0] / 256 - want).max() <= 0.5 / 256 + 1e-6
    assert shown.pixels.shape[2] == 3
    np.testing.assert_array_equal(shown.pixels, np.asarray(picture(want.astype(np.float32))))


def test_16_bit_samples_are_measured_in_8_bit_grey_levels(tmp_path: Path) -> None:
    deep = pixels(20, 10, 1, top=65535)
    (tmp_path / "in").mkdir()
    Image.fromarray(deep[..., 0]).save(tmp_path / "in" / "a.png")
    run(tmp_path / "in", tmp_path / "out", samples=3, uncertainty=True)
    values = samples(tmp_path / "out", 3).astype(np.float64) / 257
    std = read_photo(tmp_path / "out" / NAMES[1]).pixels[..., 0] / 256
    assert np.abs(std - values.std(0, ddof=1)[..., 0]).max() <= 0.5 / 256 + 1e-6
    assert read_photo(tmp_path / "out" / NAMES[0]).pixels.dtype == np.uint16


def test_the_picture_has_a_fixed_scale() -> None:
    std = np.zeros((MIN_SIDE, MIN_SIDE), np.float32)
    std[:, 64:128], std[:, 128:192], std[:, 192:] = 16, 64, 200
    image = np.asarray(picture(std))
    row = image[MARGIN + 5, MARGIN : MARGIN + MIN_SIDE].astype(np.float64)
    for column, colour in ((10, 0), (100, len(COLOURS) // 2), (150, -1), (250, -1)):
        np.testing.assert_array_equal(row[column], COLOURS[colour])
    bar = image[MARGIN : MARGIN + MIN_SIDE, 2 * MARGIN + MIN_SIDE + 3].astype(np.float64)
    np.testing.assert_array_equal(bar[[0, -1]], COLOURS[[-1, 0]])
    large = picture(np.zeros((3000, 2000), np.float32))
    assert max(large.size) <= uncertainty.MAX_SIDE + 100


def test_a_resumed_run_has_the_maps_of_an_uninterrupted_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo, out = save(tmp_path / "in" / "a.png", 20, 16, 3), tmp_path / "out"
    run(photo.parent, tmp_path / "whole", samples=5, uncertainty=True)
    run(photo.parent, out, samples=5)
    (out / "a-2.png").unlink()
    report = run(photo.parent, out, samples=5, uncertainty=True)
    assert len(report.restored) == 1
    for name in NAMES:
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    (out / NAMES[2]).unlink()
    assert run(photo.parent, out, samples=5, uncertainty=True).skipped == [photo]
    assert set(NAMES) < set(names(out)), "the map of existing samples is written"
    # Nothing is read again if the maps are those of the samples; other samples have other maps.
    read = []
    monkeypatch.setattr(uncertainty, "read_photo", lambda path: read.append(path.name) or read_photo(path))
    run(photo.parent, out, samples=5, uncertainty=True)
    assert read == []
    run(photo.parent, out, samples=3, uncertainty=True)
    assert read == ["a-1.png", "a-2.png", "a-3.png"]
    want = samples(out, 3).astype(np.float64)
    np.testing.assert_array_equal(read_photo(out / NAMES[0]).pixels, np.rint(want.mean(0)))


def test_changed_samples_lose_their_maps(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png", 20, 16, 3)
    run(tmp_path / "in", tmp_path / "out", samples=3, uncertainty=True)
    run(tmp_path / "in", tmp_path / "out", samples=3, seed=1)
    assert names(tmp_path / "out") == ["a-1.png", "a-2.png", "a-3.png"]


def test_maps_are_no_photos_of_later_runs(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png", 20, 16, 3)
    run(tmp_path / "in", tmp_path / "out", samples=3, uncertainty=True)
    plan = plan_jobs([tmp_path / "out"], tmp_path / "other", speckle, {})
    assert [job.source.name for job in plan.jobs] == ["a-1.png", "a-2.png", "a-3.png"]
    assert {state for _, state in verify([tmp_path / "out"])} == {"ok"}


def test_lossy_samples_have_a_note(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.jpg", 20, 16, 3)
    report = run(tmp_path / "in", tmp_path / "out", samples=3, uncertainty=True)
    assert len(report.restored) == 1
    assert "--format png avoids their loss" in report.notes[-1]
    assert "a.jpg.mean.jpg" in names(tmp_path / "out")


def test_kept_samples_of_another_run_have_no_map(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png", 20, 16, 3)
    save(tmp_path / "out" / "a-1.png", 9, 9, 3)
    report = run(tmp_path / "in", tmp_path / "out", samples=2, uncertainty=True, on_change="keep")
    assert "no mean and standard deviation" in report.notes[-1]
    assert names(tmp_path / "out") == ["a-1.png", "a-2.png"]


def test_a_map_that_cannot_be_written_fails_the_photo_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "in" / "a.png", 20, 16, 3)
    (tmp_path / "out").mkdir()

    def refuse(path: Path) -> None:
        raise OSError("no permission")

    monkeypatch.setattr(by_products, "atomic_path", refuse)
    report = run(tmp_path / "in", tmp_path / "out", samples=2, uncertainty=True)
    assert "cannot be written (no permission)" in report.failed[0][1]
    assert names(tmp_path / "out") == ["a-1.png", "a-2.png"]


@pytest.mark.parametrize("name", ["a.png.mean.png", "a.png.std.png", "a.png.uncertainty.png"])
def test_files_of_others_with_the_names_of_maps_are_kept(tmp_path: Path, name) -> None:
    photo, out = save(tmp_path / "in" / "a.png", 20, 16, 3), tmp_path / "out"
    other = save(out / name, 8, 8, 3)
    before = other.read_bytes()
    run(photo.parent, out, samples=2)
    report = run(photo.parent, out, samples=2, uncertainty=True)
    assert [message for _, message in report.failed] == [
        f"{other}: exists, and nothing shows that restorekit wrote it; --overwrite replaces it"
    ]
    assert (names(out), other.read_bytes()) == (sorted(["a-1.png", "a-2.png", name]), before)
    report = run(photo.parent, out, samples=2, uncertainty=True, overwrite=True)
    assert (report.failed, len(names(out))) == ([], 5)
    assert other.read_bytes() != before


@pytest.mark.usefixtures("stores")
def test_maps_of_remote_results_are_stored_with_them() -> None:
    put(bucket_in_a=remote_png(shape=(20, 24, 3)))
    report = run_remote("memory://bucket/in", "memory://bucket/out", samples=3, uncertainty=True)
    assert (len(report.restored), report.failed) == (1, [])
    assert set(find("bucket/out")) == {".restorekit.jsonl", "a-1.png", "a-2.png", "a-3.png", *NAMES}


def test_uncertainty_requires_samples(tmp_path: Path, restorekit) -> None:
    photo = save(tmp_path / "a.png", 6, 5, 3)
    with pytest.raises(OptionError, match="uncertainty: found samples 1, allowed: samples 2 or more"):
        rk.restore_folder(speckle, photo, tmp_path / "out", GaussianPrior(), uncertainty=True)
    mask = save_mask(tmp_path / "m.png", 6, 5)
    with pytest.raises(OptionError, match="fill samples: found 2, allowed: 1, since fill has no samples"):
        rk.restore_folder(fill, photo, tmp_path / "out", GaussianPrior(), uncertainty=True, samples=2, mask=mask)
    with pytest.raises(OptionError, match="uncertainty: found 1, allowed: True or False"):
        rk.restore_folder(speckle, photo, tmp_path / "out", GaussianPrior(), uncertainty=1, samples=2)
    code, _, err = restorekit("inpaint", photo, "--mask", photo, "--uncertainty", "-o", tmp_path / "out")
    assert (code, err) == (2, "error: --uncertainty: found --samples 1, allowed: --samples 2 or more\n")
    assert "--uncertainty" in restorekit("inpaint", "--help")[1]
    assert not (tmp_path / "out").exists()
