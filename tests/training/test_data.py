from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from restorekit.errors import TrainingError
from restorekit.training.batches import batches
from restorekit.training.data import (
    CachedCrops,
    StreamedCrops,
    all_photos,
    choose_photos,
    decode,
    dequantize,
    find_labels,
    fit,
)
from restorekit.training.data_plan import DataPlan
from tests import golden
from tests.training.plans import photos


@pytest.mark.parametrize("channels", [1, 3])
def test_cached_and_streamed_crops_are_equal(tmp_path: Path, channels: int) -> None:
    plan = DataPlan(folder=photos(tmp_path), crop=16)
    streamed, cached = StreamedCrops(plan, channels, 7), CachedCrops(plan, channels, 7, torch.device("cpu"))
    one_by_one = torch.stack([streamed[i][0] for i in range(40, 104)])
    assert one_by_one.shape == (64, channels, 16, 16)
    assert torch.equal(cached.batch(40, 64)[0], one_by_one)


def test_photos_are_chosen_equally_often_or_by_area(tmp_path: Path) -> None:
    draw = (np.arange(1000) + 0.5) / 1000
    assert np.bincount(choose_photos(draw, None, 4)).tolist() == [250] * 4
    assert np.bincount(choose_photos(draw, np.array([100, 300, 600]), 3)).tolist() == [100, 300, 600]
    assert choose_photos(1 - 1e-17, np.array([1, 2]), 2) == 1
    for name, side, value in (("a", 8, 0), ("b", 24, 200)):
        Image.fromarray(np.full((side, side), value, np.uint8)).save(tmp_path / f"{name}.png")
    plan = DataPlan(folder=tmp_path, crop=8, by_area=True)
    streamed, cached = StreamedCrops(plan, 1, 7), CachedCrops(plan, 1, 7, torch.device("cpu"))
    crops = cached.batch(0, 200)[0]
    assert torch.equal(crops, torch.stack([streamed[i][0] for i in range(200)]))
    assert (crops[:, 0, 0, 0] > 0).float().mean().item() == pytest.approx(0.9, abs=0.06)


def test_crops_are_rotated_and_flipped_pieces_of_the_photos(tmp_path: Path) -> None:
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / "a.png")
    for flip, rotate, count in [(False, False, 1), (True, False, 2), (False, True, 4), (True, True, 8)]:
        plan = DataPlan(folder=tmp_path, crop=8, flip=flip, rotate=rotate)
        crops = CachedCrops(plan, 1, 0, torch.device("cpu")).batch(0, 200)[0]
        seen = {tuple(crop.flatten().tolist()) for crop in crops}
        assert len(seen) == count
        assert all(sorted(crop) == list(range(64)) for crop in seen)


def test_crops_reach_every_position_of_a_photo(tmp_path: Path) -> None:
    Image.fromarray(np.arange(120, dtype=np.uint8).reshape(10, 12)).save(tmp_path / "a.png")
    plan = DataPlan(folder=tmp_path, crop=8, flip=False, rotate=False)
    crops = CachedCrops(plan, 1, 0, torch.device("cpu")).batch(0, 500)[0]
    assert {int(crop[0, 0, 0]) for crop in crops} == {12 * y + x for y in range(3) for x in range(5)}


def test_batches_start_at_the_given_crop(tmp_path: Path) -> None:
    plan = DataPlan(folder=photos(tmp_path), crop=16, workers=1)
    common = {"channels": 3, "seed": 0, "device": torch.device("cpu"), "count": 4}
    from_start = batches(plan, **common, first=0, stride=4)
    later = batches(plan, **common, first=8, stride=4)
    third = [next(from_start)[0] for _ in range(3)][2]
    assert torch.equal(next(later)[0], third)
    assert third.min() >= -1
    assert third.max() <= 1
    workers = batches(plan.model_copy(update={"cache": False}), **common, first=8, stride=4)
    assert torch.equal(next(workers)[0], third)


def test_small_photos_are_enlarged(tmp_path: Path) -> None:
    Image.fromarray(np.full((5, 9, 3), 77, np.uint8)).save(tmp_path / "a.png")
    crop = StreamedCrops(DataPlan(folder=tmp_path, crop=16), 3, 0)[0][0]
    assert crop.shape == (3, 16, 16)
    assert crop.unique().tolist() == [77]


