"""Names that restorekit itself uses, so that a recipe cannot have them."""

from __future__ import annotations

from pathlib import Path

from restorekit.core.recipe import ClassLabel, Recipe, SideImage
from restorekit.errors import OptionError

# Commands of restorekit itself.
COMMANDS = ("train", "models", "plugins", "evaluate", "sample", "run", "solvers")
# A folder for each prior that ships with restorekit, of its name.
BUNDLED = Path(__file__).parent.parent / "weights"
# Names of `restorekit.sampling.solvers.SOLVERS`, said here since that needs torch and `restorekit --help` does not.
SOLVERS = ("repaint", "ddnm", "ddnm-plus", "ddrm", "pigdm", "dps", "diffpir", "langevin", "dpir")
# Options of every recipe's command.
COMMON = ("model", "output", "format", "overwrite", "seed", "batch", "device", "precision", "tile")
# Further names on the command line and among the arguments of `restorekit.NAME(...)`.
OTHERS = ("inputs", "help", "samples", "image", "recipe")


def own_names(recipe: Recipe) -> list[str]:
    """Names of the options that a recipe's parameters become."""
    names: list[str] = []
    for parameter in recipe.parameters:
        names.append(parameter.name)
        if isinstance(parameter.spec, SideImage) and parameter.spec.invertible:
            names.append(f"invert_{parameter.name}")
        if isinstance(parameter.spec, ClassLabel):
            names.append("labels")
    return names


def check_names(recipe: Recipe) -> None:
    """OptionError when an option of a recipe is named like one that every recipe has, or like another of its own."""
    names = own_names(recipe)
    for name in names:
        if name in COMMON or name in OTHERS:
            raise OptionError(f"recipe {recipe.name!r}: every recipe has an option {name!r}; allowed: other names")
        if names.count(name) > 1:
            raise OptionError(f"recipe {recipe.name!r}: two options are named {name!r}; allowed: one")
