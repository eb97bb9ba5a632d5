"""The forms of all recipes, of which a tab shows one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from restorekit.core.files import IMAGE_SUFFIXES
from restorekit.core.options import ClassOption
from restorekit.core.recipe import Recipe
from restorekit.models.listing import ListedModel
from restorekit.plugins.discovery import recipes
from restorekit.run.side_images import reading_parameters
from restorekit.ui.components import MANY, component, number
from restorekit.ui.form import MODEL, Field, class_names, form_fields, given_values
from restorekit.ui.masks import mask_parameter
from restorekit.ui.order import MAX_SAMPLES
from restorekit.ui.theme import QUIET


@dataclass(frozen=True)
class RecipeForm:
    """The part of the page that belongs to a recipe.

    Attributes:
        recipe: the recipe.
        fields: its fields, without those of the mask that is painted.
        inputs: their components.
        block: the block that contains them.
    """

    recipe: Recipe
    fields: tuple[Field, ...]
    inputs: tuple[gr.components.Component, ...]
    block: gr.Column

    def values(self, given: Sequence[Any]) -> dict[str, Any]:
        """Return the values of the components by name, without empty ones; uploaded files are (file, name)."""
        return given_values(self.fields, {f.name: v for f, v in zip(self.fields, given, strict=True)})


@dataclass
class Forms:
    """The forms of all recipes, of which the page shows one."""

    by_name: dict[str, RecipeForm] = field(default_factory=dict)

    @property
    def inputs(self) -> list[gr.components.Component]:
        """The components of all forms."""
        return [component for form in self.by_name.values() for component in form.inputs]

    @property
    def files(self) -> list[gr.File]:
        """The components for files that visitors drop."""
        return [component for component in self.inputs if isinstance(component, gr.File)]

    @property
    def blocks(self) -> list[gr.Column]:
        """The blocks of the forms."""
        return [form.block for form in self.by_name.values()]

    def values(self, name: str, given: Sequence[Any]) -> dict[str, Any]:
        """Return the values of the form of a recipe, given those of all forms."""
        start = 0
        for recipe, form in self.by_name.items():
            if recipe == name:
                return form.values(given[start : start + len(form.inputs)])
            start += len(form.inputs)
        raise KeyError(name)


def painted_names(recipe: Recipe) -> set[str]:
    """Return the names of the fields of the mask that is painted, which the page shows beside the editor."""
    mask = mask_parameter(recipe)
    return set() if mask is None else {mask.name, *reading_parameters(mask)}


def build_forms(prefix: str, models: Sequence[ListedModel], *, paths: bool, local: bool) -> Forms:
    """Build the forms of all recipes within the current block; that of `first_recipe` is visible.

    prefix: start of the identifiers of elements.
    local: whether visitors may name models that are not listed.
    paths: whether files are named, among them masks; otherwise they are uploaded, and the page has an editor for masks.
    """
    forms, first = Forms(), first_recipe()
    for name, recipe in recipes().items():
        left_out = set() if paths else painted_names(recipe)
        fields = tuple(f for f in form_fields(recipe, models, paths=paths) if f.name not in left_out)
        with gr.Column(visible=name == first, elem_id=f"{prefix}-{name}") as block:
            with gr.Row(elem_classes="rk-fields"):
                inputs = tuple(component(field, f"{prefix}-{name}") for field in fields)
            if not fields:
                gr.Markdown("This recipe has no options.")
        forms.by_name[name] = form = RecipeForm(recipe, fields, inputs, block)
        _follow_model(form, models, local)
    return forms


def _follow_model(form: RecipeForm, models: Sequence[ListedModel], local: bool) -> None:
    """Offer the classes of the prior that the visitor chooses."""
    names = [field.name for field in form.fields]
    classes = [p.name for p in form.recipe.parameters if isinstance(p.spec, ClassOption)]
    if MODEL not in names or not classes:
        return
    model = form.inputs[names.index(MODEL)]
    shown = [form.inputs[names.index(name)] for name in classes]

    def update(value: str | None) -> Any:
        found = [
            gr.Dropdown(choices=list(class_names(value or form.recipe.model, models, listed_only=not local)))
        ] * len(shown)
        return found[0] if len(found) == 1 else found

    model.change(update, model, shown, **QUIET)  # type: ignore[attr-defined]


def first_recipe() -> str:
    """Return the recipe that the page shows at first: one that requires nothing but a photo, preferably `denoise`."""
    names = [name for name, recipe in recipes().items() if not any(p.required for p in recipe.parameters)]
    return "denoise" if "denoise" in names else next(iter((*names, *recipes())))


def about(recipe: Recipe) -> str:
    """Return the first paragraph of the documentation of a recipe."""
    return " ".join(recipe.doc.partition("\n\n")[0].split())


def recipe_field(name: str) -> tuple[gr.Dropdown, gr.Markdown]:
    """Build the choice of a recipe within the current block; return it and the text about the recipe.

    name: identifier of the element.
    """
    names, first = list(recipes()), first_recipe()
    choice = gr.Dropdown(names, value=first, label="Recipe", elem_id=name, filterable=len(names) > MANY)
    return choice, gr.Markdown(about(recipes()[first]), elem_classes="rk-about")


class OutputFields:
    """Builds the fields of all recipes on the results within the current block.

    Arguments:
        prefix: start of the identifiers of elements.
    """

    def __init__(self, prefix: str) -> None:
        common: dict[str, Any] = {"min_width": 140}
        text = f"Number of results per photo. Allowed: from 1 to {MAX_SAMPLES}."
        has_samples = recipes()[first_recipe()].samples
        self.samples = number(1, label="Samples", info=text, visible=has_samples, elem_id=f"{prefix}-samples", **common)
        self.seed = number(0, label="Seed", info="Selects the noise.", elem_id=f"{prefix}-seed", **common)
        formats = [("same as the photo", ""), *((suffix[1:], suffix[1:]) for suffix in IMAGE_SUFFIXES)]
        text = "Format of the result."
        self.format = gr.Dropdown(formats, value="", label="Format", info=text, elem_id=f"{prefix}-format", **common)
        text = "Of lossy formats. Allowed: from 1 to 100."
        self.quality = gr.Textbox(label="Quality", info=text, max_lines=1, elem_id=f"{prefix}-quality", **common)

    @property
    def inputs(self) -> list[gr.components.Component]:
        """The components."""
        return [self.samples, self.seed, self.format, self.quality]

    def values(self, given: Sequence[Any]) -> dict[str, Any]:
        """Return the values of the components by name."""
        return dict(zip(("samples", "seed", "format", "quality"), given, strict=True))
