"""`restorekit plugins` and `restorekit run` as a person types them."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restorekit import doctor, plugins
from restorekit.scaffold import new_package
from tests.models.small import small_model
from tests.run.test_folder import save
from tests.test_plugins import CHOOSING, GOOD, PRIORS, SOLVERS

BROKEN = "import nowhere_to_be_found"
SLIP = GOOD.replace("return y + much", "return y + moch")


def test_the_list_tells_the_state_of_every_plugin(install, restorekit, monkeypatch) -> None:
    install(light=GOOD, flat=PRIORS, inverse=SOLVERS, broken=BROKEN)
    code, out, err = restorekit("plugins")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith("complete  restorekit 0.")
    assert "light  dist-light 1.2  ok  recipes lighten" in lines
    assert "flat  dist-flat 1.2  ok  priors flat" in lines
    assert "inverse  dist-inverse 1.2  ok  solvers inverse" in lines
    failed = next(line for line in lines if line.startswith("broken"))
    assert failed.startswith("broken  dist-broken 1.2  failed: ModuleNotFoundError: No module named 'nowhere_to_be")
    assert len(err.splitlines()) == 1
    monkeypatch.setenv(plugins.SELECTION, "flat")
    _, out, err = restorekit("plugins")
    assert "light  dist-light 1.2  not selected" in out.splitlines()
    assert err == ""


def test_a_plugin_that_raises_at_import_leaves_the_others_working(install, restorekit, tmp_path: Path) -> None:
    install(broken=BROKEN)
    photo, model = save(tmp_path / "a.png", 20, 24, 3), small_model(tmp_path / "model")
    code, out, err = restorekit("denoise", photo, "--sigma", "25", "--model", model, "-o", tmp_path / "b.png")
    assert code == 0
    assert "1 restored" in out
    (line,) = err.splitlines()
    assert line.startswith("warning: plugin broken of dist-broken: ModuleNotFoundError: ")
    assert restorekit("--no-plugins", "denoise", photo, "--model", model, "-o", tmp_path / "c.png")[0::2] == (0, "")


def test_the_list_for_programs(install, restorekit) -> None:
    install(light=GOOD, broken=BROKEN)
    records = {record["name"]: record for record in json.loads(restorekit("plugins", "--json")[1])["plugins"]}
    light = {"name": "light", "distribution": "dist-light", "version": "1.2", "module": "light_module", "state": "ok"}
    assert records["light"] == light | {"error": None, "recipes": ["lighten"], "priors": [], "solvers": []}
    assert records["broken"]["state"] == "failed"
    assert records["broken"]["error"].endswith("broken_module.py, line 1)")
    documented = (Path(__file__).parents[1] / "docs" / "plugins.md").read_text(encoding="utf-8").split("--json`\n")[-1]
    assert all(f"`{key}`" in documented for key in records["light"])


def test_info_tells_all(install, restorekit, tmp_path: Path) -> None:
    install(light=GOOD, flat=PRIORS, inverse=SOLVERS, broken=BROKEN)
    metadata = tmp_path / "dist_light-1.2.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text() + "Summary: Lightens.\nProject-URL: Home, https://light.example\n")
    code, out, _ = restorekit("plugins", "info", "dist-light")
    assert code == 0
    lines = [line.strip() for line in out.splitlines()]
    assert lines[0] == "light of dist-light 1.2: ok"
    assert "summary   Lightens." in lines
    assert "home      https://light.example" in lines
    assert f"module    light_module ({tmp_path}/light_module.py)" in lines
    assert "recipe    lighten: Lighten." in lines
    assert "--much (a number from 0, default 0.5) How much." in lines
    assert "flat:TEXT  The mean." in restorekit("plugins", "info", "flat")[1]
    assert "solver    inverse: The pseudo-inverse. (Moore 1920)" in restorekit("plugins", "info", "inverse")[1]
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
        ("denoise", "there is a recipe 'denoise' already"),
        ("train", "named like a command"),
        ("run", "named like a command"),
        ("testing", "restorekit.testing is something else"),
        ("load-prior", "restorekit.load_prior is something else"),
        ("restorekit-demo", "allowed: NAME alone"),
        ("lambda", "means something"),
        ("rk", "means something"),
        ("examples", "means something"),
        ("there", "is there already; allowed: a new folder"),
    ],
)
def test_a_name_that_a_package_cannot_have(restorekit, tmp_path: Path, monkeypatch, name: str, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    code, _, err = restorekit("plugins", "new", name)
    assert code == 2
    assert message in err
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_a_new_package_is_complete_and_clean(tmp_path: Path) -> None:
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


def examined(name: str, distribution: str) -> dict[str, str | None]:
    """What doctor's process finds, in this one."""
    out = io.StringIO()
    doctor.main(name, distribution, out)
    return {finding.check: finding.error for finding in doctor.read_findings(out.getvalue(), "ended")}


