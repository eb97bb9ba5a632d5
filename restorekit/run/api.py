"""Recipes as Python functions on tensors, PIL images and paths."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from restorekit.core.denoiser import Denoiser
from restorekit.core.options import ClassOption, ImageOption, JpegTables, ModelOption, Option, Parameter, SolverOption
from restorekit.core.recipe import Recipe
from restorekit.errors import ImageError, OptionError
from restorekit.run.engine import Precision, make_engine
from restorekit.run.folder import sample_seed
from restorekit.run.images import Photo, from_pillow, read_photo, to_pillow
from restorekit.run.runner import Runner
from restorekit.run.side_images import file_tables, fit_side_image, read_side_image

ImageInput: TypeAlias = "Tensor | Image.Image | str | Path"


def python_function(recipe: Recipe) -> Callable[..., Any]:
    """Return the recipe as a function on tensors, PIL images and paths; see `restore`."""

    def function(image: ImageInput, prior: Denoiser | str | Path | None = None, **options: Any) -> Any:
        return restore(recipe, image, prior, **options)

    function.__name__ = function.__qualname__ = recipe.name.replace("-", "_")
    function.__doc__ = f"{recipe.doc}\n\nOptions: {', '.join(p.description for p in recipe.parameters)}."
    function.__signature__ = _signature(recipe)  # type: ignore[attr-defined]
    return function


def _signature(recipe: Recipe) -> inspect.Signature:
    """Return the signature: image, prior, the parameters of the recipe, then the shared ones of `restore`."""
    common = list(inspect.signature(restore).parameters.values())
    image, prior, *shared = common[1:-1]
    specific = [
        inspect.Parameter(p.name, inspect.Parameter.KEYWORD_ONLY, default=p.default, annotation=_annotation(p))
        for p in recipe.parameters
    ]
    return inspect.Signature([image, prior, *specific, *shared], return_annotation=Any)


def _annotation(parameter: Parameter) -> Any:
    """Return the type that a caller passes for a parameter."""
    if type(parameter.spec) is Option:
        return parameter.annotation
    kinds: dict[type, str] = {
        ImageOption: "Tensor | Image.Image | str | Path",
        ClassOption: "str",
        ModelOption: "Denoiser | NoisyClassifier | str | Path",
        SolverOption: "str",
        JpegTables: "Tensor | int | str",
    }
    return kinds[type(parameter.spec)] + ("" if parameter.default is not None else " | None")


def restore(
    recipe: Recipe,
    image: ImageInput,
    prior: Denoiser | str | Path | None = None,
    *,
    seed: int = 0,
    samples: int = 1,
    device: str = "auto",
    precision: Precision = "auto",
    tile: int | None = None,
    **options: Any,
) -> Any:
    """Run a recipe on one image or a batch.

    image: a tensor (N, C, H, W) in [-1, 1] of any size, C = 1 or 3; a PIL image; or a path.
    prior: a denoiser, or what `load_prior` accepts; None for the default of the recipe.
    seed: seed of the run. A file gets the same seed as on the command line; image i of a batch gets that of a file
        named "i".
    samples: number of results, each with different noise.
    device, precision, tile: see `restorekit.run.engine.make_engine`.
    options: options of the recipe; side images are tensors (N or 1, C, H, W) in [0, 1], PIL images or paths. JPEG
        tables are read with a path, or from a PIL image that was opened from a JPEG file.

    Returns the type of `image` (a PIL image for a path): a tensor (N, C, H, W) on the device of the image, or
    (samples, N, C, H, W) if samples > 1; a PIL image, or a list of PIL images if samples > 1.
    """
    if samples < 1:
        raise OptionError(f"{recipe.name} samples: found {samples}, allowed: an integer >= 1")
    photo = _photo(image)
    y = photo.tensor() if photo is not None else _batch(image, recipe.name)
    names = [Path(image).name] if isinstance(image, str | Path) else [str(i) for i in range(len(y))]
    engine = make_engine(str(y.device) if device == "auto" and y.device.type != "cpu" else device, precision, tile)
    runner = Runner(recipe, prior, options, engine)
    side_images = {
        parameter.name: _side_image(side, parameter.spec, y, photo, f"{recipe.name} {parameter.name}")
        for parameter in recipe.side_images
        if isinstance(parameter.spec, ImageOption)
        and (side := runner.options.side_images.get(parameter.name)) is not None
    }
    if photo is not None:
        side_images |= file_tables(recipe, runner.options.options, photo)
    for name, value in runner.options.options.items():
        if isinstance(value, Tensor) and len(value) not in (1, len(y)):
            raise OptionError(f"{recipe.name} {name}: found {len(value)} tables, allowed: 1 or {len(y)}")
    results = [runner.restore(y, [sample_seed(seed, name, k) for name in names], side_images) for k in range(samples)]
    if photo is None:
        tensors = [result.to(y.device) for result in results]
        return tensors[0] if samples == 1 else torch.stack(tensors)
    images = [to_pillow(photo.with_tensor(result[0])) for result in results]
    return images[0] if samples == 1 else images


def _photo(image: Any) -> Photo | None:
    if isinstance(image, Image.Image):
        return from_pillow(image)
    if not isinstance(image, str | Path):
        return None
    photo = read_photo(Path(image))
    if photo.max_value != 255:
        raise ImageError(f"{image}: a PIL image cannot store 16 bits per channel; use the command line or a tensor")
    return photo


def _batch(image: Any, where: str) -> Tensor:
    if not isinstance(image, Tensor) or image.ndim != 4 or image.shape[1] not in (1, 3) or not image.numel():
        found = tuple(image.shape) if isinstance(image, Tensor) else type(image).__name__
        raise OptionError(f"{where}: found {found}, allowed: a tensor (N, 1 or 3, H, W), a PIL image or a path")
    if not torch.isfinite(image).all():
        raise OptionError(f"{where}: the image contains values that are not finite; allowed: [-1, 1]")
    return image.float()


def _side_image(side: Any, spec: ImageOption, y: Tensor, photo: Photo | None, where: str) -> Tensor:
    channels, size = spec.channels, tuple(y.shape[-2:])
    reference = (photo or Photo(np.zeros((*size, 1), np.uint8))) if spec.same_size else None
    if isinstance(side, str | Path):
        return read_side_image(Path(side), channels, reference, where)
    if isinstance(side, Image.Image):
        return fit_side_image(from_pillow(side), channels, reference, where)
    if not isinstance(side, Tensor) or side.ndim != 4 or not side.numel():
        found = tuple(side.shape) if isinstance(side, Tensor) else type(side).__name__
        raise OptionError(f"{where}: found {found}, allowed: a tensor (N or 1, {channels}, H, W)")
    allowed = channels, *(size if spec.same_size else side.shape[-2:])
    if tuple(side.shape[1:]) != allowed or side.shape[0] not in (1, len(y)):
        raise OptionError(
            f"{where}: found {tuple(side.shape)}, allowed: (1 or {len(y)}, {', '.join(map(str, allowed))})"
        )
    return side.float()
