"""MkDocs hook: the reference of all public names, generated from their docstrings.

mkdocstrings reads classes and functions from the source. The functions of recipes exist at run time only.
"""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any

from command_pages import no_plugins
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

STUB = Path(__file__).parents[2] / "restorekit" / "__init__.pyi"
# Title, introduction and modules of every page. The module of a name is the one from which it is imported in STUB.
PAGES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "recipes": (
        "Recipes and folders",
        "The functions of the recipes, and of folders. [Python](../python.md) explains them with examples.",
        ("run", "errors"),
    ),
    "priors": (
        "Priors",
        "A prior is a denoiser D(x, sigma) = E[x0 | x]; see [The mathematics](../mathematics.md).",
        ("models.registry", "core.denoiser", "core.family", "priors", "core.noise"),
    ),
    "solvers": (
        "Operators and solvers",
        "Linear problems y = A x + sigma_y n; see [Solvers](../solvers.md).",
        (
            *("core.operators", "core.filters", "core.linear_operator", "core.svd", "initial", "core.solver"),
            *("models.named", "plugins.discovery"),
        ),
    ),
    "samplers": (
        "Samplers, ladders and measurements",
        "Samplers from noise to images, the noise levels that they use, estimates of noise, and metrics.",
        ("sampling", "core.ladders", "core.noise_estimation", "evaluation"),
    ),
    "plugins": (
        "Writing recipes and plugins",
        "What a recipe or a plugin uses besides priors and solvers; see [Plugins](../plugins.md).",
        ("core.recipe", "core.options", "core.network", "plugins.hooks"),
    ),
}
# Public values without a docstring: their descriptions.
VALUES = {
    "GREY_LEVEL": "One 8-bit grey level in the unit of images in [-1, 1]: 2 / 255.",
    "hookimpl": "Decorator of a hook of a plugin; see [Hooks](../plugins.md#hooks).",
    "ImageInput": "An image as the functions of recipes accept it: a path, a PIL image, a NumPy array or a tensor; see "
    "[Images](../python.md#images).",
}


def modules_of_names() -> dict[str, str]:
    """Return the module of every public name, relative to the package."""
    tree = ast.parse(STUB.read_text(encoding="utf-8"))
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.level == 1]
    return {alias.asname or alias.name: str(node.module) for node in imports for alias in node.names}


def page_of(module: str) -> str:
    """Return the page for the names of a module."""
    for page, (_, _, modules) in PAGES.items():
        if any(module == name or module.startswith(f"{name}.") for name in modules):
            return page
    raise PluginError(f"{module}: belongs to no page of the reference, allowed: the modules of PAGES in {__file__}")


def entry(name: str, value: Any) -> str:
    """Return the Markdown for a public name: a directive for mkdocstrings, or a value with its description."""
    if name in VALUES:
        return f"### {name} {{ #restorekit.{name} }}\n\n{VALUES[name]}\n"
    value = inspect.unwrap(value)
    return f"::: {value.__module__}.{value.__qualname__}\n"


def recipe_entry(name: str, function: Any) -> str:
    """Return the Markdown for the function of a recipe: its parameters and its docstring."""
    text, _, arguments = (inspect.getdoc(function) or "").partition("\nArgs:\n")
    positional = [p for p in inspect.signature(function).parameters.values() if p.kind != p.KEYWORD_ONLY]
    signature = ",\n    ".join(str(parameter).replace("'", "") for parameter in positional)
    items = []
    for line in inspect.cleandoc(arguments).splitlines():
        parameter, _, description = line.partition(": ")
        items.append(f"- `{parameter}`: {description}")
    call = f"```text\nrk.{name}(\n    {signature},\n    *,\n    ...\n)\n```"
    return "\n".join([f"### {name} {{ #restorekit.{name} }}\n", call, "", text, "", *items, ""])


def reference_pages() -> dict[str, str]:
    """Return the pages: path to Markdown."""
    import restorekit as rk
    from restorekit.plugins.discovery import recipes

    entries: dict[str, list[str]] = {page: [] for page in PAGES}
    with no_plugins():
        entries["recipes"] += [recipe_entry(name, getattr(rk, name.replace("-", "_"))) for name in recipes()]
    names = modules_of_names()
    missing = set(rk.__all__) ^ set(names)
    if missing:
        raise PluginError(f"{STUB.name}: differs from the public names in {', '.join(sorted(missing))}")
    for name, module in names.items():
        entries[page_of(module)].append(entry(name, getattr(rk, name)))
    pages = {
        f"reference/{page}.md": "\n".join([f"# {title}\n", f"{introduction}\n", *entries[page]])
        for page, (title, introduction, _) in PAGES.items()
    }
    return pages | {"reference/testing.md": testing_page()}


def testing_page() -> str:
    """Return the page on `restorekit.testing`."""
    from restorekit import testing

    introduction = "Checks and helpers for the tests of plugins: `from restorekit.testing import check_recipe`."
    entries = [entry(name, getattr(testing, name)) for name in testing.__all__]
    return "\n".join(["# Tests of plugins\n", f"{introduction}\n", *entries])


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    for path, text in reference_pages().items():
        files.append(File.generated(config, path, content=text))
    return files
