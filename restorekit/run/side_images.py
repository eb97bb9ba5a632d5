"""Side images, such as masks and blur kernels, and JPEG tables as tensors."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from restorekit.core.options import ImageOption, JpegTables, MaskChannel, Parameter
from restorekit.core.recipe import Recipe
from restorekit.errors import ImageError, OptionError, RestorekitWarning
from restorekit.run.images import Photo, read_photo
from restorekit.run.jpeg import standard_tables
from restorekit.run.masks import check_channel, luminance, mask_values

# Largest relative difference between the aspect ratios of a mask that is resized and the photo.
ASPECT = 0.02


@dataclass(frozen=True)
class Reading:
    """How a side image is read.

    Attributes:
        inverted: whether black and white are swapped.
        channel: what marks the pixels of a mask; see `mask_values`.
        resized: whether a mask of another size is resized to that of the photo.
    """

    inverted: bool = False
    channel: MaskChannel = "auto"
    resized: bool = False

    def record(self) -> dict[str, Any]:
        """Return the values for the manifest; those that are not the default of earlier versions only."""
        found = {"channel": self.channel, "resized": self.resized}
        return {"inverted": self.inverted} | {key: found[key] for key in found if found[key] not in ("auto", False)}


DEFAULT = Reading()


def reading_parameters(parameter: Parameter) -> dict[str, tuple[Any, Any]]:
    """Return default and type of the options that state how a side image is read, by name; see `Reading`."""
    spec, name, found = parameter.spec, parameter.name, dict[str, tuple[Any, Any]]()
    if isinstance(spec, ImageOption) and spec.invertible:
        found[f"invert_{name}"] = DEFAULT.inverted, bool
    if isinstance(spec, ImageOption) and spec.is_mask:
        found[f"{name}_channel"] = DEFAULT.channel, MaskChannel
        found[f"resize_{name}"] = DEFAULT.resized, bool
    return found


def readings(recipe: Recipe, values: Mapping[str, Any]) -> dict[str, Reading]:
    """Return how the side images of a recipe are read, by name.

    values: the values of `invert_NAME`, `NAME_channel` and `resize_NAME`, by name; a missing one has its default.
    Raises OptionError for an unknown channel.
    """
    found = {}
    for name in (parameter.name for parameter in recipe.side_images):
        channel = values.get(f"{name}_channel", DEFAULT.channel)
        check_channel(channel, name.replace("_", "-"))
        found[name] = Reading(bool(values.get(f"invert_{name}")), channel, bool(values.get(f"resize_{name}")))
    return found


def read_side_image(path: Path, spec: ImageOption, photo: Photo, name: str, reading: Reading = DEFAULT) -> Tensor:
    """Read the side image of the option `name`; see `fit_side_image`."""
    return fit_side_image(read_photo(path), spec, photo, name, reading, f"{path}: --{name.replace('_', '-')}")


def fit_side_image(
    side: Photo, spec: ImageOption, photo: Photo, name: str, reading: Reading = DEFAULT, where: str = ""
) -> Tensor:
    """Return a side image as (1, channels, H, W) in [0, 1]; transparent pixels count as black.

    A mask (`ImageOption.is_mask`) is what `mask_values` returns. A RestorekitWarning states how unusual masks are read.

    Arguments:
        side: the side image.
        spec: its option; `same_size` requires the size of the photo.
        photo: the photo.
        name: name of the option.
        reading: how it is read. A mask is resized so that it marks every pixel of the photo of which it marks a part;
            the aspect ratio must be that of the photo.
        where: the side image in messages; default: the option.

    Raises ImageError if the size differs or the mask cannot be understood.
    """
    flag, size = name.replace("_", "-"), photo.pixels.shape[:2]
    where = where or f"--{flag}"
    if spec.same_size and side.pixels.shape[:2] != size:
        _check_size(side, photo, where, f"--resize-{flag}" if spec.is_mask else "", reading)
    if spec.is_mask:
        values = torch.from_numpy(mask_values(side, reading.channel, where, flag))[None]
    elif spec.channels == 1:
        values = torch.from_numpy(luminance(side))[None]
    else:
        opaque = 1 if side.alpha is None else side.alpha[..., None].astype(np.float32) / side.max_value
        values = torch.from_numpy((side.pixels.astype(np.float32) * opaque).transpose(2, 0, 1)) / side.max_value
        values = values.expand(spec.channels, -1, -1)
    values = (1 - values if reading.inverted else values)[None]
    if not spec.is_mask:
        return values
    _note_inverted(values, where, f"--invert-{flag}", reading.inverted)
    return values if values.shape[-2:] == size else F.adaptive_max_pool2d(values, size)


def _check_size(side: Photo, photo: Photo, where: str, option: str, reading: Reading) -> None:
    """Raise ImageError unless a side image, which has another size than the photo, is to be resized."""
    (height, width), (photo_height, photo_width) = side.pixels.shape[:2], photo.pixels.shape[:2]
    found, allowed = f"{where} is {width} x {height}", f"{photo_width} x {photo_height}, the size of the upright photo"
    aspect = width * photo_height / (height * photo_width)
    if not option or not 1 / (1 + ASPECT) < aspect < 1 + ASPECT:
        raise ImageError(f"{found}, allowed: {allowed}{', or its aspect ratio' if option and reading.resized else ''}")
    if not reading.resized:
        raise ImageError(f"{found}, allowed: {allowed}; {option} resizes it")


def _note_inverted(values: Tensor, where: str, option: str, inverted: bool) -> None:
    """Warn if a mask (1, 1, H, W) marks most of the photo and its border, as a mask with black and white swapped."""
    marked = values[0, 0] > 0.5
    share = int(marked.sum()) / marked.numel()
    border = torch.cat([marked[0], marked[-1], marked[:, 0], marked[:, -1]]).float().mean()
    if share < 1 and (share > 0.9 or (share > 0.5 and border > 0.9)):
        other = f"without {option}, the others are" if inverted else f"{option} fills the others"
        text = f"{where}: {100 * share:.3g}% of the pixels are filled; {other}{' filled' if inverted else ''} instead"
        warnings.warn(RestorekitWarning(text), stacklevel=3)


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
