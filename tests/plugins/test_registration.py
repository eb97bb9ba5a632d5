"""Entry points and registrations that are wrong are reported in one line, and nothing else is affected."""

from __future__ import annotations

from pathlib import Path

import pytest

import restorekit as rk
from restorekit.plugins import discovery
from tests.cli.test_plugin_commands import findings_of, rows_of
from tests.plugins.test_discovery import GOOD

NOTHING = "registers nothing: no function is decorated with @rk.hookimpl"


def write_entry_point(folder: Path, name: str, value: str) -> None:
    """Replace the entry point of an installed distribution."""
    (folder / f"dist_{name}-1.2.dist-info" / "entry_points.txt").write_text(f"[restorekit]\n{name} = {value}\n")
    discovery.clear_cache()


@pytest.mark.parametrize("value", ["not/a-module", "", "module:", "..up"])
def test_a_malformed_entry_point_fails_alone(install, restorekit, tmp_path: Path, value: str) -> None:
    with discovery.without_imports():
        install(light=GOOD, odd="")
    write_entry_point(tmp_path, "odd", value)
    odd = discovery.plugin_named("odd")
    assert (odd.state, discovery.plugin_named("light").state) == ("failed", "ok")
    assert callable(rk.lighten)
    code, out, err = restorekit("plugins", "info", "odd")
    assert code == 0
    assert out.startswith("odd of dist-odd 1.2: failed\n")
    (line,) = err.splitlines()
    assert line == f"warning: plugin odd of dist-odd: {odd.error}"
    if value != "..up":
        assert odd.error == f"found the entry point odd = {value}, allowed: a module, such as package.module"
    assert findings_of("odd", "dist-odd") == {"imports": odd.error}


def test_a_malformed_entry_point_is_left_out_by_selection(install, restorekit, tmp_path: Path, monkeypatch) -> None:
    with discovery.without_imports():
        install(odd="")
    write_entry_point(tmp_path, "odd", "not/a-module")
    monkeypatch.setenv(discovery.SELECTION, "")
    code, out, err = restorekit("plugins")
    assert (code, err) == (0, "")
    assert ["odd", "dist-odd 1.2", "not selected"] in rows_of(out)


def test_a_distribution_without_a_name_is_listed(install, tmp_path: Path) -> None:
    with discovery.without_imports():
        install(light=GOOD)
    (tmp_path / "dist_light-1.2.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\n")
    discovery.clear_cache()
    light = discovery.plugin_named("light")
    assert (light.distribution, light.version, light.state) == ("unknown", "unknown", "ok")


def test_a_plugin_that_registers_nothing_states_why(install, restorekit) -> None:
    install(
        empty="x = 1",
        bare=GOOD.replace("@rk.hookimpl", ""),
        idle=GOOD.replace("    register(lighten)", "    pass"),
    )
    rows = {row[0]: row[2:] for row in rows_of(restorekit("plugins")[1])}
    assert rows["empty"] == rows["bare"] == ["ok", NOTHING]
    assert rows["idle"] == ["ok", "registers nothing: no call of register(...) in register_recipes"]
    assert NOTHING in restorekit("plugins", "info", "bare")[1].splitlines()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("= 0.5", "= -1", "TypeError: recipe 'lighten': parameter 'amount': default -1, allowed: a number >= 0 ("),
        ('@rk.recipe("lighten")', "@rk.recipe", 'recipe lighten: the decorator has no name, allowed: @rk.recipe("name'),
        (
            '@rk.recipe("lighten")',
            "",
            "found the function lighten, which is not decorated with @rk.recipe(NAME), allowed: register(recipe)",
        ),
    ],
)
def test_a_wrong_decorator_is_an_error_with_its_line(install, old: str, new: str, message: str) -> None:
    install(wrong=GOOD.replace(old, new))
    wrong = discovery.plugin_named("wrong")
    assert wrong.state == "failed"
    assert message in str(wrong.error)
    assert "wrong_module.py, line " in str(wrong.error)


def test_a_short_traceback_contains_the_lines_of_the_plugin_only(install, restorekit, tmp_path: Path) -> None:
    install(deep="def first():\n    raise ValueError('no')\n\nfirst()\n", syntax="def f(:\n")
    error, *lines = restorekit("plugins", "info", "deep")[1].splitlines()[2:]
    assert error.startswith("error: ValueError: no (")
    files = [line.strip() for line in lines if line.strip().startswith("File ")]
    module = tmp_path / "deep_module.py"
    assert files == [f'File "{module}", line 4, in <module>', f'File "{module}", line 2, in first']
    assert "    def f(:" in restorekit("plugins", "info", "syntax")[1]