def test_doctor_finds_nothing_wrong_with_what_is_right(install) -> None:
    install(
        light=GOOD, flat=PRIORS.replace("return", "if text == 'no such prior': raise rk.ModelError(text)\n    return")
    )
    found = examined("light", "dist-light")
    assert set(found.values()) == {None}
    assert {"imports", "brings something", "recipe lighten: odd size", "recipe lighten: with ddpm-photo"} <= set(found)
    assert examined("flat", "dist-flat")["priors flat: refuses what it does not know"] is None


def test_doctor_names_what_is_wrong(install) -> None:
    operator = "\n\nclass Wrong(rk.Masking):\n    def pinv(self, y):\n        return 2 * y\n"
    operators = "\n\ndef operators():\n    import torch\n    return [(Wrong(torch.ones(1, 1, 4, 4)), (1, 3, 4, 4))]\n"
    install(
        slip=SLIP,
        wrong=GOOD.replace('"lighten"', '"wrong"').replace("= 0.5", "= -1") + operator + operators,
        flat=PRIORS,
        inverse=SOLVERS.replace("return operator", "import torch; return torch.rand(1, 3, 24, 24) + operator"),
        broken=BROKEN,
        nothing="x = 1",
    )
    slip = examined("slip", "dist-slip")
    assert "NameError: name 'moch' is not defined" in str(slip["recipe lighten: photo"])
    assert "slip_module.py, line 9)" in str(slip["recipe lighten: photo"])
    wrong = examined("wrong", "dist-wrong")
    assert "option much: its default is -1, allowed: a number from 0" in str(wrong["recipe wrong: options"])
    assert "A A^+ A x beside A x" in str(wrong["operator Wrong on 1 x 3 x 4 x 4"])
    assert "ValueError" in str(examined("flat", "dist-flat")["priors flat: refuses what it does not know"])
    assert "two answers differ" in str(
        examined("inverse", "dist-inverse")["solver inverse: the same noise, the same answer"]
    )
    broken = examined("broken", "dist-broken")
    assert list(broken) == ["imports"]
    assert "No module named 'nowhere_to_be_found'" in str(broken["imports"])
    assert "nothing; allowed: register_" in str(examined("nothing", "dist-nothing")["brings something"])


NEEDY = GOOD.replace("return y + much", "if much == 0.5: raise rk.OptionError('much: found 0.5')\n    return y + much")


def test_doctor_gives_recipes_the_options_of_examples(install) -> None:
    install(needy=NEEDY)
    assert "much: found 0.5" in str(examined("needy", "dist-needy")["recipe lighten: photo"])
    install(served=NEEDY.replace("lighten", "serve") + "\ndef examples():\n    return {'serve': {'much': 0.1}}\n")
    assert set(examined("served", "dist-served").values()) == {None}
    install(loose=GOOD.replace("lighten", "loose") + "\ndef examples():\n    return 1 / 0\n")
    found = examined("loose", "dist-loose")
    assert [check for check, error in found.items() if error] == ["examples()"]
    assert "ZeroDivisionError" in str(found["examples()"])


def test_doctor_names_functions_that_return_something_else(install) -> None:
    names = ("bare", "none", "named", "module")
    sources = (
        "def operators():\n    return [rk.Identity()]",
        "def operators():\n    pass",
        "def examples():\n    return {'named': 5}",
        "import json as operators, json as examples",
    )
    own = {name: GOOD.replace("lighten", name) + f"\n{source}\n" for name, source in zip(names, sources, strict=True)}
    install(**own)
    found = {name: examined(name, f"dist-{name}") for name in names}
    assert "returns Identity(), allowed: a list of pairs, (operator, (N, C, H, W))" in str(found["bare"]["operators()"])
    assert "returns NoneType, allowed: a list of pairs" in str(found["none"]["operators()"])
    assert "returns {'named': 5}, allowed: {" in str(found["named"]["examples()"])
    assert set(found["module"].values()) == {None}
    assert all(f"recipe {name}: odd size" in found[name] for name in names), "the other checks go on"


