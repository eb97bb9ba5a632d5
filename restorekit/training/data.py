"""Random crops of a folder of photos. Crop number i is the same whatever the device, the workers or the batch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from restorekit.errors import TrainingError
from restorekit.training.plan import DataPlan

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"}
# One crop is drawn by six numbers in [0, 1): photo, row, column, flip, quarter turns, and one in reserve.
DRAWS = 6


def find_photos(folder: Path) -> list[Path]:
    """Image files below a folder, sorted; TrainingError when there are none."""
    if not folder.is_dir():
        raise TrainingError(f"data.folder: {folder} is not a folder (in {Path.cwd()})")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not files:
        raise TrainingError(f"data.folder: no image below {folder}; allowed: {', '.join(sorted(SUFFIXES))}")
    return files


def decode(path: Path, channels: int, smallest: int) -> NDArray[np.uint8]:
    """One photo as (H, W, C) 8-bit values, enlarged if needed so that no side is under `smallest`."""
    try:
        with Image.open(path) as opened:
            image = opened.convert("RGB" if channels == 3 else "L")
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise TrainingError(f"{path}: cannot be read ({error})") from error
    grow = smallest / min(image.size)
    if grow > 1:
        size = (max(smallest, round(image.width * grow)), max(smallest, round(image.height * grow)))
        image = image.resize(size, Image.Resampling.BICUBIC)
    return np.asarray(image, dtype=np.uint8).reshape(image.height, image.width, channels)


def draw(seed: int, index: int) -> NDArray[np.float64]:
    """The numbers that make crop `index`: (DRAWS,) in [0, 1), by hashing, so that no order is needed."""
    digest = hashlib.blake2b(f"{seed}/{index}".encode(), digest_size=8 * DRAWS).digest()
    return ((np.frombuffer(digest, dtype="<u8") >> 11) * 2.0**-53).astype(np.float64)


class StreamedCrops(Dataset[Tensor]):
    """Crop number i, decoded from its file: (C, crop, crop) uint8. For folders that do not fit into memory."""

    def __init__(self, plan: DataPlan, channels: int, seed: int) -> None:
        self.plan, self.channels, self.seed = plan, channels, seed
        self.files = find_photos(plan.folder)

    def __getitem__(self, index: int) -> Tensor:
        photo, row, column, flip, turns, _ = draw(self.seed, index)
        pixels = decode(self.files[int(photo * len(self.files))], self.channels, self.plan.crop)
        side = self.plan.crop
        top, left = int(row * (pixels.shape[0] - side + 1)), int(column * (pixels.shape[1] - side + 1))
        crop = pixels[top : top + side, left : left + side]
        if self.plan.flip and flip < 0.5:
            crop = crop[:, ::-1]
        if self.plan.rotate:
            crop = np.rot90(crop, int(turns * 4))
        return torch.from_numpy(np.ascontiguousarray(crop.transpose(2, 0, 1)))


class CachedCrops:
    """The same crops from photos decoded once into one flat uint8 tensor on the training device."""

    def __init__(self, plan: DataPlan, channels: int, seed: int, device: torch.device) -> None:
        self.plan, self.channels, self.seed, self.device = plan, channels, seed, device
        files = find_photos(plan.folder)
        with ThreadPoolExecutor(max(1, plan.workers)) as pool:
            photos = list(pool.map(lambda file: decode(file, channels, plan.crop), files))
        self.heights = np.array([photo.shape[0] for photo in photos])
        self.widths = np.array([photo.shape[1] for photo in photos])
        self.starts = np.concatenate([[0], np.cumsum([photo.size for photo in photos])[:-1]])
        self.pixels = torch.from_numpy(np.concatenate([photo.ravel() for photo in photos])).to(device)

    def batch(self, first: int, count: int) -> Tensor:
        """Crops first ... first + count - 1: (count, C, crop, crop) uint8."""
        side = self.plan.crop
        photo, row, column, flip, turns, _ = np.stack([draw(self.seed, first + i) for i in range(count)]).T
        chosen = (photo * len(self.starts)).astype(np.int64)
        top = (row * (self.heights[chosen] - side + 1)).astype(np.int64)
        left = (column * (self.widths[chosen] - side + 1)).astype(np.int64)
        grid = np.arange(side)
        y, x = np.broadcast_to(grid[:, None], (count, side, side)), np.broadcast_to(grid, (count, side, side))
        if self.plan.rotate:
            y, x = _turned(y, x, (turns * 4).astype(np.int64), side)
        if self.plan.flip:
            x = np.where((flip < 0.5)[:, None, None], side - 1 - x, x)
        shape = (count, 1, 1)
        width = self.widths[chosen].reshape(shape)
        flat = (y + top.reshape(shape)) * width + x + left.reshape(shape)
        index = torch.from_numpy(self.starts[chosen].reshape(shape) + flat * self.channels).to(self.device)
        channel = torch.arange(self.channels, device=self.device).reshape(1, -1, 1, 1)
        return self.pixels[index[:, None] + channel]


def _turned(
    y: NDArray[np.int64], x: NDArray[np.int64], turns: NDArray[np.int64], side: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Source coordinates of `np.rot90(crop, turns)`."""
    choice = turns[:, None, None]
    last = side - 1
    rows = np.choose(choice, [y, x, last - y, last - x])
    columns = np.choose(choice, [x, last - y, last - x, y])
    return rows, columns


def batches(
    plan: DataPlan, *, channels: int, seed: int, device: torch.device, count: int, first: int, stride: int
) -> Iterator[Tensor]:
    """Endless batches (count, C, crop, crop), float32 in [-1, 1]: the crops from number `first`, then from
    `first + stride`, and so on. Processes and resumed runs start where they should by choosing first and stride."""
    if plan.cache:
        cached = CachedCrops(plan, channels, seed, device)
        source: Iterator[Tensor] = (cached.batch(start, count) for start in _counting(first, stride))
    else:
        sampler = (list(range(start, start + count)) for start in _counting(first, stride))
        streamed = StreamedCrops(plan, channels, seed)
        source = iter(DataLoader(streamed, batch_sampler=_Sampler(sampler), num_workers=plan.workers))
    for pixels in source:
        yield pixels.to(device).float() / 127.5 - 1


class _Sampler:
    """DataLoader wants an iterable object."""

    def __init__(self, indices: Iterator[list[int]]) -> None:
        self._indices = indices

    def __iter__(self) -> Iterator[list[int]]:
        return self._indices


def _counting(first: int, stride: int) -> Iterator[int]:
    while True:
        yield first
        first += stride
