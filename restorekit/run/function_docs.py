"""Docstrings of recipes as Python functions."""

from __future__ import annotations

from restorekit.core.recipe import Recipe
from restorekit.run.side_images import reading_parameters

IMAGE = (
    "a tensor (N, C, H, W) in [-1, 1], a NumPy array (H, W) or (H, W, C), a PIL image, a path, or a list of these; "
    "the result is of the same kind, or a PIL image for a path."
)
PRIOR = "a denoiser, or what `load_prior` accepts."
SHARED = {
    "seed": "seed of the run, an integer >= 0; None for a new one. Default: 0.",
    "samples": "number of results, each with different noise. Default: 1.",
    "device": "auto, cpu, cuda, cuda:1 or mps. Default: auto; a tensor on a GPU is restored there.",
    "precision": "auto, float32 or bfloat16. Default: auto.",
    "tile": "side of the tiles in pixels, 16 or more. Default: the training size of the prior.",
}


def function_docstring(recipe: Recipe) -> str:
    """Return the docstring of a recipe as a Python function, with a section on all arguments in Google style."""
    shared = [f"{name}: {text}" for name, text in SHARED.items() if name != "samples" or recipe.samples]
    options = [*recipe.describe_options().splitlines(), *_side_image_lines(recipe)]
    prior = [] if recipe.model is None else [f"prior: {PRIOR} Default: {recipe.model}."]
    lines = [f"image: {IMAGE}", *prior, *options, *shared]
    return "\n    ".join([f"{recipe.doc}\n\nArgs:", *lines])


def _side_image_lines(recipe: Recipe) -> list[str]:
    """Return one line per side image that names the arguments that state how it is read."""
    found = [(parameter.name, ", ".join(reading_parameters(parameter))) for parameter in recipe.side_images]
    return [f"{names}: how {name} is read, as on the command line." for name, names in found if names]
