"""The Python blocks of docs/plugins.md after the first, which `test_tutorial` runs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import restorekit as rk
from restorekit.plugins.discovery import plugin_named
from restorekit.plugins.recipe_file import load_recipe
from restorekit.testing import check_recipe
from tests.cli.test_plugin_commands import findings_of

PAGE = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")
SHORTEST, WITH_RANGE, HOOK, PRIOR = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_first_recipe_has_plain_options() -> None:
    assert "Annotated" not in SHORTEST
    assert len(SHORTEST.splitlines()) < 15


def test_the_recipe_with_a_range_works(tmp_path: Path) -> None:
    (tmp_path / "area.py").write_text(WITH_RANGE)
    recipe = load_recipe(tmp_path / "area.py")
    check_recipe(recipe)
    mask, sigma = recipe.parameters
    assert (mask.spec.help, sigma.spec.help) == (
        "White marks the part.",
        "Noise level, in the unit of images in [-1, 1].",
    )
    assert (mask.required, sigma.range) == (True, "from 0.01 to 1")


def test_the_package_without_the_template_is_a_plugin(install) -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    project = tomllib.loads(text)["project"]
    assert project["entry-points"] == {"restorekit": {"soften": "restorekit_soften"}}
    install(soften=f"{SHORTEST}\n{HOOK}")
    plugin = plugin_named("soften")
    assert (plugin.state, [recipe.name for recipe in plugin.recipes]) == ("ok", ["soften"])


def test_the_prior_works(install) -> None:
    install(flat=PRIOR)
    assert rk.load_prior("flat:0.5").info.channels == 3
    assert set(findings_of("flat", "dist-flat").values()) == {None}
