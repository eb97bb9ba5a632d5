"""The public names of the package."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
import typing
from pathlib import Path

import pytest
from torch import Tensor

import restorekit as rk
from restorekit.core.options import Option
from restorekit.core.recipe import POSITIONAL
from restorekit.plugins.discovery import recipes

STUB = Path(rk.__file__).with_suffix(".pyi")
STUB_NAMES = [
    alias.asname or alias.name
    for node in ast.parse(STUB.read_text(encoding="utf-8")).body
    if isinstance(node, ast.ImportFrom)
    for alias in node.names
]
RECIPES = ["complete", "denoise", "inpaint"]
SHARED = {"prior": None, "seed": 0, "samples": 1, "device": "auto", "precision": "auto", "tile": None}


def test_public_names_are_those_of_the_stub() -> None:
    assert sorted(rk.__all__) == sorted(STUB_NAMES)
    assert set(STUB_NAMES) | set(RECIPES) <= set(dir(rk))


@pytest.mark.parametrize("name", sorted(STUB_NAMES))
def test_public_names_are_documented(name: str) -> None:
    value = getattr(rk, name)
    if callable(value):
        assert value.__doc__
        # A dataclass without a docstring gets its signature as one.
        assert not value.__doc__.startswith(f"{name}(")


def test_public_names_include_those_of_the_documentation() -> None:
    assert {"sample", "load_prior", "load_classifier", "solvers", "psnr", "ssim"} <= set(rk.__all__)


@pytest.mark.parametrize("name", RECIPES)
def test_functions_have_the_parameters_of_their_recipe(name: str) -> None:
    recipe = recipes()[name]
    parameters = inspect.signature(getattr(rk, name)).parameters
    prior, *shared = SHARED
    assert list(parameters) == ["image", prior, *(p.name for p in recipe.parameters), *shared]
    assert parameters["image"].default is inspect.Parameter.empty
    assert {n: parameters[n].default for n in SHARED} == SHARED
    declared = inspect.signature(recipe.function).parameters
    names = {name: getattr(rk, name, Tensor) for name in ("Tensor", "Denoiser", "ImageNoise", "NoisyClassifier")}
    hints = typing.get_type_hints(recipe.function, localns=names)
    for parameter in recipe.parameters:
        found = parameters[parameter.name]
        assert found.kind is inspect.Parameter.KEYWORD_ONLY
        assert found.default == parameter.default
        if isinstance(parameter.spec, Option):
            name = parameter.name if parameter.name not in POSITIONAL else f"{parameter.name}_"
            assert found.default == declared[name].default
            assert found.annotation == hints[name]


def test_types_of_other_parameters_are_those_that_callers_pass() -> None:
    parameters = inspect.signature(rk.complete).parameters
    assert parameters["label"].annotation == "str"
    assert parameters["mask"].annotation == "Tensor | Image.Image | str | Path"
    assert parameters["refiner"].annotation == "Denoiser | NoisyClassifier | str | Path"
    assert parameters["refiner"].default == "ddpm-fill"


@pytest.mark.parametrize("code", ["import restorekit", "import restorekit; dir(restorekit); restorekit.hookimpl"])
def test_import_does_not_load_torch(code: str) -> None:
    code = f"import sys; {code}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
