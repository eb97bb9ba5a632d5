"""The public names of the package."""

from __future__ import annotations

import ast
import inspect
import re
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
from tests import stub

STUB = Path(rk.__file__).with_suffix(".pyi")
STUB_NAMES = [
    alias.asname or alias.name
    for node in ast.parse(STUB.read_text(encoding="utf-8")).body
    if isinstance(node, ast.ImportFrom)
    for alias in node.names
]
RECIPES = ["complete", "denoise", "inpaint"]
SHARED = {"prior": None, "seed": 0, "samples": 1, "device": "auto", "precision": "auto", "tile": None}
SCRIPT = """
import numpy as np
from PIL import Image
from torch import Tensor

import restorekit as rk


def denoised(y: Tensor) -> Tensor:
    return rk.denoise(y, "ddpm-photo", sigma=25)


array = rk.denoise(np.zeros((8, 8, 3)), noise="camera", seed=None)
picture: Image.Image = rk.denoise("x.png")
pictures: list[Image.Image] = rk.inpaint(["x.png"], mask=np.zeros((8, 8), bool), invert_mask=True)
samples = rk.inpaint("x.png", mask="m.png", samples=4)
report = rk.restore_folder("denoise", "photos", sigma=25).failed
doubled = rk.recipe_function("superres")("x.png", scale=2)
text: str = rk.denoise("x.png")  # wrong
rk.nonexistent  # wrong
rk.denoise("x.png", sigmaa=3)  # wrong
rk.inpaint("x.png", mask="m.png", mode="sampel")  # wrong
rk.inpaint("x.png")  # wrong
"""
READING = {"mask": {"invert_mask": False, "mask_channel": "auto", "resize_mask": False}}


def test_public_names_are_those_of_the_stub() -> None:
    assert sorted(rk.__all__) == sorted(STUB_NAMES)
    names = {recipe.replace("-", "_") for recipe in recipes()}
    assert set(dir(rk)) == {*STUB_NAMES, *names, "__version__"}


def test_types_of_the_recipes_in_the_stub_are_current() -> None:
    assert stub.written() == stub.generated(), "python -m tests.stub writes them"


def test_type_checkers_find_mistakes(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    # With the configuration of the project, which is strict, so that the cache of its own check is used.
    command = [sys.executable, "-m", "mypy", str(script)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=STUB.parents[1])
    found = {int(line) for line in re.findall(r"script.py:(\d+): error", result.stdout)}
    assert found == {i for i, line in enumerate(SCRIPT.splitlines(), 1) if "# wrong" in line}, result.stdout


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
    own = [name for p in recipe.parameters for name in (p.name, *READING.get(p.name, ()))]
    assert list(parameters) == ["image", prior, *own, *shared]
    for reading in READING.values():
        assert all(parameters[n].default == default for n, default in reading.items() if n in parameters)
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
    assert parameters["mask"].annotation == "ImageInput | Sequence[ImageInput]"
    assert parameters["refiner"].annotation == "Denoiser | NoisyClassifier | str | Path"
    assert parameters["refiner"].default == "ddpm-fill"


@pytest.mark.parametrize("code", ["import restorekit", "import restorekit; dir(restorekit); restorekit.hookimpl"])
def test_import_does_not_load_torch(code: str) -> None:
    code = f"import sys; {code}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
