"""Side images, such as masks and blur kernels, and JPEG tables as tensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from restorekit.core.options import JpegTables
from restorekit.core.recipe import Recipe
from restorekit.errors import ImageError, OptionError
from restorekit.run.images import Photo, read_photo
from restorekit.run.jpeg import standard_tables


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


def file_tables(recipe: Recipe, options: Mapping[str, Any], photo: Photo) -> dict[str, Tensor]:
    """Return the tables of the photo's file, (1, 3, 8, 8), for every parameter of the recipe that is `auto`.

    The result is empty if the photo has no tables.
    """
    found = photo.jpeg_tables
    names = [p.name for p in recipe.parameters if isinstance(p.spec, JpegTables) and isinstance(options[p.name], str)]
    return {} if found is None else {name: torch.from_numpy(found)[None] for name in names}


def given_tables(value: Any, where: str) -> Tensor | None:
    """Return the tables that a quality (an integer) or a tensor (N, 3, 8, 8) states; None for `auto`."""
    if isinstance(value, str):
        return None
    if isinstance(value, int):
        return torch.from_numpy(standard_tables(value))[None]
    if not isinstance(value, Tensor) or value.shape[1:] != (3, 8, 8) or not (value >= 0).all():
        found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        allowed = "auto, an integer from 1 to 100, or a tensor (N or 1, 3, 8, 8) of values >= 0"
        raise OptionError(f"{where}: found {found}, allowed: {allowed}")
    return value.float()
