"""`restorekit plugins` and `restorekit run`."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restorekit.checks import doctor
from restorekit.plugins import discovery
from restorekit.plugins.scaffold import new_package
from tests.models.small import small_model
from tests.plugins.test_discovery import CHOOSING, GOOD, PRIORS, SOLVERS
from tests.run.test_folder import save

BROKEN = "import nowhere_to_be_found"
SLIP = GOOD.replace("return y + amount", "return y + amuont")


def rows_of(table: str) -> list[list[str]]:
    """The cells of a printed table."""
    return [re.split(r" {2,}", line) for line in table.splitlines()]


def test_plugins_are_listed_with_their_state(install, restorekit, monkeypatch) -> None:
    install(light=GOOD, flat=PRIORS, inverse=SOLVERS, broken=BROKEN)
    code, out, err = restorekit("plugins")
    assert code == 0
    header, *rows = rows_of(out)
    assert header == ["name", "distribution", "state", "contents"]
    assert rows[0][0] == "complete"
    assert ["light", "dist-light 1.2", "ok", "recipes lighten"] in rows
    assert ["flat", "dist-flat 1.2", "ok", "priors flat"] in rows
    assert ["inverse", "dist-inverse 1.2", "ok", "solvers inverse"] in rows
    failed = next(row for row in rows if row[0] == "broken")
    assert failed[1:3] == ["dist-broken 1.2", "failed"]
    assert failed[3].startswith("ModuleNotFoundError: No module named 'nowhere_to_be_found' (")
    assert len(err.splitlines()) == 1
    monkeypatch.setenv(discovery.SELECTION, "flat")
    _, out, err = restorekit("plugins")
    assert ["light", "dist-light 1.2", "not selected"] in rows_of(out)
    assert err == ""


def test_a_plugin_that_raises_at_import_leaves_the_others_working(install, restorekit, tmp_path: Path) -> None:
    install(broken=BROKEN)
    photo, model = save(tmp_path / "a.png", 20, 24, 3), small_model(tmp_path / "model")
    code, out, err = restorekit("denoise", photo, "--sigma", "25", "--model", model, "-o", tmp_path / "b.png")
    assert code == 0
    assert "1 restored" in out
    (line,) = err.splitlines()
    assert line.startswith("warning: plugin broken of dist-broken: ModuleNotFoundError: ")
    words = ("denoise", photo, "--sigma", "25", "--model", model, "-o", tmp_path / "c.png")
    assert restorekit("--no-plugins", *words)[0::2] == (0, "")


def test_plugins_are_listed_as_json(install, restorekit) -> None:
    install(light=GOOD, broken=BROKEN)
    records = {record["name"]: record for record in json.loads(restorekit("plugins", "--json")[1])["plugins"]}
    light = {"name": "light", "distribution": "dist-light", "version": "1.2", "module": "light_module", "state": "ok"}
    assert records["light"] == light | {"error": None, "recipes": ["lighten"], "priors": [], "solvers": []}
    assert records["broken"]["state"] == "failed"
    assert records["broken"]["error"].endswith("broken_module.py, line 1)")
    documented = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8").split("--json`\n")[-1]
    assert all(f"`{key}`" in documented for key in records["light"])


def test_info_lists_all_facts(install, restorekit, tmp_path: Path) -> None:
    install(light=GOOD, flat=PRIORS, inverse=SOLVERS, broken=BROKEN)
    metadata = tmp_path / "dist_light-1.2.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text() + "Summary: Lightens.\nProject-URL: Home, https://light.example\n")
    code, out, _ = restorekit("plugins", "info", "dist-light")
    assert code == 0
    title, *rows = rows_of(out)
    assert title == ["light of dist-light 1.2: ok"]
    assert rows == [
        ["summary", "Lightens."],
        ["home", "https://light.example"],
        ["module", f"light_module ({tmp_path}/light_module.py)"],
        ["recipe lighten", "Lighten."],
        ["", "--amount", "Amount. (a number >= 0, default 0.5)"],
    ]
    assert ["prior flat:TEXT", "The mean."] in rows_of(restorekit("plugins", "info", "flat")[1])
    inverse = rows_of(restorekit("plugins", "info", "inverse")[1])
    assert ["solver inverse", "The pseudo-inverse. (Moore 1920)"] in inverse
    out = restorekit("plugins", "info", "broken")[1]
    assert f"({tmp_path}/broken_module.py)" in out
    assert BROKEN in out
    code, _, err = restorekit("plugins", "info", "lihgt")
    assert code == 2
    assert "Did you mean 'light'" in err


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Demo", "lower-case words joined by hyphens"),
        ("denoise", "a recipe 'denoise' already exists"),
        ("train", "the name is a command"),
        ("run", "the name is a command"),
        ("testing", "restorekit.testing already exists"),
        ("load-prior", "restorekit.load_prior already exists"),
        ("restorekit-demo", "NAME without the prefix"),
        ("lambda", "is reserved in the package"),
        ("rk", "is reserved in the package"),
        ("examples", "is reserved in the package"),
        ("there", "already exists; allowed: a new folder"),
    ],
)
def test_invalid_package_names_are_rejected(restorekit, tmp_path: Path, monkeypatch, name: str, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    code, _, err = restorekit("plugins", "new", name)
    assert code == 2
    assert message in err
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_a_new_package_is_complete_and_passes_the_linter(tmp_path: Path) -> None:
    files = new_package("two-words", tmp_path)
    texts = {str(file.relative_to(tmp_path / "two-words")): file.read_text() for file in files}
    assert set(texts) == {
        "pyproject.toml", "restorekit_two_words.py", "tests/test_two_words.py", "README.md",
        ".github/workflows/test.yml", ".gitignore",
    }  # fmt: skip
    assert not any("{{" in text.replace("${{", "") for text in texts.values())
    assert "def two_words(" in texts["restorekit_two_words.py"]
    for check in (["check", "--isolated", "--select", "E,F,W,I,B,UP,SIM,RUF"], ["format", "--isolated", "--check"]):
        command = [sys.executable, "-m", "ruff", *check, "--line-length", "120", "."]
        done = subprocess.run(command, cwd=tmp_path / "two-words", capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def findings_of(name: str, distribution: str) -> dict[str, str | None]:
    """The findings of the doctor, without a separate process."""
    out = io.StringIO()
    doctor.main(name, distribution, out)
    return {finding.check: finding.error for finding in doctor.read_findings(out.getvalue(), "ended")}


def test_doctor_accepts_valid_plugins(install) -> None:
    install(
        light=GOOD, flat=PRIORS.replace("return", "if text == 'no such prior': raise rk.ModelError(text)\n    return")
    )
    found = findings_of("light", "dist-light")
    assert set(found.values()) == {None}
    assert {"imports", "registers something", "recipe lighten: odd size", "recipe lighten: with ddpm-photo"} <= set(
        found
    )
    assert findings_of("flat", "dist-flat")["prior family flat: rejects unknown names"] is None


def test_doctor_reports_what_is_wrong(install) -> None:
    operator = "\n\nclass Wrong(rk.Masking):\n    def pinv(self, y):\n        return 2 * y\n"
    operators = "\n\ndef operators():\n    import torch\n    return [(Wrong(torch.ones(1, 1, 4, 4)), (1, 3, 4, 4))]\n"
    install(
        slip=SLIP,
        wrong=GOOD.replace('"lighten"', '"wrong"').replace('"Amount."', '""') + operator + operators,
        flat=PRIORS,
        inverse=SOLVERS.replace("return operator", "import torch; return torch.rand(1, 3, 24, 24) + operator"),
        broken=BROKEN,
        nothing="x = 1",
    )
    slip = findings_of("slip", "dist-slip")
    assert "NameError: name 'amuont' is not defined" in str(slip["recipe lighten: photo"])
    assert "slip_module.py, line 9)" in str(slip["recipe lighten: photo"])
    wrong = findings_of("wrong", "dist-wrong")
    assert "option amount: no help; allowed: one sentence" in str(wrong["recipe wrong: options"])
    assert "A A^+ A x and A x" in str(wrong["operator Wrong on 1 x 3 x 4 x 4"])
    assert "ValueError" in str(findings_of("flat", "dist-flat")["prior family flat: rejects unknown names"])
    assert "two results differ" in str(findings_of("inverse", "dist-inverse")["solver inverse: reproducible"])
    broken = findings_of("broken", "dist-broken")
    assert list(broken) == ["imports"]
    assert "No module named 'nowhere_to_be_found'" in str(broken["imports"])
    assert "found no recipe, prior or solver; allowed: a function register_" in str(
        findings_of("nothing", "dist-nothing")["registers something"]
    )


PICKY = GOOD.replace(
    "return y + amount", "if amount == 0.5: raise rk.OptionError('amount: found 0.5')\n    return y + amount"
)


def test_doctor_uses_the_options_of_examples(install) -> None:
    install(picky=PICKY)
    assert "amount: found 0.5" in str(findings_of("picky", "dist-picky")["recipe lighten: photo"])
    install(served=PICKY.replace("lighten", "serve") + "\ndef examples():\n    return {'serve': {'amount': 0.1}}\n")
    assert set(findings_of("served", "dist-served").values()) == {None}
    install(loose=GOOD.replace("lighten", "loose") + "\ndef examples():\n    return 1 / 0\n")
    found = findings_of("loose", "dist-loose")
    assert [check for check, error in found.items() if error] == ["examples()"]
    assert "ZeroDivisionError" in str(found["examples()"])


def test_doctor_reports_functions_that_return_the_wrong_type(install) -> None:
    names = ("bare", "none", "named", "module")
    sources = (
        "def operators():\n    return [rk.Identity()]",
        "def operators():\n    pass",
        "def examples():\n    return {'named': 5}",
        "import json as operators, json as examples",
    )
    modules = {
        name: GOOD.replace("lighten", name) + f"\n{source}\n" for name, source in zip(names, sources, strict=True)
    }
    install(**modules)
    found = {name: findings_of(name, f"dist-{name}") for name in names}
    assert "returns Identity(), allowed: a list of pairs, (operator, (N, C, H, W))" in str(found["bare"]["operators()"])
    assert "returns NoneType, allowed: a list of pairs" in str(found["none"]["operators()"])
    assert "returns {'named': 5}, allowed: {" in str(found["named"]["examples()"])
    assert set(found["module"].values()) == {None}
    assert all(f"recipe {name}: odd size" in found[name] for name in names), "the other checks still run"


def test_a_process_that_ends_between_two_checks_is_reported_as_a_failure() -> None:
    lines = '{"started": "imports"}\n{"check": "imports", "error": null}\n'
    passed = doctor.Finding("imports", None)
    assert doctor.read_findings(lines, "killed") == [passed, doctor.Finding("the next check", "killed")]
    assert doctor.read_findings(lines + '{"done": true}\n', "killed") == [passed]


def test_doctor_reports_a_plugin_that_ends_the_process_or_takes_too_long(install, restorekit, monkeypatch) -> None:
    install()
    with discovery.without_imports():
        install(quitting="import os\nos._exit(9)")
    code, out, err = restorekit("plugins", "doctor", "quitting")
    assert code == 1
    assert out.splitlines() == [
        "failed  quitting  imports: the process exited with code 9",
        "doctor: 1 plugins, 1 failed checks",
    ]
    assert err == ""
    with discovery.without_imports():
        quitting = discovery.plugin_named("quitting")
    (found,) = doctor.examine(quitting, timeout=0.001)
    assert found == doctor.Finding("imports", "took longer than 0.001 seconds (--timeout)")


def test_doctor_checks_all_selected_plugins(install, restorekit, monkeypatch) -> None:
    install(light=GOOD)
    examined_plugins: list[str] = []

    def examine(plugin: discovery.Plugin, timeout: float) -> list[doctor.Finding]:
        examined_plugins.append(plugin.name)
        return [doctor.Finding("imports", None)]

    monkeypatch.setattr("restorekit.cli.plugin_commands.examine", examine)
    monkeypatch.setattr("restorekit.cli.plugin_commands.examine_together", lambda *arguments: {})
    monkeypatch.setenv(discovery.SELECTION, "light")
    code, out, _ = restorekit("plugins", "doctor")
    assert code == 0
    assert examined_plugins == ["complete", "denoise", "inpaint", "light"]
    assert out.splitlines()[-3:] == [
        "ok      light  imports",
        "skipped light  imports with the other plugins: another plugin does not end; "
        "`restorekit plugins doctor` finds it",
        "doctor: 4 plugins, 0 failed checks",
    ]


def test_output_of_a_plugin_is_not_a_finding(install) -> None:
    install(loud="print('hello')\nimport os\nos.system('echo hello')\n")
    found = doctor.examine(discovery.plugin_named("loud"))
    assert [finding.check for finding in found] == ["imports", "registers something"]


def test_a_solver_can_be_chosen_by_an_option(install, restorekit, tmp_path: Path) -> None:
    install(choosing=CHOOSING, inverse=SOLVERS)
    code, out, _ = restorekit("double", "--help")
    assert code == 0
    assert "--solver" in out
    assert "SOLVER" in out
    assert "default: inverse" in out
    photo, model = save(tmp_path / "a.png", 8, 8, 3), small_model(tmp_path / "model")
    assert restorekit("double", photo, "--model", model, "--solver", "inverse")[0] == 0
    assert (tmp_path / "a-double.png").exists()
    code, _, err = restorekit("double", photo, "--model", model, "--solver", "inwerse", "--overwrite")
    assert code == 2
    assert "double solver: unknown solver 'inwerse'. Did you mean 'inverse'?" in err


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with one recipe."""
    path = tmp_path / "my_recipe.py"
    path.write_text(GOOD + "\nfrom restorekit.builtin.denoise import denoise\n")
    return path


