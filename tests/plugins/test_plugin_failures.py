"""What an installed plugin does wrong while it runs is one line, with the file and line of the plugin."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.models.small import small_model
from tests.run.test_folder import save

RECIPE = """
import restorekit as rk

@rk.recipe("picky")
def picky(y, prior, noise):
    '''Fail for photos of 50 columns.'''
    if y.shape[-1] == 50:
        RESULT
    return y

@rk.hookimpl
def register_recipes(register):
    register(picky)
"""
PRIOR = """
import restorekit as rk

class Raising:
    info = rk.PriorInfo(3, None, 0.01, 10.0)

    def __call__(self, x, sigma, label=None):
        raise ValueError("no such luck")

@rk.hookimpl
def register_priors(register):
    register(rk.PriorFamily("raising", lambda text: Raising() if text else {}["a"], "Anything."))
"""


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name, width in (("a.png", 40), ("b.png", 50), ("c.png", 44)):
        save(tmp_path / "in" / name, 32, width, 3)
    return tmp_path / "in"


@pytest.mark.parametrize(
    ("result", "message", "line"),
    [
        ("raise ValueError('too wide')", "ValueError: too wide", 8),
        ("return None", "recipe picky: returned None, allowed: a tensor of shape (1, 3, 32, 50)", 4),
        ("return y.numpy()", "recipe picky: returned an object of type ndarray, allowed: a tensor of shape", 4),
        ("return y[..., 1:]", "recipe picky: returned shape (1, 3, 32, 49), allowed: (1, 3, 32, 50)", 4),
        ("return y.int()", "recipe picky: returned torch.int32, allowed: a floating-point type", 4),
    ],
)
def test_a_failure_names_the_photo_and_the_plugin(
    install, restorekit, photos: Path, tmp_path: Path, result: str, message: str, line: int
) -> None:
    install(picky=RECIPE.replace("RESULT", result))
    words = ("picky", photos, "--model", small_model(tmp_path / "model"), "-o", tmp_path / "out")
    code, out, err = restorekit(*words)
    assert (code, out) == (1, f"picky: 2 restored to {tmp_path / 'out'}, 1 failed\n")
    assert err.startswith(f"failed: {photos / 'b.png'}: {message}")
    assert f"({tmp_path / 'picky_module.py'}, line {line})" in err
    assert len(err.splitlines()) == 1
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == ["a.png", "c.png"]


@pytest.mark.parametrize(("flags", "variable"), [(["--debug"], ""), ([], "1"), ([], "0")])
def test_the_traceback_is_printed_on_request(
    install, restorekit, photos: Path, tmp_path: Path, monkeypatch, flags: list[str], variable: str
) -> None:
    install(picky=RECIPE.replace("RESULT", "raise ValueError('too wide')"))
    monkeypatch.setenv("RESTOREKIT_DEBUG", variable)
    model = small_model(tmp_path / "model")
    code, _, err = restorekit("picky", photos / "b.png", "--model", model, *flags)
    assert code == 1
    assert ("Traceback (most recent call last)" in err) == (variable != "0")


def test_a_prior_that_raises_is_named(install, restorekit, photos: Path) -> None:
    install(raising=PRIOR)
    code, _, err = restorekit("denoise", photos / "a.png", "--sigma", "20", "--model", "raising:x")
    assert code == 1
    assert "ValueError: no such luck (" in err
    assert "raising_module.py, line 8); --debug" in err
    code, _, err = restorekit("denoise", photos / "a.png", "--sigma", "20", "--model", "raising:")
    assert code == 1
    assert err.startswith("error: model raising:: KeyError: 'a' (")
    assert err.endswith("raising_module.py, line 12)\n")


def test_a_plugin_that_raises_in_another_command_is_named(install, restorekit, tmp_path: Path, monkeypatch) -> None:
    install(raising=PRIOR)
    words = ("sample", "--model", "raising:x", "-n", "1", "--size", "16", "-o", tmp_path / "grid.png")
    code, _, err = restorekit(*words)
    assert code == 1
    (line,) = err.splitlines()
    assert line.startswith("error: ValueError: no such luck (")
    assert line.endswith("raising_module.py, line 8); RESTOREKIT_DEBUG=1 shows the traceback")
    monkeypatch.setenv("RESTOREKIT_DEBUG", "1")
    with pytest.raises(ValueError, match="no such luck"):
        restorekit(*words)


def test_tracebacks_of_broken_plugins_are_printed_on_request(install, restorekit, monkeypatch) -> None:
    install(broken="raise RuntimeError('no such luck')")
    assert "File" not in restorekit("--version")[2]
    monkeypatch.setenv("RESTOREKIT_DEBUG", "1")
    assert 'broken_module.py", line 1, in <module>' in restorekit("--version")[2]


HELP = """
from typing import TYPE_CHECKING, Annotated

import restorekit as rk

if TYPE_CHECKING:
    from torch import Tensor

@rk.recipe("lift")
def lift(y, prior, noise, *, area: "Tensor | None" = None, rounds: int = 3,
         strength: Annotated[float, rk.Option(min=0, max=2)] = 0.5):
    '''Lift photos.

    Args:
        area: White marks what is lifted.
        rounds: Number of rounds.
        strength: How much of it.
    '''
    return y if area is None else y + 0.1 * area

@rk.hookimpl
def register_recipes(register):
    register(lift)
"""


def test_options_are_described_once(install, restorekit, photos: Path, tmp_path: Path) -> None:
    install(lift=HELP)
    code, out, _ = restorekit("lift", "--help")
    assert code == 0
    assert "Args:" not in out
    assert out.count("Number of rounds.") == 1
    assert "How much of it. Allowed: from 0 to 2." in " ".join(out.replace("│", " ").split())
    Image.new("L", (40, 32), "white").save(tmp_path / "area.png")
    model = small_model(tmp_path / "model")
    code, out, _ = restorekit("lift", photos / "a.png", "--area", tmp_path / "area.png", "--model", model)
    assert (code, (photos / "a-lift.png").exists()) == (0, True)
