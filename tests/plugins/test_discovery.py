from __future__ import annotations

import hashlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import restorekit as rk
from restorekit.cli.app import build_app
from restorekit.cli.commands import COMMON, SAMPLES, typer_command
from restorekit.core import reserved
from restorekit.core.reserved import COMMANDS
from restorekit.core.solver import BUILT_IN_NEEDS
from restorekit.models.registry import find_weights, model_digest
from restorekit.plugins import discovery as found
from restorekit.testing import GaussianPrior

GOOD = """
import restorekit as rk
from typing import Annotated
from torch import Tensor

@rk.recipe("lighten")
def lighten(y, prior, noise, *, amount: Annotated[float, rk.Option("Amount.", min=0)] = 0.5):
    '''Lighten.'''
    return y + amount

@rk.hookimpl
def register_recipes(register):
    register(lighten)
"""


def test_builtin_recipes_are_plugins() -> None:
    builtin = {p.name: p for p in found.plugins() if p.distribution == "restorekit"}
    assert set(builtin) == {"complete", "denoise", "inpaint"}
    assert all(p.error is None for p in builtin.values())


def test_a_third_party_recipe_is_a_function(install) -> None:
    plugin = next(p for p in install(light=GOOD) if p.name == "light")
    assert (plugin.distribution, plugin.version, [r.name for r in plugin.recipes]) == ("dist-light", "1.2", ["lighten"])
    y = torch.zeros(1, 3, 4, 4)
    torch.testing.assert_close(rk.lighten(y, GaussianPrior(), amount=0.25), y + 0.25)
    assert "amount" not in (rk.lighten.__doc__ or "").splitlines()[0]
    assert "    amount: Amount. Allowed: a number >= 0. Default: 0.5." in rk.lighten.__doc__.splitlines()
    assert "lighten" in dir(rk)


def test_a_broken_plugin_is_reported_and_the_others_work(install, capsys) -> None:
    install(
        broken="raise RuntimeError('no such luck')",
        light=GOOD,
        odd=GOOD.replace("register(lighten)", "register('lighten')").replace('"lighten"', '"other"'),
    )
    found.warn_about_broken_plugins()
    lines = capsys.readouterr().err.splitlines()
    broken, odd = lines
    assert broken.startswith("warning: plugin broken of dist-broken: RuntimeError: no such luck (")
    assert broken.endswith("broken_module.py, line 1)")
    assert odd.startswith(
        "warning: plugin odd of dist-odd: TypeError: register_recipes: found 'lighten', allowed: register(recipe)"
    )
    assert odd.endswith("odd_module.py, line 13)")
    assert {"denoise", "inpaint", "lighten"} <= set(found.recipes())


def test_a_duplicate_name_is_an_error_that_names_both_plugins(install) -> None:
    clash = next(p for p in install(clash=GOOD.replace('"lighten"', '"denoise"')) if p.name == "clash")
    assert clash.error is not None
    assert "'denoise' is already registered by denoise of restorekit" in clash.error
    assert not clash.recipes
    assert found.recipes()["denoise"].function.__module__ == "restorekit.builtin.denoise"


def test_unknown_attributes_raise_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute or recipe 'denoize'"):
        _ = rk.denoize


def test_every_public_name_can_be_imported() -> None:
    for name in rk.__all__:
        assert getattr(rk, name) is not None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('"lighten"', '"train"'), "the name is a command of restorekit"),
        (("amount:", "seed:"), "every recipe has an option 'seed'"),
        (("amount:", "image:"), "every recipe has an option 'image'"),
        (('"lighten"', '"core"'), "restorekit.core already exists"),
        (('"lighten"', '"load-prior"'), "restorekit.load_prior already exists"),
        (
            ("register(lighten)", "register(lighten), register(lighten)"),
            "'lighten' is already registered by this plugin",
        ),
        (
            ("def register_recipes", "def register_recipe"),
            "unknown hook 'register_recipe'. Did you mean 'register_recipes'? "
            "Allowed: register_priors, register_recipes, register_solvers. (",
        ),
        (('amount: Annotated[float, rk.Option("Amount.", min=0)] = 0.5', "amount=0.5"), "'amount' has no type"),
        (("Annotated[float, ", "Annotated[Literal[1, 'a'], "), "allowed types: int, float"),
    ],
)
def test_a_recipe_that_would_break_the_command_line_is_rejected(install, change, message: str) -> None:
    source = GOOD.replace("from typing import Annotated", "from typing import Annotated, Literal").replace(*change)
    plugin = next(p for p in install(bad=source) if p.name == "bad")
    assert plugin.error is not None
    assert message in plugin.error
    assert build_app() is not None