def test_a_recipe_in_a_file_runs(file: Path, restorekit, tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 9, 3), 100, np.uint8)).save(tmp_path / "a.png")
    model = small_model(tmp_path / "model")
    flags = ["--amount", "0.2", "--model", model, "-o", tmp_path / "b.png"]
    code, out, err = restorekit("run", file, tmp_path / "a.png", *flags)
    assert (code, err) == (0, "")
    assert "lighten: 1 restored" in out
    assert (np.asarray(Image.open(tmp_path / "b.png")) == 126).all()
    code, out, _ = restorekit("run", file, "--help")
    assert code == 0
    assert "--amount" in out
    assert "Lighten." in out
    assert "--tile" in out
    code, out, _ = restorekit("run", "--help")
    assert code == 0
    assert "--recipe" in out
    code, _, err = restorekit("run", file, tmp_path / "a.png", "--amount", "-1")
    assert code == 2
    assert "allowed: a number >= 0" in err


def test_a_file_with_several_recipes_requires_a_choice(file: Path, restorekit, tmp_path: Path) -> None:
    more = GOOD.replace('"lighten"', '"darken"').replace("def lighten", "def darken").replace("(lighten)", "(darken)")
    file.write_text(GOOD + more)
    code, _, err = restorekit("run", file, "a.png")
    assert code == 2
    assert "2 recipes; allowed: --recipe lighten, --recipe darken" in err
    code, out, _ = restorekit("run", "--recipe", "darken", file, "--help")
    assert code == 0
    assert "--amount" in out
    code, _, err = restorekit("run", file, "a.png", "--recipe", "darker")
    assert code == 2
    assert "unknown recipe 'darker'. Did you mean 'darken'" in err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import restorekit\nrestorekit.recipe('a b')\n", "line 2: TypeError: recipe 'a b': allowed"),
        ("def f(:\n", "line 1: SyntaxError"),
        ("1 / 0\n", "line 1: ZeroDivisionError: division by zero"),
        ("import sys\n\nsys.exit('no')\n", "line 3: SystemExit: no"),
        ("x = 1\n", "no recipe in this file; allowed: a function with @rk.recipe(NAME)"),
        (GOOD.replace("amount:", "seed:"), "every recipe has an option 'seed'"),
    ],
)
def test_an_error_in_a_file_is_reported_with_its_line(
    file: Path, restorekit, tmp_path: Path, text: str, message: str
) -> None:
    file.write_text(text)
    model, photo = small_model(tmp_path / "model"), save(tmp_path / "a.png", 8, 8, 3)
    code, _, err = restorekit("run", file, photo, "--model", model)
    assert code in (1, 2)
    (line,) = err.splitlines()
    assert line.startswith("error: ")
    assert str(file) in line or "recipe 'lighten'" in line
    assert message in line


