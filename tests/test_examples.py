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


def test_only_annealed_langevin_finds_the_mode_weights(tmp_path: Path, monkeypatch, capsys) -> None:
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


def test_every_class_completes_the_photo_differently(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["complete.py", str(tmp_path / "figure.png"), "--steps", "1"])
    example("complete").main()
    assert capsys.readouterr().out.split() == ["buildings", "forest", "glacier", "mountain", "sea", "street"]
    with Image.open(tmp_path / "figure.png") as figure:
        shown = [figure.crop((x, y, x + 192, y + 192)) for y in (0, 196) for x in (0, 196, 392, 588)]
    centers = [panel.crop((60, 60, 130, 130)).tobytes() for panel in shown]
    assert len(set(centers)) == 8
    corners = {panel.crop((0, 0, 192, 40)).tobytes() for panel in shown}
    assert len(corners) == 1


def test_scratches_and_text_are_filled(tmp_path: Path, monkeypatch) -> None:
    scratches = example("scratches")
    monkeypatch.setattr(scratches, "PART", (80, 20, 200, 110))
    monkeypatch.setattr(sys, "argv", ["scratches.py", str(tmp_path / "figure.png")])
    scratches.main()
    mask = scratches.damage(120, 90)
    assert set(mask.tobytes()) == {0, 255}
    with Image.open(tmp_path / "figure.png") as figure:
        assert figure.size == (244, 90)
        before, after = figure.crop((0, 0, 120, 90)), figure.crop((124, 0, 244, 90))
    inside = Image.composite(before, after, mask)
    assert inside.tobytes() == before.tobytes()
    assert before.tobytes() != after.tobytes()
