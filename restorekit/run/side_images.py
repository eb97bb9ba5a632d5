"""Side images, such as masks and blur kernels, as tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from restorekit.errors import ImageError
from restorekit.run.images import Photo, read_photo


def read_side_image(path: Path, channels: int, photo: Photo | None, where: str) -> Tensor:
    """Read a side image; see `fit_side_image`."""
    return fit_side_image(read_photo(path), channels, photo, f"{path}: {where}")


def fit_side_image(side: Photo, channels: int, photo: Photo | None, where: str) -> Tensor:
    """Return a side image as (1, channels, H, W) in [0, 1]; transparent pixels count as black.

    photo: the photo whose size is required; None for any size. Raises ImageError if the size differs.
    """
    height, width = side.pixels.shape[:2]
    if photo is not None and (height, width) != photo.pixels.shape[:2]:
        allowed = f"{photo.pixels.shape[1]} x {photo.pixels.shape[0]}"
        raise ImageError(f"{where} is {width} x {height}, allowed: {allowed}, the size of the upright photo")
    opaque = 1 if side.alpha is None else side.alpha[..., None].astype(np.float32) / side.max_value
    values = torch.from_numpy((side.pixels.astype(np.float32) * opaque).transpose(2, 0, 1)) / side.max_value
    if values.shape[0] != channels:
        values = values.mean(0, keepdim=True) if channels == 1 else values.expand(channels, -1, -1)
    return values[None]