def test_an_error_of_a_recipe_in_a_file_is_the_failure_of_the_photo(file: Path, restorekit, tmp_path: Path) -> None:
    file.write_text(SLIP)
    model, photo = small_model(tmp_path / "model"), save(tmp_path / "a.png", 8, 8, 3)
    code, _, err = restorekit("run", file, photo, "--model", model)
    assert code == 1
    # Python 3.12 and later add "Did you mean: 'amount'?".
    assert err.startswith(f"failed: {photo}: NameError: name 'amuont' is not defined")
    assert err.endswith(f" ({file}, line 9); --debug shows the traceback\n")
    code, _, err = restorekit("run", file, photo, "--model", model, "--debug")
    assert "Traceback (most recent call last)" in err
    assert err.splitlines()[-1].startswith("NameError: name 'amuont' is not defined")


@pytest.mark.parametrize(
    ("name", "message"),
    [("none.py", "no such file"), ("a.txt", "not a Python file"), (".", "not a Python file")],
)
def test_a_path_that_is_not_a_recipe_file_is_rejected(
    restorekit, tmp_path: Path, monkeypatch, name: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("x")
    code, _, err = restorekit("run", name, "a.png")
    assert code == 2
    assert err == f"error: run: {name}: {message}; allowed: a Python file with a recipe\n"


def test_other_errors_are_not_attributed_to_the_file(file: Path, restorekit, tmp_path: Path) -> None:
    assert restorekit("run", file, tmp_path / "none.png")[2].endswith(f"no such file or folder (in {Path.cwd()})\n")
    assert "No such option" in restorekit("run", file, "a.png", "--mcuh", "1")[2]
