"""The form of a recipe, generated from its parameters."""

from __future__ import annotations

from dataclasses import replace

import pytest

import restorekit as rk
from restorekit.core.options import ImageOption, Option
from restorekit.core.reserved import option_names
from restorekit.errors import ModelError, OptionError
from restorekit.models.listing import listed_models
from restorekit.plugins.discovery import recipes, solvers
from restorekit.ui.form import check_listed, check_number, class_names, form_fields, given_values

MODELS = listed_models()
KINDS = {
    "model": "entry",
    "count": "number",
    "scale": "choice",
    "amount": "slider",
    "sigma": "entry",
    "size": "text",
    "mode": "choice",
    "fast": "flag",
    "label": "entry",
    "classifier": "entry",
    "refiner": "entry",
    "solver": "choice",
    "network": "file",
    "tables": "entry",
    "mask": "file",
    "invert_mask": "flag",
    "mask_channel": "choice",
    "resize_mask": "flag",
    "second": "file",
    "invert_second": "flag",
    "second_channel": "choice",
    "resize_second": "flag",
    "kernel": "file",
}


def test_a_recipe_with_every_kind_of_option(every_option: rk.Recipe) -> None:
    fields = form_fields(every_option, MODELS)
    assert {field.name: field.kind for field in fields} == KINDS
    by_name = {field.name: field for field in fields}
    assert by_name["scale"].choices == (2, 4)
    assert (by_name["amount"].low, by_name["amount"].high, by_name["amount"].default) == (0, 1, 0.5)
    assert by_name["sigma"].help == "A number or a word. Allowed: from 0 to 50, or auto."
    assert by_name["mode"].choices == ("mean", "sample")
    assert (by_name["tables"].choices, by_name["tables"].default) == (("auto",), "auto")
    assert set(by_name["solver"].choices) == set(solvers())
    assert by_name["classifier"].choices == tuple(m.name for m in MODELS if m.family == "classifier")
    assert "ddpm-photo" in by_name["model"].choices
    assert "classifier-patches" not in by_name["refiner"].choices
    assert {name for name, field in by_name.items() if field.is_required} == {"network", "mask"}


def test_files_are_named_in_the_folder_tab(every_option: rk.Recipe) -> None:
    kinds = {field.name: field.kind for field in form_fields(every_option, MODELS, paths=True)}
    assert {name for name, kind in kinds.items() if kind == "path"} == {"network", "mask", "second", "kernel"}
    assert "file" not in kinds.values()


@pytest.mark.parametrize("recipe", recipes().values(), ids=lambda recipe: recipe.name)
def test_the_form_has_the_options_of_the_command(recipe: rk.Recipe) -> None:
    fields = form_fields(recipe, MODELS)
    names = [name for name in option_names(recipe) if name != "labels"]
    assert [field.name for field in fields if field.name != "model"] == names
    assert all(field.label and field.help for field in fields)


@pytest.mark.parametrize("recipe", recipes().values(), ids=lambda recipe: recipe.name)
def test_the_defaults_of_the_form_are_those_of_the_recipe(recipe: rk.Recipe) -> None:
    required = {p.name: "x.png" for p in recipe.parameters if isinstance(p.spec, ImageOption) and p.required}
    required |= {p.name: "any" for p in recipe.parameters if p.required and p.name not in required}
    fields = form_fields(recipe, MODELS)
    given = given_values(fields, {field.name: field.default for field in fields})
    options = {name: value for name, value in given.items() if name in {p.name for p in recipe.parameters}}
    found = replace(recipe, check=None).validate(options | required).options
    for parameter in recipe.options:
        if isinstance(parameter.spec, Option) and not parameter.required:
            assert found[parameter.name] == parameter.default
            assert type(found[parameter.name]) is type(parameter.default)


def test_empty_fields_are_left_out(every_option: rk.Recipe) -> None:
    fields = form_fields(every_option, MODELS)
    values = {"count": 0, "amount": None, "sigma": " 25 ", "fast": False, "size": "  ", "unknown": 1}
    assert given_values(fields, values) == {"count": 0, "sigma": "25", "fast": False}


def test_classes_are_those_of_the_prior() -> None:
    classes = next(model.classes for model in MODELS if model.name == "guided-scenes")
    assert classes
    assert class_names("guided-scenes", MODELS) == class_names("guided-scenes", []) == classes
    assert class_names("guided-scenes", [], listed_only=True) == ()
    for name in ("ddpm-photo", "hf://org/name", "nothing", None):
        assert class_names(name, MODELS) == ()


@pytest.mark.parametrize("value", [None, ""])
def test_an_empty_number_has_its_default(value: object) -> None:
    assert check_number(value, "denoise seed", 0, None, 7) == 7


@pytest.mark.parametrize("value", [3, 3.0, "3"])
def test_numbers_are_integers(value: object) -> None:
    found = check_number(value, "denoise seed", 0, None, 7)
    assert (found, type(found)) == (3, int)


@pytest.mark.parametrize("value", [0, 101, 2.5, "x", float("nan"), float("inf"), "1e400"])
def test_numbers_out_of_range(value: object) -> None:
    with pytest.raises(OptionError, match=r"denoise quality: found .*, allowed: an integer from 1 to 100"):
        check_number(value, "denoise quality", 1, 100, None)


def test_only_listed_models_on_a_network(every_option: rk.Recipe) -> None:
    check_listed(every_option, {"model": "ddpm-photo", "classifier": "classifier-patches", "refiner": None}, MODELS)
    for values in ({"model": "/etc"}, {"refiner": "hf://org/name"}, {"classifier": "spandrel:x.pth"}):
        with pytest.raises(ModelError, match="unknown model"):
            check_listed(every_option, values, MODELS)
