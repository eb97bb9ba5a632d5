"""Recipes as Python functions on tensors, PIL images and paths."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from restorekit.core.denoiser import Denoiser
from restorekit.core.recipe import Recipe, SideImage
from restorekit.errors import ImageError, ModelError, OptionError
from restorekit.models.registry import load_prior
from restorekit.run.engine import Precision, make_engine
from restorekit.run.folder import answer_seed
from restorekit.run.images import Photo, fit_side_image, from_pillow, read_photo, read_side_image, to_pillow

Picture: TypeAlias = "Tensor | Image.Image | str | Path"


def restore(
    recipe: Recipe,
    image: Picture,
    prior: Denoiser | str | Path | None = None,
    *,
    seed: int = 0,
    samples: int = 1,
    device: str = "auto",
    precision: Precision = "auto",
    tile: int | None = None,
    **options: Any,
) -> Any:
    """Run a recipe on one picture or a batch.

    image: (N, C, H, W) in [-1, 1] of any size, C 1 or 3; or a PIL image; or a path.
    prior: a denoiser, or what `load_prior` takes; None is the recipe's own.
    samples: number of answers, with different noise.
    options: of the recipe; side images as (N or 1, C, H, W) in [0, 1], PIL images or paths.

    Returns the kind that was given (a PIL image for a path): tensors (N, C, H, W) on the image's device, or
    (samples, N, C, H, W) when samples > 1; PIL images as one image, or a list of them when samples > 1.
    The seed of a file is that of the command line, of image i in a batch that of a file named "i".
    """
    if samples < 1:
        raise OptionError(f"{recipe.name} samples: found {samples}, allowed: a whole number from 1")
    photo = _photo(image)
    y = photo.tensor() if photo is not None else _batch(image, recipe.name)
    names = [Path(image).name] if isinstance(image, str | Path) else [str(i) for i in range(len(y))]
    values = recipe.checked(options)
    for parameter in recipe.side_images:
        if values[parameter.name] is not None and isinstance(parameter.spec, SideImage):
            side = values[parameter.name]
            values[parameter.name] = _side(side, parameter.spec, y, photo, f"{recipe.name} {parameter.name}")
    denoiser = load_prior(recipe.model if prior is None else prior) if not callable(prior) else prior
    if not isinstance(denoiser, Denoiser):
        raise ModelError(f"{recipe.name}: the prior is {type(prior).__name__}, allowed: a Denoiser, a name or a path")
    engine = make_engine(str(y.device) if device == "auto" and y.device.type != "cpu" else device, precision, tile)
    placed, values = engine.place(denoiser), engine.resolved(recipe, denoiser, values)
    answers = [
        engine.restore(recipe, placed, y, [answer_seed(seed, name, k) for name in names], values)
        for k in range(samples)
    ]
    if photo is None:
        tensors = [answer.to(y.device) for answer in answers]
        return tensors[0] if samples == 1 else torch.stack(tensors)
    pictures = [to_pillow(photo.with_tensor(answer[0])) for answer in answers]
    return pictures[0] if samples == 1 else pictures


def _photo(image: Any) -> Photo | None:
    if isinstance(image, Image.Image):
        return from_pillow(image)
    if not isinstance(image, str | Path):
        return None
    photo = read_photo(Path(image))
    if photo.top != 255:
        raise ImageError(f"{image}: 16 bits a channel do not fit a PIL image; use the command line or a tensor")
    return photo


def _batch(image: Any, where: str) -> Tensor:
    if not isinstance(image, Tensor) or image.ndim != 4 or image.shape[1] not in (1, 3) or not image.numel():
        found = tuple(image.shape) if isinstance(image, Tensor) else type(image).__name__
        raise OptionError(f"{where}: found {found}, allowed: a tensor (N, 1 or 3, H, W), a PIL image or a path")
    if not torch.isfinite(image).all():
        raise OptionError(f"{where}: the image holds values that are not finite; allowed: [-1, 1]")
    return image.float()


def _side(side: Any, spec: SideImage, y: Tensor, photo: Photo | None, where: str) -> Tensor:
    channels, size = spec.channels, tuple(y.shape[-2:])
    stand_in = (photo or Photo(np.zeros((*size, 1), np.uint8))) if spec.same_size else None
    if isinstance(side, str | Path):
        return read_side_image(Path(side), channels, stand_in, where)
    if isinstance(side, Image.Image):
        return fit_side_image(from_pillow(side), channels, stand_in, where)
    if not isinstance(side, Tensor) or side.ndim != 4 or not side.numel():
        found = tuple(side.shape) if isinstance(side, Tensor) else type(side).__name__
        raise OptionError(f"{where}: found {found}, allowed: a tensor (N or 1, {channels}, H, W)")
    allowed = channels, *(size if spec.same_size else side.shape[-2:])
    if tuple(side.shape[1:]) != allowed or side.shape[0] not in (1, len(y)):
        raise OptionError(
            f"{where}: found {tuple(side.shape)}, allowed: (1 or {len(y)}, {', '.join(map(str, allowed))})"
        )
    return side.float()
