"""Random crops of a folder of photos. Crop i depends only on the seed and i, not on device, workers or batch."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.utils.data import Dataset

from restorekit.core.files import IMAGE_SUFFIXES, find_images, readable_formats
from restorekit.errors import TrainingError
from restorekit.training.data_plan import DataPlan

# Random numbers per crop: photo, row, column, flip, rotation, and an unused one.
NUMBERS_PER_CROP = 6
# Largest number of pixels of an image that was enlarged to the side of a crop.
MAX_ENLARGED = 2**28


def find_photos(folder: Path, key: str = "data.folder") -> list[Path]:
    """Return the image files in a folder and its subfolders, sorted; TrainingError if there are none.

    key: key of the plan, for the message.
    """
    if not folder.is_dir():
        raise TrainingError(f"{key}: {folder} is not a folder (in {Path.cwd()})")
    files = find_images(folder)
    if not files:
        raise TrainingError(f"{key}: no image in {folder}; allowed: {', '.join(sorted(IMAGE_SUFFIXES))}")
    return files


def decode(path: Path, plan: DataPlan, channels: int) -> NDArray[np.uint8]:
    """Read a photo as (H, W, C) 8-bit values; see `fit`."""
    try:
        with Image.open(path, formats=readable_formats()) as image:
            return fit(image, plan, channels)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise TrainingError(f"{path}: cannot be read ({error})") from error


def fit(image: Image.Image, plan: DataPlan, channels: int) -> NDArray[np.uint8]:
    """Convert an image to (H, W, C) 8-bit values.

    Applies the EXIF orientation, a white background for transparent pixels, and the center crop and resizing of the
    plan. An image that is smaller than a crop is enlarged.
    """
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image) / 257).round().clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        background = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(background, image.convert("RGBA"))
    image = image.convert("RGB" if channels == 3 else "L")
    if plan.center is not None:
        side = min(plan.center, *image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side))
    if plan.resize is not None:
        image = image.resize((plan.resize, plan.resize), Image.Resampling.BILINEAR)
    scale = plan.crop / min(image.size)
    if scale > 1:
        size = (max(plan.crop, round(image.width * scale)), max(plan.crop, round(image.height * scale)))
        if size[0] * size[1] > MAX_ENLARGED:
            found = f"{image.width} x {image.height} pixels for data.crop = {plan.crop}"
            raise TrainingError(f"found an image of {found}; allowed: an enlarged image of {MAX_ENLARGED} pixels")
        image = image.resize(size, Image.Resampling.BICUBIC)
    return np.asarray(image, dtype=np.uint8).reshape(image.height, image.width, channels)


def all_photos(
    plan: DataPlan, channels: int, classes: tuple[str, ...] | None = None
) -> tuple[list[NDArray[np.uint8]], NDArray[np.int64]]:
    """Return the images (see `fit`) and labels of a folder, or of the training split of a torchvision dataset."""
    assert plan.folder is not None
    if plan.dataset == "folder":
        files = find_photos(plan.folder)
        labels = find_labels(plan, files, classes)
        with ThreadPoolExecutor(max(1, plan.workers)) as pool:
            return list(pool.map(lambda file: decode(file, plan, channels), files)), labels
    from torchvision import datasets

    loaders: dict[str, Callable[[], Iterable[tuple[Image.Image, Any]]]] = {
        "mnist": lambda: datasets.MNIST(str(plan.folder), train=True, download=plan.download),
        "cifar10": lambda: datasets.CIFAR10(str(plan.folder), train=True, download=plan.download),
        "celeba": lambda: datasets.CelebA(str(plan.folder), split="train", download=plan.download),
    }
    try:
        dataset = loaders[plan.dataset]()
    except (RuntimeError, OSError) as error:
        hint = "" if plan.download else "; data.download=true downloads it"
        raise TrainingError(f"data.folder: {plan.dataset} in {plan.folder}: {error}{hint}") from error
    photos = [fit(image, plan, channels) for image, _ in dataset]
    return photos, np.zeros(len(photos), np.int64)


def dequantize(clean: Tensor, uniform: Tensor) -> Tensor:
    """Dequantize images in [-1, 1] with 8-bit values k: k / 255 becomes (k + uniform) / 256, uniform in [0, 1)."""
    return ((clean + 1) * 127.5 + uniform) / 128 - 1


def crop_numbers(seed: int, index: int) -> NDArray[np.float64]:
    """Return the random numbers of crop `index`, (NUMBERS_PER_CROP,) in [0, 1), a hash of the seed and the index."""
    digest = hashlib.blake2b(f"{seed}/{index}".encode(), digest_size=8 * NUMBERS_PER_CROP).digest()
    return ((np.frombuffer(digest, dtype="<u8") >> 11) * 2.0**-53).astype(np.float64)


def find_labels(plan: DataPlan, files: list[Path], classes: tuple[str, ...] | None) -> NDArray[np.int64]:
    """Return the index of the class of every file: (len(files),), 0 without classes."""
    if classes is None or plan.labels is None:
        return np.zeros(len(files), np.int64)
    assert plan.folder is not None
    paths = [file.relative_to(plan.folder) for file in files]
    if plan.labels == "folders":
        names = [path.parts[0] if len(path.parts) > 1 else "" for path in paths]
    else:
        try:
            with Path(plan.labels).open(newline="", encoding="utf-8") as file:
                table = {row[0]: row[1].strip() for row in csv.reader(file) if len(row) >= 2}
        except (OSError, UnicodeDecodeError) as error:
            raise TrainingError(f"data.labels: {plan.labels} cannot be read ({error})") from error
        names = [table.get(path.as_posix(), "") for path in paths]
    for path, name in zip(paths, names, strict=True):
        if name not in classes:
            raise TrainingError(f"data.labels: {path} has the class {name!r}, allowed: {', '.join(classes)}")
    return np.array([classes.index(name) for name in names], np.int64)


def choose_photos(draw: Any, areas: NDArray[np.int64] | None, count: int) -> NDArray[np.int64]:
    """Return indices of photos for numbers in [0, 1): equally often, or in proportion to their areas (count,)."""
    if areas is None:
        return np.asarray(np.multiply(draw, count), np.int64)
    index = np.searchsorted(np.cumsum(areas) / np.sum(areas), draw, side="right")
    return np.asarray(np.minimum(index, count - 1), np.int64)


def image_area(path: Path) -> int:
    """Return the number of pixels of an image file."""
    try:
        with Image.open(path, formats=readable_formats()) as image:
            return image.width * image.height
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise TrainingError(f"{path}: cannot be read ({error})") from error


def cut_crop(plan: DataPlan, pixels: NDArray[np.uint8], index: int, seed: int) -> Tensor:
    """Return crop `index` (C, crop, crop) uint8 of an image (H, W, C): its place, flip and rotation are random."""
    _, row, column, flip, rotation, _ = crop_numbers(seed, index)
    side = plan.crop
    top, left = int(row * (pixels.shape[0] - side + 1)), int(column * (pixels.shape[1] - side + 1))
    crop = pixels[top : top + side, left : left + side]
    if plan.flip and flip < 0.5:
        crop = crop[:, ::-1]
    if plan.rotate:
        crop = np.rot90(crop, int(rotation * 4))
    return torch.from_numpy(np.array(crop.transpose(2, 0, 1), order="C"))


class StreamedCrops(Dataset[tuple[Tensor, int]]):
    """Crops (C, crop, crop) uint8 and their labels, decoded on access, for folders that do not fit in memory."""

    def __init__(self, plan: DataPlan, channels: int, seed: int, classes: tuple[str, ...] | None = None) -> None:
        self.plan, self.channels, self.seed = plan, channels, seed
        assert plan.folder is not None
        self.files = find_photos(plan.folder)
        self.labels = find_labels(plan, self.files, classes)
        self.areas = np.array([image_area(file) for file in self.files]) if plan.by_area else None

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        photo = crop_numbers(self.seed, index)[0]
        photo_index = int(choose_photos(photo, self.areas, len(self.files)))
        pixels = decode(self.files[photo_index], self.plan, self.channels)
        return cut_crop(self.plan, pixels, index, self.seed), int(self.labels[photo_index])


class CachedCrops:
    """The same crops as `StreamedCrops`, from photos decoded once into a flat uint8 tensor on the training device."""

    def __init__(
        self,
        plan: DataPlan,
        channels: int,
        seed: int,
        device: torch.device,
        classes: tuple[str, ...] | None = None,
    ) -> None:
        self.plan, self.channels, self.seed, self.device = plan, channels, seed, device
        photos, labels = all_photos(plan, channels, classes)
        self.labels = torch.from_numpy(labels).to(device)
        self.heights = np.array([photo.shape[0] for photo in photos])
        self.widths = np.array([photo.shape[1] for photo in photos])
        self.starts = np.concatenate([[0], np.cumsum([photo.size for photo in photos])[:-1]])
        self.areas = self.heights * self.widths if plan.by_area else None
        self.pixels = torch.from_numpy(np.concatenate([photo.ravel() for photo in photos])).to(device)

    def batch(self, first: int, count: int) -> tuple[Tensor, Tensor]:
        """Return crops first ... first + count - 1, (count, C, crop, crop) uint8, and their labels (count,)."""
        side = self.plan.crop
        photo, row, column, flip, rotation, _ = np.stack([crop_numbers(self.seed, first + i) for i in range(count)]).T
        photo_index = choose_photos(photo, self.areas, len(self.starts))
        top = (row * (self.heights[photo_index] - side + 1)).astype(np.int64)
        left = (column * (self.widths[photo_index] - side + 1)).astype(np.int64)
        grid = np.arange(side)
        y, x = np.broadcast_to(grid[:, None], (count, side, side)), np.broadcast_to(grid, (count, side, side))
        if self.plan.rotate:
            y, x = _rotate(y, x, (rotation * 4).astype(np.int64), side)
        if self.plan.flip:
            x = np.where((flip < 0.5)[:, None, None], side - 1 - x, x)
        shape = (count, 1, 1)
        width = self.widths[photo_index].reshape(shape)
        flat = (y + top.reshape(shape)) * width + x + left.reshape(shape)
        index = torch.from_numpy(self.starts[photo_index].reshape(shape) + flat * self.channels).to(self.device)
        channel = torch.arange(self.channels, device=self.device).reshape(1, -1, 1, 1)
        return self.pixels[index[:, None] + channel], self.labels[torch.from_numpy(photo_index).to(self.device)]


def _rotate(
    y: NDArray[np.int64], x: NDArray[np.int64], rotations: NDArray[np.int64], side: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the source coordinates of `np.rot90(crop, rotations)`."""
    choice = rotations[:, None, None]
    last = side - 1
    rows = np.choose(choice, [y, x, last - y, last - x])
    columns = np.choose(choice, [x, last - y, last - x, y])
    return rows, columns