def test_all_commands_are_reserved() -> None:
    commands = {info.name for info in build_app().registered_commands + build_app().registered_groups}
    assert commands - set(found.recipes()) <= set(COMMANDS)


PRIORS = """
import restorekit as rk

def load(text):
    from restorekit.testing import GaussianPrior

    return GaussianPrior(mean=float(text)) if text else "nothing"

@rk.hookimpl
def register_priors(register):
    register(rk.PriorFamily("flat", load, "The mean."))
"""


def test_a_prior_family_can_be_used_as_a_model(install, tmp_path, monkeypatch) -> None:
    plugin = next(p for p in install(flat=PRIORS) if p.name == "flat")
    assert [family.name for family in plugin.priors] == ["flat"]
    assert rk.load_prior("flat:0.25").mean == 0.25
    y = torch.zeros(1, 3, 4, 4)
    torch.testing.assert_close(rk.denoise(y, "flat:0.5", sigma=127.5, device="cpu"), y + 0.25)
    with pytest.raises(rk.ModelError, match=r"flat:: the plugin returned str, allowed: a Denoiser"):
        rk.load_prior("flat:")
    with pytest.raises(rk.ModelError, match=r"unknown prior family 'flap'. Did you mean 'flat'"):
        rk.load_prior("flap:1")
    with pytest.raises(rk.ModelError, match="found a prior of a plugin, allowed: weights"):
        find_weights("flat:1")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flat:1").write_text("no weights")
    with pytest.raises(rk.ModelError, match="not a readable safetensors file"):
        rk.load_prior("flat:1")


def test_the_file_of_a_prior_family_counts_by_its_content(install, tmp_path: Path) -> None:
    source = PRIORS.replace("import restorekit as rk", "from pathlib import Path\n\nimport restorekit as rk", 1)
    install(flat=source.replace('"The mean.")', '"The mean.", file=Path)'))
    path = tmp_path / "weights.pth"
    missing = model_digest(f"flat:{path}")
    digests = []
    for content in (b"a", b"b"):
        path.write_bytes(content)
        digests.append(model_digest(f"flat:{path}"))
    assert missing == f"flat:{path}"
    assert digests == [f"flat:{path} {hashlib.sha256(content).hexdigest()}" for content in (b"a", b"b")]


@pytest.mark.parametrize("source", [r"C:\priors\mine", "c:/priors/mine", "Flat:1", "nowhere"])
def test_a_path_with_a_colon_is_not_a_family(source: str) -> None:
    with pytest.raises(rk.ModelError, match="unknown model"):
        rk.load_prior(source)


@pytest.mark.parametrize("name", ["c", "hf", "Flat", "a b", ""])
def test_invalid_family_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="prior family"):
        rk.PriorFamily(name, GaussianPrior, "Help.")


def test_a_family_cannot_have_the_name_of_a_bundled_prior(install) -> None:
    plugin = next(p for p in install(flat=PRIORS.replace('"flat"', '"ddpm-photo"')) if p.name == "flat")
    assert plugin.error is not None
    assert "the name is a bundled prior" in plugin.error


SOLVERS = """
import restorekit as rk

def solve(prior, operator, y, sigma_y, noise, *, steps):
    '''The pseudo-inverse.'''
    return operator.pinv(y)

@rk.hookimpl
def register_solvers(register):
    register(rk.Solver("inverse", "Moore 1920", solve, evaluations=lambda steps: 0))
"""
CHOOSING = """
import restorekit as rk
from typing import Annotated

@rk.recipe("double")
def double(y, prior, noise, *, solver: Annotated[rk.Solver, rk.SolverOption("How.", solver="inverse")]):
    '''Double.'''
    return 2 * solver.solve(prior, rk.Identity(), y, 0.0, noise, steps=1)

@rk.hookimpl
def register_recipes(register):
    register(double)
"""


