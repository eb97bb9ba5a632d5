"""Recipes as Python functions on tensors, NumPy arrays, PIL images and paths."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from torch import Tensor

from restorekit.core.denoiser import Denoiser
from restorekit.core.noise import check_seed, new_seed
from restorekit.core.options import (
    ClassOption,
    ImageOption,
    JpegTables,
    ModelOption,
    NetworkOption,
    Option,
    Parameter,
    SolverOption,
)
from restorekit.core.recipe import Recipe
from restorekit.core.thread_warnings import record_warnings
from restorekit.errors import ModelError, OptionError, RestorekitWarning, unknown
from restorekit.models.registry import PRIORS
from restorekit.plugins.discovery import recipes
from restorekit.run.arguments import check_arguments, python_names, with_python_names
from restorekit.run.engine import Precision, make_engine
from restorekit.run.function_docs import function_docstring
from restorekit.run.image_input import CallerImage, ImageInput, read_image
from restorekit.run.job_files import sample_seed
from restorekit.run.notebook import with_before
from restorekit.run.restoration import restore_photo
from restorekit.run.runner import Runner
from restorekit.run.side_images import file_tables, reading_parameters, readings
from restorekit.run.side_input import read_side_input

# Number of frames between `_warn` and the call of a recipe's function.
CALLER = 5
# Arguments that all recipes share, for messages.
SHARED = ["prior", "seed", "samples", "device", "precision", "tile"]


def python_function(recipe: Recipe) -> Callable[..., Any]:
    """Return the recipe as a function on tensors, NumPy arrays, PIL images and paths; see `restore`."""

    def function(
        image: ImageInput | Sequence[ImageInput], prior: Denoiser | str | Path | None = None, **options: Any
    ) -> Any:
        return restore(recipe, image, prior, **options)

    function.__name__ = function.__qualname__ = recipe.name.replace("-", "_")
    function.__doc__ = function_docstring(recipe)
    function.recipe = recipe  # type: ignore[attr-defined]
    function.__signature__ = signature_of(recipe)  # type: ignore[attr-defined]
    return function


def recipe_function(name: str) -> Callable[..., Any]:
    """Return the function of a recipe, as `restorekit.NAME`, for recipes that type checkers do not know.

    name: name of the recipe, which a plugin may register. Raises OptionError if there is none.
    """
    found = recipes()
    if name not in found:
        raise OptionError(unknown("recipe", name, found, "recipe_function"))
    return python_function(found[name])


def check_samples(recipe: Recipe, samples: Any) -> None:
    """Raise OptionError if a number of samples is not allowed for a recipe."""
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 1 or (samples > 1 and not recipe.samples):
        allowed = "an integer >= 1" if recipe.samples else f"1, since {recipe.name} has no samples"
        raise OptionError(f"{recipe.name} samples: found {samples!r}, allowed: {allowed}")


def take_readings(recipe: Recipe, options: dict[str, Any]) -> dict[str, Any]:
    """Remove the options that state how side images are read from `options`, and return them.

    Raises OptionError if an option is neither one of these nor one of the recipe.
    """
    names = [name for p in recipe.side_images for name in reading_parameters(p)]
    known = [p.name for p in recipe.parameters] + names
    for name in options:
        if name == "model" and name not in known:
            raise OptionError(f"{recipe.name}: unknown option 'model'; allowed: prior=..., the second argument")
        if name not in known:
            raise OptionError(unknown("option", name, known + SHARED, recipe.name))
    return {name: options.pop(name) for name in names if name in options}


def signature_of(recipe: Recipe) -> inspect.Signature:
    """Return the signature: image, prior if there is one, the parameters of the recipe, then those of `restore`."""
    common = list(inspect.signature(restore).parameters.values())
    image, prior, *shared = common[1:-1]
    specific = []
    for p in recipe.parameters:
        kind = inspect.Parameter.KEYWORD_ONLY
        specific.append(inspect.Parameter(p.name, kind, default=p.default, annotation=_annotation(p)))
        for name, (default, annotation) in reading_parameters(p).items():
            specific.append(inspect.Parameter(name, kind, default=default, annotation=annotation))
    shared = [parameter for parameter in shared if parameter.name != "samples" or recipe.samples]
    first = [image] if recipe.model is None else [image, prior]
    return inspect.Signature([*first, *specific, *shared], return_annotation=Any)


def _annotation(parameter: Parameter) -> Any:
    """Return the type that a caller passes for a parameter."""
    if type(parameter.spec) is Option:
        return parameter.annotation
    kinds: dict[type, str] = {
        ImageOption: "ImageInput | Sequence[ImageInput]",
        ClassOption: "str",
        ModelOption: "Denoiser | NoisyClassifier | str | Path",
        NetworkOption: "ImageNetwork | str | Path",
        SolverOption: "str",
        JpegTables: "Tensor | int | str",
    }
    return kinds[type(parameter.spec)] + ("" if parameter.default is not None else " | None")


@python_names()
def restore(
    recipe: Recipe,
    image: ImageInput | Sequence[ImageInput],
    prior: Denoiser | str | Path | None = None,
    *,
    seed: int | None = 0,
    samples: int = 1,
    device: str = "auto",
    precision: Precision = "auto",
    tile: int | None = None,
    **options: Any,
) -> Any:
    """Run a recipe on one image, on a batch, or on a list of images.

    Arguments:
        recipe: the recipe.
        image: a tensor (N, C, H, W) of floats in [-1, 1], C = 1 or 3; a NumPy array (H, W) or (H, W, C) of uint8,
            uint16, or floats in [0, 1], with alpha if C is 2 or 4; a PIL image; a path; or a list of these.
        prior: a denoiser, or what `load_prior` accepts; None for the default of the recipe.
        seed: seed of the run, an integer >= 0; None for a new one, which a RestorekitWarning reports. A file gets the
            same noise as on the command line; image i of a batch or list gets that of a file named "i".
        samples: number of results, each with different noise, for recipes with samples.
        device, precision, tile: see `restorekit.run.engine.make_engine`.
        options: options of the recipe. Side images are of the kinds of `image`, with tensors (N or 1, C, H, W) in
            [0, 1]; for a list of images also a list. `invert_NAME`, and for masks `NAME_channel` and `resize_NAME`, are
            those of the command line. JPEG tables are read with a path, or from a PIL image that was opened from a
            JPEG file.

    Returns the kind of `image`: a tensor on its device and of its dtype; an array of its dtype, clipped; a PIL image,
    also for a path, which is a `RestoredImage`; or a list of these. If samples > 1, tensors and arrays have an
    additional first dimension, and the others become lists.

    Raises OptionError for an option or an image that is not allowed, ImageError for a file, and ModelError for a prior.
    A RestorekitWarning reports what the recipe found and what may be wrong with an image.
    """
    where = recipe.name
    check_samples(recipe, samples)
    check_arguments(where, device=device, precision=precision, tile=tile)
    if not isinstance(prior, Denoiser | str | Path | None):
        allowed = f"{PRIORS}; options are passed by name, such as sigma=25"
        raise ModelError(f"{where}: the prior is a {type(prior).__name__} ({prior!r:.40}), allowed: {allowed}")
    if seed is None:
        seed = new_seed()
        _warn([RestorekitWarning(f"{where}: seed={seed}")], CALLER - 1)
    seed = check_seed(seed, where)
    count = None
    if isinstance(image, list | tuple | Iterator):
        images, count = [read_image(item, f"{where} image {i}") for i, item in enumerate(image)], 0
        count = len(images)
    else:
        images = [read_image(image, where)]
    reading = take_readings(recipe, options)
    on = next((found.y.device for found in images if found.y is not None), torch.device("cpu"))
    engine = make_engine(str(on) if device == "auto" and on.type != "cpu" else device, precision, tile)
    run = _Run(Runner(recipe, prior, options, engine), seed, samples, reading, count)
    results = []
    for i, found in enumerate(images):  # a comprehension is a frame of its own before Python 3.12
        results.append(run.restore(i, found))
    return results[0] if count is None else results


class _Run:
    """A call of `restore`: a runner and what all images have in common.

    Arguments:
        runner, seed, samples: see `restore`.
        reading: values of `invert_NAME`, `NAME_channel` and `resize_NAME`, by name.
        count: number of images of a list; None for one image.
    """

    def __init__(self, runner: Runner, seed: int, samples: int, reading: Mapping[str, Any], count: int | None) -> None:
        self.runner, self.seed, self.samples, self.count = runner, seed, samples, count
        self.readings = readings(runner.recipe, reading)

    def restore(self, index: int, image: CallerImage) -> Any:
        """Restore image `index`; return what the caller gets."""
        side_images = self._side_images(index, image)
        _warn([RestorekitWarning(note) for note in (image.note, *(image.photo.notes if image.photo else ())) if note])
        results = []
        for k in range(self.samples):
            seeds = [sample_seed(self.seed, name, k) for name in self._names(index, image)]
            if image.y is None:
                assert image.photo is not None
                started = monotonic()
                photo, notes = restore_photo(self.runner, image.photo, seeds[0], side_images)
                notes = [*notes, *photo.notes[len(image.photo.notes) :]]
                found = [with_python_names(note) for note in (*image.photo.notes, *notes)]
                results.append(with_before(image.result(photo), image.photo, found, monotonic() - started))
                _warn([RestorekitWarning(note) for note in notes])
            else:
                with record_warnings(RestorekitWarning) as messages:
                    result = self.runner.restore(image.y, seeds, side_images)
                results.append(image.result(result))
                _warn(messages)
        return results[0] if self.samples == 1 else image.stack(results)

    def _names(self, index: int, image: CallerImage) -> list[str]:
        """Return the names that select the noise of the images of a batch."""
        if image.name is not None:
            return [image.name]
        if self.count is None or len(image) == 1:
            return [str(index + i) for i in range(len(image))]
        return [f"{index}/{i}" for i in range(len(image))]

    def _side_images(self, index: int, image: CallerImage) -> dict[str, Tensor]:
        """Return the side images and JPEG tables of an image by name."""
        recipe, valid = self.runner.recipe, self.runner.options
        found = {}
        for parameter in recipe.side_images:
            side, spec, where = valid.side_images.get(parameter.name), parameter.spec, f"{recipe.name} {parameter.name}"
            if isinstance(side, list | tuple) and self.count is not None:
                if len(side) != self.count:
                    raise OptionError(f"{where}: found {len(side)} images, allowed: 1 or {self.count}")
                side, where = side[index], f"{where} {index}"
            if side is not None and isinstance(spec, ImageOption):
                reading = self.readings[parameter.name]
                found[parameter.name] = read_side_input(side, parameter, image, reading, where)
        if image.photo is not None:
            found |= file_tables(recipe, valid.options, image.photo)
        for name, value in valid.options.items():
            if isinstance(value, Tensor) and len(value) not in (1, len(image)):
                raise OptionError(f"{recipe.name} {name}: found {len(value)} tables, allowed: 1 or {len(image)}")
        return found


def _warn(messages: Sequence[Warning], frames: int = CALLER) -> None:
    """Emit warnings that point at the caller."""
    for message in messages:
        message.args = (with_python_names(str(message)),)
        warnings.warn(message, stacklevel=frames + 1)