def test_errors_name_empty_folders_and_unreadable_photos(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no image in"):
        StreamedCrops(DataPlan(folder=tmp_path, crop=16), 3, 0)
    with pytest.raises(TrainingError, match="is not a folder"):
        StreamedCrops(DataPlan(folder=tmp_path / "none", crop=16), 3, 0)
    (tmp_path / "a.jpg").write_text("no image")
    with pytest.raises(TrainingError, match=r"a\.jpg: cannot be read"):
        StreamedCrops(DataPlan(folder=tmp_path, crop=16), 3, 0)[0]


def test_images_are_center_cropped_and_scaled(tmp_path: Path) -> None:
    pixels = np.zeros((218, 178, 3), np.uint8)
    pixels[39:179, 19:159] = 200
    got = fit(Image.fromarray(pixels), DataPlan(folder=tmp_path, center=140, resize=32, crop=32), 3)
    assert got.shape == (32, 32, 3)
    assert (got == 200).all()
    small = fit(Image.fromarray(np.full((50, 90, 3), 200, np.uint8)), DataPlan(folder=tmp_path, center=140, crop=8), 3)
    assert small.shape == (50, 50, 3)
    assert (small == 200).all(), "a smaller image is not padded"


def test_dequantised_values_agree_with_the_authors() -> None:
    want = golden.load("ncsn_sigmas_and_preprocessing")
    got = dequantize(2 * want["input.image_8bit"] - 1, want["input.uniform"])
    want.agrees("output.dequantised", (got + 1) / 2)


def test_torchvision_datasets_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    digits = rng.integers(0, 256, (5, 28, 28), dtype=np.uint8)
    for part in ("train", "t10k"):
        header = b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in digits.shape)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(header + digits.tobytes())
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01" + (5).to_bytes(4, "big") + bytes(5))
    plan = DataPlan(folder=tmp_path, dataset="mnist", crop=28, flip=False, rotate=False)
    assert np.array_equal(np.stack(all_photos(plan, 1)[0])[..., 0], digits)
    assert next(batches(plan, channels=1, seed=0, device=torch.device("cpu"), count=4, first=0, stride=4))[0].shape == (
        4, 1, 28, 28,
    )  # fmt: skip
    with pytest.raises(TrainingError, match=r"cifar10 in .*data\.download=true downloads it"):
        all_photos(DataPlan(folder=tmp_path, dataset="cifar10"), 3)


def test_photos_are_decoded_upright_on_white_with_8_bits(tmp_path: Path) -> None:
    plan = DataPlan(folder=tmp_path, crop=8)
    rotated = Image.fromarray(np.arange(96, dtype=np.uint8).reshape(8, 12))
    exif = Image.Exif()
    exif[0x0112] = 6
    rotated.save(tmp_path / "a.png", exif=exif)
    assert decode(tmp_path / "a.png", plan, 1).shape == (12, 8, 1)
    Image.fromarray(np.full((8, 8), 257 * 100, np.uint16)).save(tmp_path / "b.png")
    assert (decode(tmp_path / "b.png", plan, 3) == 100).all()
    Image.fromarray(np.zeros((8, 8, 4), np.uint8)).save(tmp_path / "c.png")
    assert (decode(tmp_path / "c.png", plan, 3) == 255).all()


def test_labels_come_from_folders_or_a_table(tmp_path: Path) -> None:
    classes = ("b", "a")
    for name, value in (("a", 10), ("b", 200)):
        (tmp_path / name).mkdir()
        Image.fromarray(np.full((8, 8), value, np.uint8)).save(tmp_path / name / "x.png")
    plan = DataPlan(folder=tmp_path, crop=8, labels="folders")
    pixels, labels = CachedCrops(plan, 1, 0, torch.device("cpu"), classes).batch(0, 50)
    assert torch.equal(labels, (pixels[:, 0, 0, 0] == 10).long())
    (tmp_path / "t.csv").write_text("a/x.png,b\nb/x.png,a\n")
    table = plan.model_copy(update={"labels": tmp_path / "t.csv"})
    assert [StreamedCrops(table, 1, 0, classes)[i][1] for i in range(50)] == (1 - labels).tolist()
    with pytest.raises(TrainingError, match=r"b/x\.png has the class 'b', allowed: a, c"):
        find_labels(plan, [tmp_path / "b" / "x.png"], ("a", "c"))
