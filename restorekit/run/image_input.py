"""Images that Python callers pass (tensors, NumPy arrays, PIL images and paths), and results of the same kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from restorekit.errors import ImageError, OptionError
from restorekit.run.images import from_pillow, read_photo
from restorekit.run.mirror import is_url
from restorekit.run.photo import Photo, from_stacked, to_pillow

# What callers pass as an image.
ImageInput: TypeAlias = Tensor | NDArray[Any] | Image.Image | str | Path
KINDS = "a tensor (N, 1 or 3, H, W), a NumPy array (H, W) or (H, W, 1 to 4), a PIL image, a path, or a list of these"
# Largest distance of values from 0, in [-1, 1], of an image with strong noise.
MAX_ABS = 8.0
# An array of uint16 whose values are all smaller is probably one of 12 bits or less.
MIN_DEEP = 4096
# Fraction of negative values of an array in [0, 1] with strong noise.
MAX_NEGATIVE = 0.2


@dataclass(frozen=True)
class CallerImage:
    """An image of a caller.

    Attributes:
        y: (N, C, H, W) float32 in [-1, 1]; None for an image of 8 or 16 bits.
        photo: the image of 8 or 16 bits; None for floats.
        name: name of the file, which selects its noise; None if it is not a file.
        note: what may be wrong with its values; "" if nothing is.
        result: (restored y or photo) -> what the caller gets.
        stack: (several of these) -> what the caller gets for several samples.
    """

    result: Callable[[Any], Any]
    stack: Callable[[list[Any]], Any]
    y: Tensor | None = None
    photo: Photo | None = None
    name: str | None = None
    note: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.y.shape[-2:] if self.y is not None else self.photo.pixels.shape[:2]  # type: ignore[union-attr]
        return int(height), int(width)

    def __len__(self) -> int:
        return 1 if self.y is None else len(self.y)


def read_image(image: Any, where: str) -> CallerImage:
    """Return the image of a caller; raise OptionError or ImageError if it is not allowed.

    A tensor has values in [-1, 1]; an array has values in the range of uint8 or uint16, or floats in [0, 1], as in
    scikit-image. `where` starts the messages.
    """
    if isinstance(image, Tensor):
        return _tensor(image, where)
    if isinstance(image, np.ndarray):
        return _array(image, where)
    if isinstance(image, Image.Image):
        photo = from_pillow(image)
        return CallerImage(lambda result: _like_pillow(result, image.mode), list, photo=photo)
    if isinstance(image, str | Path):
        if is_url(str(image)):
            raise ImageError(f"{image}: found a URL, allowed: a local file; rk.restore_folder reads URLs")
        path = Path(image)
        if path.is_dir():
            raise ImageError(f"{path}: found a folder, allowed: an image file; rk.restore_folder restores folders")
        photo = read_photo(path)
        if photo.max_value != 255 and photo.stacked().shape[2] > 1:
            allowed = "rk.restore_folder, which writes a file, or a NumPy array"
            raise ImageError(f"{path}: a PIL image cannot store colours or alpha of 16 bits; allowed: {allowed}")
        return CallerImage(to_pillow, list, photo=photo, name=path.name)
    raise OptionError(f"{where}: found {type(image).__name__}, allowed: {KINDS}")


def check_range(low: float, high: float, where: str) -> None:
    """Raise OptionError if values in [-1, 1], possibly with noise, are far outside of this range."""
    if not np.isfinite([low, high]).all():
        raise OptionError(f"{where}: the image contains values that are not finite; allowed: [-1, 1]")
    if max(-low, high) > MAX_ABS:
        largest = 255 if high < 4 * 255 else 65535
        convert = f"x / {largest / 2:g} - 1 converts 0 to {largest}"
        raise OptionError(f"{where}: found values from {low:.4g} to {high:.4g}, allowed: about [-1, 1]; {convert}")


def _tensor(image: Tensor, where: str) -> CallerImage:
    shape = tuple(image.shape)
    if image.ndim != 4 or image.shape[1] not in (1, 3) or not image.numel():
        hint = "; x[None] adds N" if image.ndim == 3 and image.shape[0] in (1, 3) else ""
        raise OptionError(f"{where}: found a tensor {shape}, allowed: {KINDS}{hint}")
    if not image.is_floating_point():
        convert = "; x / 127.5 - 1 converts 0 to 255" if image.dtype == torch.uint8 else ""
        raise OptionError(f"{where}: found a tensor of {image.dtype}, allowed: floats in [-1, 1]{convert}")
    low, high = (float(value) for value in image.detach().float().aminmax())
    check_range(low, high, where)
    note = ""
    if 0 <= low < high <= 1:
        found = f"no value is below 0 (found {low:.3g} to {high:.3g}), but tensors are in [-1, 1]"
        note = f"{where}: {found}; 2 * x - 1 converts [0, 1]"
    y = image.detach().float()
    return CallerImage(lambda result: result.to(image.device, image.dtype), torch.stack, y=y, note=note)


def _array(image: NDArray[Any], where: str) -> CallerImage:
    values = with_channels(image, where)

    def shaped(result: NDArray[Any]) -> NDArray[Any]:
        return result[..., 0] if image.ndim == 2 and result.shape[2] == 1 else result

    if image.dtype in (np.uint8, np.uint16):
        photo, note, largest = from_stacked(values), "", int(image.max())
        if image.dtype == np.uint16 and 0 < largest < MIN_DEEP:
            note = f"{where}: no value is above {largest}, but arrays of uint16 are in [0, 65535]"
        return CallerImage(lambda restored: shaped(restored.stacked()), np.stack, photo=photo, note=note)
    if not np.issubdtype(image.dtype, np.floating):
        raise OptionError(f"{where}: found an array of {image.dtype}, allowed: uint8, uint16, or floats in [0, 1]")
    if values.shape[2] in (2, 4):
        raise OptionError(f"{where}: found floats with alpha {image.shape}, allowed: uint8 or uint16, or without alpha")
    note = _check_floats(values, where)
    y = torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1), np.float32))[None] * 2 - 1

    def floats(restored: Tensor) -> NDArray[Any]:
        result = ((restored[0] + 1) / 2).clamp(0, 1).permute(1, 2, 0).cpu().numpy()
        return shaped(result.astype(image.dtype))

    return CallerImage(floats, np.stack, y=y, note=note)


def with_channels(image: NDArray[Any], where: str) -> NDArray[Any]:
    """Return an array (H, W) or (H, W, C) as (H, W, C); OptionError if it has another shape."""
    shape = image.shape
    if image.ndim not in (2, 3) or (image.ndim == 3 and shape[2] not in (1, 2, 3, 4)):
        hint = "; x.transpose(1, 2, 0) moves C to the end" if image.ndim == 3 and shape[0] in (1, 3, 4) else ""
        raise OptionError(f"{where}: found an array {shape}, allowed: {KINDS}{hint}")
    if not image.size:
        raise OptionError(f"{where}: found an empty array {shape}, allowed: one pixel or more")
    return image if image.ndim == 3 else image[..., None]


def _check_floats(values: NDArray[Any], where: str) -> str:
    """Raise OptionError if floats are far outside [0, 1]; return a note if they seem to be in [-1, 1], otherwise ""."""
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise OptionError(f"{where}: the image contains values that are not finite; allowed: [0, 1]")
    if max(-low, high) > MAX_ABS / 2:
        convert = f"x / {255 if high < 4 * 255 else 65535} converts such values"
        raise OptionError(f"{where}: found values from {low:.4g} to {high:.4g}, allowed: about [0, 1]; {convert}")
    negative = float((values < 0).mean())
    if negative <= MAX_NEGATIVE:
        return ""
    found = f"{100 * negative:.0f}% of the values are below 0, but arrays of floats are in [0, 1]"
    return f"{where}: {found}; (x + 1) / 2 converts [-1, 1]"


def _like_pillow(photo: Photo, mode: str) -> Image.Image:
    """Return a PIL image; one of 16 bits has the mode of the original."""
    image = to_pillow(photo)
    return image.convert("I") if mode == "I" else image
