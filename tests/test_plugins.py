from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest
import torch

import restorekit as rk
from restorekit import plugins as found
from restorekit.cli import build_app
from restorekit.commands import OWN
from tests.priors.gaussian import GaussianPrior

GOOD = """
import restorekit as rk
from typing import Annotated
from torch import Tensor

@rk.recipe("lighten")
def lighten(y, prior, noise, *, much: Annotated[float, rk.Option("How much.", min=0)] = 0.5):
    '''Lighten.'''
    return y + much

@rk.hookimpl
def register_recipes(register):
    register(lighten)
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch):
    """Put distributions with one plugin each on the path, as an installer would."""

    def call(**modules: str) -> tuple[found.Plugin, ...]:
        monkeypatch.syspath_prepend(str(tmp_path))
        for name, source in modules.items():
            monkeypatch.delitem(sys.modules, f"{name}_module", raising=False)
            (tmp_path / f"{name}_module.py").write_text(textwrap.dedent(source))
            info = tmp_path / f"dist_{name}-1.2.dist-info"
            info.mkdir()
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: dist-{name}\nVersion: 1.2\n")
            (info / "entry_points.txt").write_text(f"[restorekit]\n{name} = {name}_module\n")
        found.plugins.cache_clear()
        return found.plugins()

    yield call
    found.plugins.cache_clear()


def test_own_recipes_come_as_plugins() -> None:
    own = {p.name: p for p in found.plugins() if p.distribution == "restorekit"}
    assert set(own) == {"denoise", "inpaint"}
    assert all(p.error is None for p in own.values())


def test_a_third_partys_recipe_is_a_function_and_a_command(install) -> None:
    plugin = next(p for p in install(light=GOOD) if p.name == "light")
    assert (plugin.distribution, plugin.version, [r.name for r in plugin.recipes]) == ("dist-light", "1.2", ["lighten"])
    y = torch.zeros(1, 3, 4, 4)
    torch.testing.assert_close(rk.lighten(y, GaussianPrior(), much=0.25), y + 0.25)
    assert "how much" not in (rk.lighten.__doc__ or "").splitlines()[0]
    assert "much (a number from 0, default 0.5)" in rk.lighten.__doc__
    assert "lighten" in dir(rk)


def test_a_broken_plugin_is_named_and_the_others_work(install, capsys) -> None:
    install(
        broken="raise RuntimeError('no such luck')",
        light=GOOD,
        odd=GOOD.replace("register(lighten)", "register('lighten')").replace('"lighten"', '"other"'),
    )
    found.warn_of_broken_plugins()
    lines = capsys.readouterr().err.splitlines()
    assert "warning: plugin broken of dist-broken: RuntimeError: no such luck" in lines
    assert any("odd of dist-odd" in line and "takes a recipe" in line for line in lines)
    assert {"denoise", "inpaint", "lighten"} <= set(found.recipes())


def test_a_taken_name_is_an_error_that_names_both(install) -> None:
    clash = next(p for p in install(clash=GOOD.replace('"lighten"', '"denoise"')) if p.name == "clash")
    assert clash.error is not None
    assert "'denoise' is already brought by denoise of restorekit" in clash.error
    assert not clash.recipes
    assert found.recipes()["denoise"].function.__module__ == "restorekit.builtin.denoise"


def test_unknown_names_are_said() -> None:
    with pytest.raises(AttributeError, match="no attribute or recipe 'denoize'"):
        _ = rk.denoize


def test_every_public_name_is_there() -> None:
    for name in rk.__all__:
        assert getattr(rk, name) is not None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('"lighten"', '"train"'), "named like a command of restorekit"),
        (("much:", "seed:"), "every recipe has an option 'seed'"),
        (("Annotated[float, ", "Annotated[Literal[1, 'a'], "), "allowed types: int, float"),
    ],
)
def test_a_recipe_that_would_break_the_command_line_is_refused(install, change, message: str) -> None:
    source = GOOD.replace("from typing import Annotated", "from typing import Annotated, Literal").replace(*change)
    plugin = next(p for p in install(bad=source) if p.name == "bad")
    assert plugin.error is not None
    assert message in plugin.error
    assert build_app() is not None


def test_restorekits_own_commands_are_those_that_are_kept() -> None:
    own = {info.name for info in build_app().registered_commands + build_app().registered_groups}
    assert own - set(found.recipes()) <= set(OWN)
