"""Side images that Python callers pass, such as masks and blur kernels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from restorekit.core.options import ImageOption, Parameter
from restorekit.errors import OptionError
from restorekit.run.image_input import CallerImage, with_channels
from restorekit.run.images import from_pillow
from restorekit.run.photo import Photo, from_stacked
from restorekit.run.side_images import Reading, fit_side_image, read_side_image


def read_side_input(side: Any, parameter: Parameter, image: CallerImage, reading: Reading, where: str) -> Tensor:
    """Return a side image as (N or 1, C, H, W) in [0, 1].

    Arguments:
        side: a tensor (N or 1, C, H, W) of bool or of floats in [0, 1]; a NumPy array (H, W) or (H, W, C) of uint8,
            uint16, bool, or floats in [0, 1]; a PIL image; or a path.
        parameter: its option.
        image: the image that is restored.
        reading: how it is read; tensors and floats can only be inverted.
        where: start of the messages.

    Raises OptionError if it is not allowed, and the errors of `fit_side_image`.
    """
    spec, name = parameter.spec, parameter.name
    assert isinstance(spec, ImageOption)
    reference = image.photo or Photo(np.zeros((*image.size, 1), np.uint8))
    if isinstance(side, str | Path):
        return read_side_image(Path(side), spec, reference, name, reading)
    if isinstance(side, Image.Image):
        return fit_side_image(from_pillow(side), spec, reference, name, reading, where)
    if isinstance(side, np.ndarray):
        side = _values(side, spec, where)
    if isinstance(side, Photo):
        return fit_side_image(side, spec, reference, name, reading, where)
    if not isinstance(side, Tensor) or side.ndim != 4 or not side.numel():
        found = f"a tensor {tuple(side.shape)}" if isinstance(side, Tensor) else type(side).__name__
        kinds = f"a tensor (N or 1, {spec.channels}, H, W), a NumPy array (H, W) or (H, W, C), a PIL image or a path"
        raise OptionError(f"{where}: found {found}, allowed: {kinds}")
    return _checked(side, spec, image, where, inverted=reading.inverted)


def _values(side: NDArray[Any], spec: ImageOption, where: str) -> Photo | Tensor:
    """Return an array as a photo, or floats as a tensor (1, channels, H, W)."""
    values = with_channels(side, where)
    if side.dtype == bool:
        return from_stacked(values.astype(np.uint8) * np.uint8(255))
    if side.dtype in (np.uint8, np.uint16):
        return from_stacked(values)
    if not np.issubdtype(side.dtype, np.floating):
        raise OptionError(f"{where}: found an array of {side.dtype}, allowed: bool, uint8, uint16, or floats in [0, 1]")
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 1):
        convert = "; x / 255 converts 0 to 255" if 1 < high <= 255 and low >= 0 else ""
        raise OptionError(f"{where}: found values from {low:.4g} to {high:.4g}, allowed: [0, 1]{convert}")
    if spec.is_mask:  # the rules for files, which refuse a photo, hold for 16 bits
        return from_stacked((values * 65535).round().astype(np.uint16))
    channels = spec.channels
    tensor = torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1), np.float32))[None]
    if tensor.shape[1] == channels:
        return tensor
    return tensor.mean(1, keepdim=True) if channels == 1 else tensor.expand(-1, channels, -1, -1)


def _checked(side: Tensor, spec: ImageOption, image: CallerImage, where: str, *, inverted: bool) -> Tensor:
    """Return a tensor as float32; OptionError if its shape, dtype or values are not allowed."""
    allowed = (spec.channels, *(image.size if spec.same_size else side.shape[-2:]))
    if tuple(side.shape[1:]) != allowed or side.shape[0] not in (1, len(image)):
        shape = f"({'1 or ' * (len(image) > 1)}{len(image)}, {', '.join(map(str, allowed))})"
        raise OptionError(f"{where}: found {tuple(side.shape)}, allowed: {shape}")
    if not (side.is_floating_point() or side.dtype == torch.bool):
        convert = "; x > 127 or x / 255 converts it" if side.dtype == torch.uint8 else ""
        raise OptionError(f"{where}: found a tensor of {side.dtype}, allowed: bool, or floats in [0, 1]{convert}")
    values = side.detach().float()
    low, high = (float(value) for value in values.aminmax())
    if not (low >= 0 and high <= 1):
        raise OptionError(f"{where}: found values from {low:.4g} to {high:.4g}, allowed: [0, 1]")
    return 1 - values if inverted else values
