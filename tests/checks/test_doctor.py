"""`restorekit plugins doctor` agrees with `restorekit plugins`, and states what it did not check."""

from __future__ import annotations

import contextvars
import io
import json
from pathlib import Path

import pytest

from restorekit.checks import doctor
from restorekit.plugins import discovery
from tests.cli.test_plugin_commands import findings_of
from tests.plugins.test_discovery import GOOD, PRIORS

FLAT = PRIORS.replace("return", "if text == 'no such prior': raise rk.ModelError(text)\n    return")
EXAMPLE = "\ndef examples():\n    return {'flat': '0.5'}\n"


@pytest.fixture
def imports_here(monkeypatch) -> None:
    """Import the plugins in this process, where the doctor uses another one, and check nothing else."""

    def examine(plugin: discovery.Plugin, timeout: float) -> list[doctor.Finding]:
        return [doctor.Finding("imports", None)]

    def run(words: list[str], variables: dict[str, str], timeout: float) -> tuple[str, str]:
        out = io.StringIO()
        # A new context imports plugins, like a separate process.
        contextvars.Context().run(doctor.list_imports, out)
        return out.getvalue(), ""

    monkeypatch.setattr("restorekit.cli.plugin_commands.examine", examine)
    monkeypatch.setattr(doctor, "_run", run)


@pytest.mark.usefixtures("imports_here")
@pytest.mark.parametrize("words", [(), ("two",)])
def test_two_plugins_with_the_same_recipe_are_reported(install, restorekit, words: tuple[str, ...]) -> None:
    install(one=GOOD, two=GOOD)
    error = discovery.plugin_named("two").error
    assert "recipe 'lighten' is already registered by one of dist-one" in str(error)
    code, out, _ = restorekit("plugins", "doctor", *words)
    assert code == 1
    assert f"failed  two  imports with the other plugins: {error}\n" in out
    assert ("ok      one  imports with the other plugins\n" in out) == (not words)


@pytest.mark.usefixtures("imports_here")
def test_plugins_that_are_not_selected_are_not_compared(install, restorekit, monkeypatch) -> None:
    monkeypatch.setenv(discovery.SELECTION, "one")
    install(one=GOOD, two=GOOD)
    out = restorekit("plugins", "doctor", "two")[1]
    assert "skipped two  imports with the other plugins: not selected by RESTOREKIT_PLUGINS\n" in out


def test_all_plugins_are_imported_in_one_process(install) -> None:
    install(one=GOOD, two=GOOD)
    found = doctor.examine_together(None)
    assert found[("one", "dist-one")] == doctor.Finding(doctor.TOGETHER, None)
    assert "already registered by one of dist-one" in str(found[("two", "dist-two")].error)
    assert doctor.examine_together("two")[("two", "dist-two")].error is None
    assert doctor.examine_together(None, timeout=0.001) == {}


def test_an_interrupted_doctor_ends_with_a_line(install, restorekit, monkeypatch) -> None:
    def examine(plugin: discovery.Plugin, timeout: float) -> list[doctor.Finding]:
        raise KeyboardInterrupt

    install(light=GOOD)
    monkeypatch.setattr("restorekit.cli.plugin_commands.examine", examine)
    assert restorekit("plugins", "doctor", "light") == (130, "", "interrupted\n")


def test_a_newer_restorekit_is_required(install, tmp_path: Path) -> None:
    install(light=GOOD)
    metadata = tmp_path / "dist_light-1.2.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text() + "Requires-Dist: restorekit>=9.0\n")
    install()
    (finding,) = findings_of("light", "dist-light").items()
    assert finding[0] == "imports"
    assert str(finding[1]).startswith("dist-light 1.2 requires restorekit >=9.0, found ")


def test_a_prior_without_an_example_is_not_checked(install, restorekit) -> None:
    install(flat=FLAT)
    out = io.StringIO()
    doctor.main("flat", "dist-flat", out)
    findings = doctor.read_findings(out.getvalue(), "ended")
    assert [finding.error for finding in findings] == [None] * len(findings)
    (skipped,) = [finding for finding in findings if finding.skipped]
    assert skipped.check == "prior family flat: its priors"
    assert 'noise removal were not checked; allowed: a function examples() that returns {"flat": "TEXT"}' in str(
        skipped.skipped
    )
    assert json.loads(out.getvalue().splitlines()[-2])["skipped"] == skipped.skipped


def test_a_prior_with_an_example_is_checked(install) -> None:
    install(flat=FLAT + EXAMPLE)
    found = findings_of("flat", "dist-flat")
    assert set(found.values()) == {None}
    assert {"prior flat:0.5: loads", "prior flat:0.5: batch equals single images"} <= set(found)


@pytest.mark.parametrize(
    ("facts", "error"),
    [
        (
            "rk.PriorInfo('3', None, 0.1, 1)",
            "model flat:0.5: TypeError: PriorInfo: channels is '3', allowed: an integer (",
        ),
        ("{'channels': 3}", "model flat:0.5: the attribute info of the prior is dict, allowed: rk.PriorInfo"),
    ],
)
def test_facts_of_a_wrong_type_are_reported(install, facts: str, error: str) -> None:
    source = FLAT.replace("return GaussianPrior", f"p = GaussianPrior(); p.info = {facts}; return p or GaussianPrior")
    install(flat=source + EXAMPLE)
    assert str(findings_of("flat", "dist-flat")["prior flat:0.5: loads"]).startswith(error)
