from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from restorekit.errors import TrainingError
from restorekit.training.data import CachedCrops, StreamedCrops, batches
from restorekit.training.plan import DataPlan
from tests.training.plans import photos


@pytest.mark.parametrize("channels", [1, 3])
def test_cached_and_streamed_crops_are_the_same(tmp_path: Path, channels: int) -> None:
    plan = DataPlan(folder=photos(tmp_path), crop=16)
    streamed, cached = StreamedCrops(plan, channels, 7), CachedCrops(plan, channels, 7, torch.device("cpu"))
    one_by_one = torch.stack([streamed[i] for i in range(40, 104)])
    assert one_by_one.shape == (64, channels, 16, 16)
    assert torch.equal(cached.batch(40, 64), one_by_one)


def test_crops_are_pieces_of_the_photos_turned_and_flipped(tmp_path: Path) -> None:
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / "a.png")
    seen = set()
    for flip, rotate, count in [(False, False, 1), (True, False, 2), (False, True, 4), (True, True, 8)]:
        plan = DataPlan(folder=tmp_path, crop=8, flip=flip, rotate=rotate)
        crops = CachedCrops(plan, 1, 0, torch.device("cpu")).batch(0, 200)
        seen = {tuple(crop.flatten().tolist()) for crop in crops}
        assert len(seen) == count
        assert all(sorted(crop) == list(range(64)) for crop in seen)


def test_every_place_of_every_photo_is_reached(tmp_path: Path) -> None:
    Image.fromarray(np.arange(120, dtype=np.uint8).reshape(10, 12)).save(tmp_path / "a.png")
    plan = DataPlan(folder=tmp_path, crop=8, flip=False, rotate=False)
    crops = CachedCrops(plan, 1, 0, torch.device("cpu")).batch(0, 500)
    assert {int(crop[0, 0, 0]) for crop in crops} == {12 * y + x for y in range(3) for x in range(5)}


def test_batches_go_on_where_they_are_told(tmp_path: Path) -> None:
    plan = DataPlan(folder=photos(tmp_path), crop=16, workers=1)
    common = {"channels": 3, "seed": 0, "device": torch.device("cpu"), "count": 4}
    whole = batches(plan, **common, first=0, stride=4)
    later = batches(plan, **common, first=8, stride=4)
    third = [next(whole) for _ in range(3)][2]
    assert torch.equal(next(later), third)
    assert third.min() >= -1
    assert third.max() <= 1
    workers = batches(plan.model_copy(update={"cache": False}), **common, first=8, stride=4)
    assert torch.equal(next(workers), third)


def test_small_photos_are_enlarged(tmp_path: Path) -> None:
    Image.fromarray(np.full((5, 9, 3), 77, np.uint8)).save(tmp_path / "a.png")
    crop = StreamedCrops(DataPlan(folder=tmp_path, crop=16), 3, 0)[0]
    assert crop.shape == (3, 16, 16)
    assert crop.unique().tolist() == [77]


def test_folders_without_photos_and_broken_photos_are_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no image below"):
        StreamedCrops(DataPlan(folder=tmp_path, crop=16), 3, 0)
    with pytest.raises(TrainingError, match="is not a folder"):
        StreamedCrops(DataPlan(folder=tmp_path / "none", crop=16), 3, 0)
    (tmp_path / "a.jpg").write_text("no picture")
    with pytest.raises(TrainingError, match=r"a\.jpg: cannot be read"):
        StreamedCrops(DataPlan(folder=tmp_path, crop=16), 3, 0)[0]
