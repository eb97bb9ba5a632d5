"""Values of options for the completion of a shell; they are found without importing torch."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence

from restorekit.core.options import Parameter
from restorekit.core.reserved import BUNDLED

# The variable that the script of `--install-completion` sets.
VARIABLE = "_RESTOREKIT_COMPLETE"
DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "float32", "bfloat16")


def is_completing() -> bool:
    """Return whether a shell asks for completions."""
    return VARIABLE in os.environ


def models(incomplete: str) -> list[str]:
    """Return the names of the bundled models."""
    return _starting(incomplete, sorted(path.parent.name for path in BUNDLED.glob("*/model.safetensors")))


def classes(incomplete: str) -> list[str]:
    """Return the classes of the bundled priors."""
    from safetensors import safe_open

    names: set[str] = set()
    for path in BUNDLED.glob("*/model.safetensors"):
        with safe_open(path, framework="numpy") as file:
            config = json.loads(file.metadata()["restorekit"])
        if config.get("family") != "classifier":
            names |= set(config.get("classes") or ())
    return _starting(incomplete, sorted(names))


def solvers(incomplete: str) -> list[str]:
    """Return the names of the installed solvers."""
    from restorekit.plugins.discovery import solvers

    return _starting(incomplete, sorted(solvers()))


def devices(incomplete: str) -> list[str]:
    """Return the names of devices."""
    return _starting(incomplete, DEVICES)


def precisions(incomplete: str) -> list[str]:
    """Return the precisions."""
    return _starting(incomplete, PRECISIONS)


def words(parameter: Parameter) -> Callable[[str], list[str]]:
    """Return a function that returns the words that an option of a recipe allows."""

    def complete(incomplete: str) -> list[str]:
        return _starting(incomplete, (*map(str, parameter.choices), *parameter.words))

    return complete


def _starting(incomplete: str, words: Sequence[str]) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]