def test_a_process_that_ends_between_two_checks_is_not_well() -> None:
    lines = '{"begun": "imports"}\n{"check": "imports", "error": null}\n'
    good = doctor.Finding("imports", None)
    assert doctor.read_findings(lines, "killed") == [good, doctor.Finding("the next check", "killed")]
    assert doctor.read_findings(lines + '{"done": true}\n', "killed") == [good]


def test_doctor_names_one_that_ends_the_process_or_takes_too_long(install, restorekit, monkeypatch) -> None:
    install()
    with plugins.unimported():
        install(quitting="import os\nos._exit(9)")
    code, out, err = restorekit("plugins", "doctor", "quitting")
    assert code == 1
    assert out.splitlines() == [
        "failed  quitting  imports: the process ended with exit code 9",
        "doctor: 1 plugins, 1 checks failed",
    ]
    assert err == ""
    with plugins.unimported():
        quitting = plugins.plugin_named("quitting")
    (found,) = doctor.examine(quitting, timeout=0.001)
    assert found == doctor.Finding("imports", "took longer than 0.001 seconds; allowed: less (--timeout)")


def test_doctor_of_all_and_its_exit_code(install, restorekit, monkeypatch) -> None:
    install(light=GOOD)
    asked: list[str] = []

    def examine(plugin: plugins.Plugin, timeout: float) -> list[doctor.Finding]:
        asked.append(plugin.name)
        return [doctor.Finding("imports", None)]

    monkeypatch.setattr("restorekit.plugin_commands.examine", examine)
    monkeypatch.setenv(plugins.SELECTION, "light")
    code, out, _ = restorekit("plugins", "doctor")
    assert code == 0
    assert asked == ["complete", "denoise", "inpaint", "light"]
    assert out.splitlines()[-2:] == ["ok      light  imports", "doctor: 4 plugins, 0 checks failed"]


def test_what_a_plugin_prints_is_no_finding(install) -> None:
    install(loud="print('hello')\nimport os\nos.system('echo hello')\n")
    found = doctor.examine(plugins.plugin_named("loud"))
    assert [finding.check for finding in found] == ["imports", "brings something"]


def test_a_solver_is_an_option(install, restorekit, tmp_path: Path) -> None:
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
    flags = ["--much", "0.2", "--model", model, "-o", tmp_path / "b.png"]
    code, out, err = restorekit("run", file, tmp_path / "a.png", *flags)
    assert (code, err) == (0, "")
    assert "lighten: 1 restored" in out
    assert (np.asarray(Image.open(tmp_path / "b.png")) == 126).all()
    code, out, _ = restorekit("run", file, "--help")
    assert code == 0
    assert "--much" in out
    assert "Lighten." in out
    assert "--tile" in out
    code, out, _ = restorekit("run", "--help")
    assert code == 0
    assert "--recipe" in out
    code, _, err = restorekit("run", file, tmp_path / "a.png", "--much", "-1")
    assert code == 2
    assert "allowed: a number from 0" in err


def test_a_file_with_several_recipes_asks_which(file: Path, restorekit, tmp_path: Path) -> None:
    more = GOOD.replace('"lighten"', '"darken"').replace("def lighten", "def darken").replace("(lighten)", "(darken)")
    file.write_text(GOOD + more)
    code, _, err = restorekit("run", file, "a.png")
    assert code == 2
    assert "has several recipes; allowed: --recipe lighten, --recipe darken" in err
    code, out, _ = restorekit("run", "--recipe", "darken", file, "--help")
    assert code == 0
    assert "--much" in out
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
        ("x = 1\n", "no recipe in it; allowed: a function with @rk.recipe(NAME)"),
        (GOOD.replace("much:", "seed:"), "every recipe has an option 'seed'"),
        (SLIP, "line 9: NameError: name 'moch' is not defined"),
    ],
)
def test_an_error_in_a_file_is_one_line_with_its_place(
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


@pytest.mark.parametrize(
    ("name", "message"),
    [("none.py", "there is no such file"), ("a.txt", "not a Python file"), (".", "not a Python file")],
)
def test_what_is_no_file_with_a_recipe(restorekit, tmp_path: Path, monkeypatch, name: str, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("x")
    code, _, err = restorekit("run", name, "a.png")
    assert code == 2
    assert err == f"error: run: {name}: {message}; allowed: a file .py with a recipe\n"


def test_errors_that_are_not_the_files_own_keep_their_words(file: Path, restorekit, tmp_path: Path) -> None:
    assert restorekit("run", file, tmp_path / "none.png")[2].endswith(
        f"there is no such file or folder (in {Path.cwd()})\n"
    )
    assert "No such option" in restorekit("run", file, "a.png", "--mcuh", "1")[2]
