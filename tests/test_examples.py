from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

EXAMPLES = Path(__file__).parents[1] / "examples"


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_only_annealing_finds_the_weights_of_the_modes(tmp_path: Path, monkeypatch, capsys) -> None:
    low_density = example("low_density")
    monkeypatch.setattr(sys, "argv", ["low_density.py", str(tmp_path / "figure.png")])
    low_density.main()
    lines = capsys.readouterr().out.splitlines()
    shares = {line.split()[0]: float(line.split()[1]) for line in lines[1:5]}
    assert shares["exact"] == pytest.approx(0.8, abs=0.02)
    assert shares["annealed"] == pytest.approx(0.8, abs=0.03)
    assert shares["Langevin"] < 0.6
    assert shares["MALA"] < 0.6
    assert lines[5].startswith("MALA accepted 8")
    with Image.open(tmp_path / "figure.png") as figure:
        assert figure.size == (864, 288)
