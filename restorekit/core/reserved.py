"""Names that restorekit uses itself and that recipes therefore cannot use."""

from __future__ import annotations

from pathlib import Path

from restorekit.core.options import ClassOption, ImageOption
from restorekit.core.recipe import Recipe
from restorekit.errors import OptionError

# Commands of restorekit.
COMMANDS = ("train", "models", "plugins", "evaluate", "sample", "run", "solvers", "replay", "verify", "compare", "ui")
# The folder of the bundled priors, with one subfolder for each, named like the prior.
BUNDLED = Path(__file__).parent.parent / "weights"
# Options of the command of every recipe.
COMMON = (
    *("model", "output", "format", "output_quality", "lossless", "exclude", "on_change", "overwrite"),
    *("report", "trace", "trace_frames", "dry_run", "json", "debug", "seed", "batch", "device", "precision", "tile"),
    *("compile", "engine", "workers"),
)
# Other names on the command line, among the arguments of `restorekit.NAME(...)`, and in manifests.
OTHERS = ("inputs", "help", "samples", "uncertainty", "image", "prior", "recipe", "source")


def option_names(recipe: Recipe) -> list[str]:
    """Return the names of the command-line options of a recipe."""
    names: list[str] = []
    for parameter in recipe.parameters:
        names.append(parameter.name)
        if isinstance(parameter.spec, ImageOption) and parameter.spec.invertible:
            names.append(f"invert_{parameter.name}")
        if isinstance(parameter.spec, ImageOption) and parameter.spec.is_mask:
            names += [f"{parameter.name}_channel", f"resize_{parameter.name}"]
        if isinstance(parameter.spec, ClassOption):
            names.append("labels")
    return names


def check_names(recipe: Recipe) -> None:
    """Raise OptionError if two options of a recipe share a name, or one has the name of an option of all recipes."""
    names = option_names(recipe)
    for name in names:
        if name in COMMON or name in OTHERS:
            raise OptionError(f"recipe {recipe.name!r}: every recipe has an option {name!r}; allowed: other names")
        if names.count(name) > 1:
            raise OptionError(f"recipe {recipe.name!r}: two options are named {name!r}; allowed: one")