def test_a_recipe_accepts_the_solver_of_a_plugin_by_name(install) -> None:
    plugin = next(p for p in install(inverse=SOLVERS, choosing=CHOOSING) if p.name == "inverse")
    assert [solver.name for solver in plugin.solvers] == ["inverse"]
    y = torch.full((1, 3, 4, 4), 0.25)
    for option in ({}, {"solver": "inverse"}, {"solver": plugin.solvers[0]}):
        torch.testing.assert_close(rk.double(y, GaussianPrior(), device="cpu", **option), 2 * y)
    with pytest.raises(rk.OptionError, match=r"double solver: unknown solver 'invers'. Did you mean 'inverse'"):
        rk.double(y, GaussianPrior(), solver="invers", device="cpu")


def test_solver_names_are_unique(install, monkeypatch) -> None:
    builtin = rk.Solver("inverse", "us", lambda *a: None)
    monkeypatch.setattr(found, "BUILT_IN_NEEDS", {"inverse": ()})
    monkeypatch.setattr(found, "_built_in_solvers", lambda: (builtin,))
    clash = next(p for p in install(inverse=SOLVERS) if p.name == "inverse")
    assert clash.error is not None
    assert "solver 'inverse' is already registered by restorekit" in clash.error
    assert found.solvers()["inverse"] is builtin


def test_all_solver_names_are_reserved() -> None:
    assert [solver.name for solver in found._built_in_solvers()] == list(BUILT_IN_NEEDS)


def test_plugins_with_solvers_are_listed_without_loading_torch(install) -> None:
    install(inverse=SOLVERS)
    code = (
        "import sys; from restorekit.plugins.discovery import plugin_named;"
        "sys.exit(not plugin_named('inverse').solvers or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_plugin_registers_everything_or_nothing(install) -> None:
    install(inverse=SOLVERS, mixed=GOOD + SOLVERS)
    mixed = found.plugin_named("mixed")
    assert mixed.state == "failed"
    assert "solver 'inverse' is already registered by inverse of dist-inverse" in str(mixed.error)
    assert "lighten" not in found.recipes()


@pytest.mark.parametrize(
    ("selection", "states"),
    [
        (None, ("ok", "ok")),
        ("", ("not selected", "not selected")),
        ("light", ("ok", "not selected")),
        ("dist_inverse", ("not selected", "ok")),
        ("light, dist-inverse", ("ok", "ok")),
        ("lihgt", ("not selected", "not selected")),
    ],
)
def test_plugins_can_be_selected(install, monkeypatch, capsys, selection: str | None, states: tuple[str, str]) -> None:
    install(light=GOOD, inverse=SOLVERS)
    if selection is not None:
        monkeypatch.setenv(found.SELECTION, selection)
    assert (found.plugin_named("light").state, found.plugin_named("dist-inverse").state) == states
    assert {"denoise", "inpaint"} <= set(found.recipes())
    assert ("lighten" in found.recipes()) == (states[0] == "ok")
    found.warn_about_broken_plugins()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == (selection == "lihgt")
    assert all(line.startswith("warning: RESTOREKIT_PLUGINS: unknown plugin 'lihgt'") for line in lines)


def test_a_plugin_that_ends_the_process_is_reported(install) -> None:
    install(quitting="import sys; sys.exit(3)", syntax="def (:")
    assert str(found.plugin_named("quitting").error).startswith("SystemExit: 3 (")
    assert str(found.plugin_named("syntax").error).endswith("syntax_module.py, line 1)")
    assert "quitting_module.py" in found.plugin_named("quitting").trace


def test_all_options_of_the_commands_are_reserved() -> None:
    assert tuple(name for name, *_ in COMMON) == reserved.COMMON
    assert {name for name, *_ in SAMPLES} <= set(reserved.OTHERS)
    for recipe in found.recipes().values():
        names = set(inspect.signature(typer_command(recipe)).parameters)
        common = {*reserved.COMMON} if recipe.model is not None else {*reserved.COMMON} - {"model"}
        assert names == {"inputs", *reserved.option_names(recipe), *common} | ({name for name, *_ in SAMPLES} & names)
